"""The way to the volume and back: who is stopped when, what is carried over, and what is left where it fails."""

from __future__ import annotations

from typing import Any

import pytest
from module_utils.token_keeper_helper import migration, replacing
from module_utils.token_keeper_helper.failure import ModuleFailure
from pretended_project import World

API: dict[str, Any] = {"deploy": {"replicas": 2}, "healthcheck": {"test": ["CMD", "true"]}}
WEB: dict[str, Any] = {"ports": [{"published": "8080", "target": 80}]}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration.time, "sleep", lambda _: None)


@pytest.fixture
def world() -> World:
    """An api of two containers and a web server that publishes a port, on the file."""
    found = World({"api": API, "web": WEB})
    for service in ("api", "api", "web"):
        found.put(service)
    return found


def steps(services: dict[str, Any], **how: str) -> dict[str, str]:
    """Return why each service is stopped first; empty for one that isn't."""
    running = {name: [{"Id": name, "Mounts": []}] for name in services}
    return {step.service: step.why for step in replacing.steps(services, running, ["/data"], how)}


# -- the plan


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ({}, ""),
        ({"ports": [{"target": 80}]}, ""),
        (WEB, "host port 8080"),
        ({"container_name": "web"}, "container_name web"),
        ({"network_mode": "host"}, "network_mode host"),
        ({"networks": {"default": {"ipv4_address": "10.0.0.9"}}}, "the fixed address 10.0.0.9"),
        ({"deploy": {"mode": "global"}}, "deploy mode global"),
        ({"hostname": "web"}, "hostname web"),
        ({"hostname": "web", "deploy": {"replicas": 2}}, ""),
    ],
)
def test_who_can_t_be_there_twice_is_stopped_first(service: dict[str, Any], why: str) -> None:
    assert steps({"web": service}) == {"web": why}


def test_who_shares_another_s_network_keeps_it() -> None:
    planned = steps({"web": {}, "side": {"network_mode": "service:web"}})
    assert planned == {"side": "network_mode service:web", "web": "side shares its network or processes"}


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ({"Name": "a" * 64, "Destination": "/cache"}, "it keeps data of its own in /cache"),
        ({"Name": "p_data", "Destination": "/db"}, "it alone writes to volume p_data"),
        ({"Name": "p_data", "Destination": "/db", "RW": False}, ""),
        ({"Name": "tokens", "Destination": "/app/tokens"}, ""),
    ],
    ids=["anonymous", "named", "read only", "the kit's"],
)
def test_data_of_its_own_is_not_written_by_two(mount: dict[str, Any], why: str) -> None:
    services = {"web": {"volumes": [{"type": "volume", "source": "data", "target": "/db"}]}}
    running = {"web": [{"Id": "1", "Mounts": [{"Type": "volume", "RW": True, **mount}]}]}
    assert [step.why for step in replacing.steps(services, running, ["/data"], {})] == [why]


def test_the_operator_knows_better_except_where_it_can_t_be() -> None:
    services = {"beat": {}, "web": WEB, "db": {"hostname": "db"}}
    how = {"beat": "stop_first", "web": "start_first", "db": "start_first"}
    assert steps(services, **how) == {"beat": "app_stack_migrate_how", "db": "", "web": "host port 8080"}


def test_who_fails_without_harm_comes_first_and_who_reads_before_who_renews() -> None:
    reads = {"volumes": [{"type": "bind", "target": "/data", "read_only": True}]}
    services = {"a": {}, "b": API, "c": reads, "d": {**reads, **WEB}}
    assert list(steps(services)) == ["c", "b", "a", "d"]


@pytest.mark.parametrize(
    ("left", "one_by_one"), [(901.0, True), (900.0, True), (899.0, False), (-5.0, False), (None, False)]
)
def test_side_by_side_only_while_nobody_renews(left: float | None, one_by_one: bool) -> None:
    assert replacing.way(left, 900, "app_stack_migrate_life").one_by_one is one_by_one


def test_what_is_asked_on_the_way_is_never_more_than_at_the_beginning() -> None:
    assert replacing.life_to_go_on(900, 120) == 510
    assert replacing.life_to_go_on(300, 120) == 300


# -- service by service


def test_new_ones_are_well_before_old_ones_are_stopped(world: World) -> None:
    way = world.migration().run()
    assert way.one_by_one
    assert world.log == [
        "take 1",
        "up --no-recreate --scale api=4 api",
        "stop api-1",
        "rm api-1",
        "stop api-2",
        "rm api-2",
        "up web",
    ]
    assert world.places() == {"api": ["volume", "volume"], "web": ["volume"]}


def test_a_refresh_of_the_old_app_meanwhile_is_taken_along(world: World) -> None:
    def renewed(done: str) -> None:
        if done == "stop api-1":
            world.file = 2

    world.during = renewed
    found = world.migration()
    found.run()
    assert world.volume == 2
    assert found.taken == 2
    assert world.log.index("take 2") < world.log.index("up web")


def test_a_refresh_on_the_volume_goes_to_those_on_the_file(world: World) -> None:
    def renewed(done: str) -> None:
        if done == "rm api-2":
            world.volume = 2

    world.during = renewed
    world.migration().run()
    assert world.file == 2
    assert world.log.index("give 2 in place") < world.log.index("up web"), "the file itself is mounted"


def test_when_the_token_s_end_comes_near_the_rest_goes_at_once(world: World) -> None:
    def later(done: str) -> None:
        if done == "rm api-2":
            world.left = 200.0

    world.during = later
    way = world.migration().run()
    assert not way.one_by_one
    assert "web at once, because it had only 200.0 s left" in way.why
    assert world.log[-2:] == ["stop web-3", "up web"]


def test_where_new_ones_don_t_get_well_the_old_ones_were_never_stopped(world: World) -> None:
    world.sick = {("api", True)}
    with pytest.raises(ModuleFailure, match=r"api uses the file /srv/theirs/token\.json as before: api-4 is unhealthy"):
        world.migration().run()
    assert not [done for done in world.log if done.startswith("stop")]
    assert world.places() == {"api": ["file", "file"], "web": ["file"]}


def test_one_that_ends_and_is_started_again_and_again_is_not_well(world: World) -> None:
    put = world.put

    def restarted(service: str, **more: Any) -> str:
        name = put(service, **more)
        world.containers[name]["RestartCount"] = 1
        return name

    world.put = restarted  # type: ignore[method-assign]
    with pytest.raises(ModuleFailure, match="api-4 has ended and been started again"):
        world.migration().run()
    assert world.places() == {"api": ["file", "file"], "web": ["file"]}


def test_those_that_have_moved_come_back_when_a_later_one_fails(world: World) -> None:
    world.sick = {("web", True)}
    with pytest.raises(ModuleFailure, match="web, api use the file"):
        world.migration().run()
    assert world.places() == {"api": ["file", "file"], "web": ["file"]}


def test_a_service_that_is_lost_between_both_is_told_with_what_to_do(world: World) -> None:
    world.sick = {("web", True), ("api", False)}
    with pytest.raises(ModuleFailure, match="some use the file and some the volume") as caught:
        world.migration().run()
    assert caught.value.reason == "HalfMoved"


@pytest.mark.parametrize("to_volume", [True, False])
@pytest.mark.parametrize(
    "old", [[], ["stop"], ["stop", "rm"]], ids=["new ones were made", "one was stopped", "one was removed"]
)
def test_a_run_that_was_killed_is_gone_on_with(to_volume: bool, old: list[str]) -> None:
    world = World({"api": API})
    world.volume = 1
    world.put("api", in_volume=not to_volume, up="stop" not in old)
    if "rm" in old:
        world.containers.clear()
    world.put("api", in_volume=not to_volume)
    world.put("api", in_volume=to_volume)
    world.migration(to_volume=to_volume).run()
    place = "volume" if to_volume else "file"
    assert world.places() == {"api": [place, place]}
    assert len(world.containers) == 2, "Compose would count what is left"


def test_the_last_one_that_was_stopped_and_not_removed_goes(world: World) -> None:
    world = World({"api": API})
    world.put("api", up=False)
    for _ in range(2):
        world.put("api", in_volume=True)
    world.migration().run()
    assert len(world.containers) == 2


# -- all at once


def test_a_refresh_that_is_due_stops_all_before_the_file_is_read(world: World) -> None:
    world.left = 100.0
    way = world.migration().run()
    assert not way.one_by_one
    assert world.log == ["stop api-1 api-2 web-3", "take 1", "up api web"]


def test_where_it_can_t_be_copied_they_start_again(world: World) -> None:
    world.left = 100.0

    def gone(done: str) -> None:
        if done.startswith("stop"):
            world.file = None

    world.during = gone
    with pytest.raises(ModuleFailure, match="api, web use the file"):
        world.migration().run()
    assert world.log[-1] == "start api-1 api-2 web-3"
    assert world.places() == {"api": ["file", "file"], "web": ["file"]}


def test_it_may_be_waited_until_somebody_has_renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.left = 100.0

    def renewed(_: float) -> None:
        world.left, world.file = 3600.0, 2

    monkeypatch.setattr(migration.time, "sleep", renewed)
    assert world.migration(wait=60.0).run().one_by_one
    assert world.log[0] == "take 2"


# -- back


def test_the_way_back_writes_the_file_first_and_stops_the_keeper(world: World) -> None:
    world.migration().run()
    world.put("keeper", in_volume=True)
    world.volume, world.log = 5, []
    world.migration(to_volume=False, keepers=["keeper-7"]).run()
    assert world.file == 5
    assert world.log[:3] == ["stop keeper-7", "give 5", "up --no-recreate --scale api=4 api"]
    assert world.places() == {"api": ["file", "file"], "web": ["file"]}


def test_the_keeper_starts_again_where_the_way_back_fails(world: World) -> None:
    world.migration().run()
    world.put("keeper", in_volume=True)
    world.sick = {("api", False)}
    with pytest.raises(ModuleFailure, match="uses the volume tokens as before"):
        world.migration(to_volume=False, keepers=["keeper-7"]).run()
    assert world.log[-1] == "start keeper-7"
    assert world.places()["keeper"] == ["volume"]


def test_where_nobody_runs_the_document_alone_is_moved() -> None:
    world = World({"api": API})
    world.put("api", up=False)
    assert not world.migration().run().one_by_one
    assert world.log == ["take 1"]


def test_a_file_that_has_been_removed_since_is_not_missed() -> None:
    world = World({"api": API})
    world.put("api", in_volume=True)
    world.file = None
    world.migration().run()
    assert world.log == []


def test_others_that_have_the_file_are_named(world: World) -> None:
    world.containers[world.put("stranger")]["Config"]["Labels"]["com.docker.compose.service"] = "cron"
    assert world.migration().strangers() == ["stranger-4"]
