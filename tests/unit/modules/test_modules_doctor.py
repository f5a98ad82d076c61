"""The doctor on the Docker host: each thing that may be wrong around a volume is found, named and mended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from doctored import FILE, FOLDER, MOUNTPOINT, OTHER, OVER, TOKENS, Host, container, finding, holding, keeper
from module_utils.token_keeper_helper.container import Container
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.lock_holder import holders_of
from pretended import document, printed, refused
from serving import endpoint, nobody, told


def test_where_all_is_well_nothing_is_wrong_and_everybody_is_listed(host: Host) -> None:
    found = host.examined(expected=[{"service": "api"}, {"service": "keeper", "containers": 1}])
    assert (found["errors"], found["warned"], found["changed"]) == (0, 0, False)
    assert {one["level"] for one in found["findings"]} == {"ok"}
    assert [
        (one["container"], one["access"], one["user"], one["generation"], one["level"]) for one in found["consumers"]
    ] == [
        ("api", "rw", "999:999", 8, "container"),
        ("keeper", "rw", "999:999", 8, "container"),
    ]
    assert found["generation"] == 8
    assert host.docker.verbs().count("doctor") == 1


def test_no_volume(host: Host) -> None:
    host.volume = None
    found = host.wrong()
    assert found["VolumeMissing"]["level"] == "error"
    assert "site.yml" in found["VolumeMissing"]["remedy"]
    assert host.docker.verbs() == [], "a helper would make the volume"


@pytest.mark.parametrize(
    ("driver", "options", "reason", "level"),
    [
        ("local", {"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/tokens"}, "SharedVolume", "error"),
        ("local", {"type": "cifs", "o": "username=x", "device": "//server/tokens"}, "SharedVolume", "error"),
        ("local", {"o": "addr=10.0.0.1", "device": ":/tokens"}, "SharedVolume", "error"),
        ("local", {"type": "none", "o": "bind", "device": "/srv/tokens"}, "HostFolderVolume", "info"),
        ("rexray", {}, "OtherDriver", "warning"),
        ("local", {"type": "tmpfs", "device": "tmpfs"}, None, None),
    ],
)
def test_drivers_and_options(host: Host, driver: str, options: Any, reason: str | None, level: str | None) -> None:
    assert host.volume is not None
    host.volume.update(Driver=driver, Options=options)
    assert {name: one["level"] for name, one in host.wrong().items()} == ({reason: level} if reason else {})


def test_a_volume_that_can_not_be_mounted(host: Host) -> None:
    host.docker.on("run", answers=[refused(125, "docker: Error response from daemon: failed to mount local volume")])
    found = host.wrong()
    assert found["VolumeUnusable"]["level"] == "error"
    assert "failed to mount" in found["VolumeUnusable"]["message"]


@pytest.mark.parametrize(
    "stderr", ["docker: Error response from daemon: No such image: keeper:1.", "Cannot connect to the Docker daemon"]
)
def test_without_image_or_engine_that_is_the_failure(host: Host, stderr: str) -> None:
    host.docker.on("run", answers=[refused(125, stderr)])
    with pytest.raises(ModuleFailure):
        host.examined()


@pytest.mark.parametrize(
    ("state", "reason", "mend", "words"),
    [
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, "ContainerDown", "start keeper", "out of memory"),
        ({"Status": "created"}, "ContainerDown", "start keeper", "nobody renews the token ahead"),
        ({"Status": "paused"}, "ContainerPaused", "unpause keeper", "is paused"),
        ({"Status": "running", "Health": {"Status": "unhealthy", "Log": [{"Output": "refused\n"}]}},
         "ContainerUnhealthy", "restart keeper", "refused"),
        ({"Status": "restarting", "ExitCode": 1}, "ContainerRestarting", "", "ends again and again"),
        ({"Status": "running", "Health": {"Status": "starting"}}, "ContainerStarting", "", "is starting"),
    ],
)  # fmt: skip
def test_a_container_that_is_not_well(host: Host, state: Any, reason: str, mend: str, words: str) -> None:
    host.containers[1]["State"] = state
    found = host.wrong()[reason]
    assert words in found["message"]
    assert found["level"] == ("info" if reason == "ContainerStarting" else "error")
    assert bool(found["mend"]) == bool(mend)
    repaired = host.examined(repair=True)
    assert host.done == ([mend] if mend else [])
    assert [one["outcome"] for one in repaired["actions"]] == (["mended"] if mend else [])
    assert repaired["changed"] == bool(mend)


@pytest.mark.parametrize(("restarts", "age", "wrong"), [(4, 2, True), (4, 60, False), (0, 2, False)])
def test_a_container_seen_between_two_ends_is_told_from_one_that_was_restarted_long_ago(
    host: Host, restarts: int, age: float, wrong: bool
) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=age)
    state = {"Status": "running", "ExitCode": 0, "StartedAt": f"{begun:%Y-%m-%dT%H:%M:%S.%f}123Z"}
    host.containers[1].update(State=state, RestartCount=restarts)
    found = host.wrong().get("ContainerRestarting")
    assert (found is not None) is wrong
    if found is not None:
        assert "restarted 4 times" in found["message"]


def test_a_container_that_is_gone_is_made_by_its_compose_file(host: Host, tmp_path: Path) -> None:
    del host.containers[0]
    expected = [{"service": "api", "containers": 1}]
    found = host.wrong(expected=expected)["ContainerMissing"]
    assert (found["level"], found["mend"]) == ("error", "")
    assert "site.yml" in found["remedy"]
    file = tmp_path / "compose.yml"
    file.touch()
    repaired = host.examined(repair=True, expected=expected, compose_file=str(file))
    assert host.done == ["compose api"]
    assert (repaired["errors"], [one["outcome"] for one in repaired["actions"]]) == (0, ["mended"])


@pytest.mark.parametrize(
    ("mounts", "reason", "words"),
    [
        ([OTHER], "OtherMount", "has the volume other at /app/tokens, not the token volume"),
        ([FOLDER], "OtherMount", "has /srv/tokens of the host at /app/tokens"),
        ([FILE], "OtherMount", "the file /srv/token.json of the host at /app/token.json"),
        ([TOKENS, OVER], "OtherMount", "over /app/tokens/token.json"),
        ([], "NotMounted", "does not mount the token volume at all"),
    ],
)
def test_something_else_where_the_token_should_be(
    host: Host, tmp_path: Path, mounts: list[Any], reason: str, words: str
) -> None:
    host.containers[0]["Mounts"] = mounts
    expected = [{"service": "api"}]
    found = host.wrong(expected=expected)
    assert (found[reason]["level"], found[reason]["where"], found[reason]["mend"]) == ("error", "api", "")
    assert words in found[reason]["message"]
    (tmp_path / "compose.yml").touch()
    host.examined(repair=True, expected=expected, compose_file=str(tmp_path / "compose.yml"))
    assert host.done == ["compose api anew"]


def test_services_that_need_no_token_and_other_projects_are_left_alone(host: Host) -> None:
    other = container("theirs", Mounts=[OTHER])
    other["Config"]["Labels"] = {"com.docker.compose.project": "another"}
    redis = container("redis", Mounts=[])
    task = container("task", State={"Status": "exited"})
    task["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"
    host.containers += [other, redis, task]
    assert host.wrong(expected=[{"service": "api"}]) == {}


@pytest.mark.parametrize(
    ("read", "reason", "level"), [("d" * 64, "OldInode", "error"), ("c" * 64, "SingleFile", "warning")]
)
def test_a_file_of_the_volume_alone(host: Host, read: str, reason: str, level: str) -> None:
    alone = {"Type": "bind", "Source": f"{MOUNTPOINT}/token.json", "Destination": "/app/token.json", "RW": True}
    host.containers[0]["Mounts"] = [alone]
    host.docker.on("exec", "/app/token.json", answers=[printed(read), printed("c" * 64)])
    found = host.examined(repair=True)
    actions = [(one["reason"], one["outcome"]) for one in found["actions"]]
    assert actions == ([("OldInode", "mended")] if reason == "OldInode" else [])
    assert host.done == (["restart api"] if reason == "OldInode" else [])
    # it will be so again
    [left] = [one for one in found["findings"] if one["reason"] == "SingleFile"]
    assert left["level"] == "warning"
    assert "mount the whole volume" in left["remedy"]
    assert level in {"error", "warning"}


def test_a_consumer_that_mounts_it_read_only(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.containers[0]["Mounts"] = [{**TOKENS, "RW": False}]
    assert {name: one["level"] for name, one in host.wrong().items()} == {"ReadOnly": "info"}
    holder = holders_of("1:2:3", [], Path("/nowhere"))
    assert holder == []
    held = [holding(host.containers[0])]
    monkeypatch.setattr("module_utils.token_keeper_helper.diagnosis.holders_of", lambda *_: held)
    assert host.wrong()["ReadOnlyHolder"]["level"] == "warning"


def test_a_consumer_of_another_user(host: Host) -> None:
    host.containers[0]["Config"]["User"] = "1000:1000"
    found = host.wrong()["WrongUser"]
    assert (found["level"], "runs as user 1000:1000" in found["message"]) == ("error", True)
    # and then nobody's volume is taken from him
    host.findings = [finding("WrongOwner", check="Directory")]
    repaired = host.examined(repair=True)
    assert host.done == []
    assert "decide for one" in next(one for one in repaired["findings"] if one["reason"] == "WrongOwner")["remedy"]


def test_processes_that_see_an_old_generation(host: Host) -> None:
    seen = [
        {"container": "host-api", "pid": 7, "generation": 7},
        {"container": "host-keeper", "pid": 1, "generation": 8},
    ]
    with endpoint(told({"consumers": seen})) as url:
        found = host.wrong(heartbeat_urls=[url])["OldGeneration"]
        assert (found["level"], found["where"]) == ("error", "api")
        assert "process 7 has 7" in found["message"]
        repaired = host.examined(repair=True, heartbeat_urls=[url])
    assert host.done == ["restart api"]
    assert [(one["outcome"], one["why_not"]) for one in repaired["actions"]] == [
        ("could not", "it was still there afterwards")
    ]
    assert repaired["changed"], "it was restarted, if in vain"


def test_processes_that_are_missing_and_pages_that_are_silent(host: Host) -> None:
    beats = told({"consumers": [{"container": "host-api", "pid": 7, "generation": 8}]})
    with endpoint(beats) as url:
        found = host.wrong(heartbeat_urls=[url], expected=[{"service": "api", "containers": 1, "processes": 4}])
        assert found["NotReporting"]["level"] == "warning"
        assert "1 of 4 processes have reported" in found["NotReporting"]["message"]
    with nobody() as url:
        found = host.wrong(heartbeat_urls=[url])
        assert found.keys() == {"PageSilent"}
        assert found["PageSilent"]["where"] == url


def test_another_document_in_a_container_that_mounts_the_volume(host: Host) -> None:
    host.docker.on("exec", host.containers[0]["Id"], answers=[printed("d" * 64)])
    assert host.wrong()["OtherDocument"]["where"] == "api"


def test_two_keepers(host: Host) -> None:
    second = keeper("keeper-2")
    host.containers.append(second)
    assert host.wrong()["TwoKeepers"]["level"] == "info", "two of one service are meant so"
    second["Config"]["Labels"] = {}
    found = host.wrong()["TwoKeepers"]
    assert (found["level"], found["mend"]) == ("warning", "")
    assert "docker stop keeper-2" in found["remedy"]


@pytest.mark.parametrize(
    ("state", "words"),
    [({"Status": "exited"}, "the keeper keeper is exited"), (None, "no keeper runs on this volume"),
     ({"Status": "running"}, "although the keeper keeper runs")],
)  # fmt: skip
def test_a_token_that_is_over_and_who_should_have_renewed_it(host: Host, state: Any, words: str) -> None:
    host.findings = [finding("AccessTokenOver", check="AccessToken", level="warning")]
    host.containers = host.containers[:1] if state is None else [host.containers[0], keeper(State=state)]
    assert words in host.wrong()["AccessTokenOver"]["message"]


def proc(folder: Path, told: dict[str, Any] | None) -> Path:
    """What the kernel tells of one process that holds the lock and one that waits for it."""
    (folder / "4711").mkdir()
    (folder / "4711" / "comm").write_text("python\n")
    group = f"0::/docker/{told['Id']}\n" if told else "0::/user.slice\n"
    (folder / "4711" / "cgroup").write_text(group)
    (folder / "locks").write_text(
        "1: FLOCK  ADVISORY  WRITE 4711 fe:00:7 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 4712 fe:00:7 0 EOF\n"
        "2: FLOCK  ADVISORY  WRITE 99 fe:00:8 0 EOF\n"
    )
    return folder


def test_who_holds_the_lock_is_named_with_its_container(host: Host, tmp_path: Path) -> None:
    told = host.containers[0]
    [holder] = holders_of("fe:00:7", [Container(told)], proc(tmp_path, told))
    assert str(holder) == "process 4711 (python) in container api, running"


def test_a_holder_outside_of_containers(tmp_path: Path) -> None:
    [holder] = holders_of("fe:00:7", [], proc(tmp_path, None))
    assert str(holder) == "process 4711 (python) in no container"


@pytest.mark.parametrize("paused", [True, False])
def test_a_holder_that_is_paused_goes_on_and_another_is_a_person_s(
    host: Host, monkeypatch: pytest.MonkeyPatch, paused: bool
) -> None:
    if paused:
        host.containers[0]["State"] = {"Status": "paused"}
    held = [holding(host.containers[0])]
    monkeypatch.setattr("module_utils.token_keeper_helper.diagnosis.holders_of", lambda *_: held)
    host.findings = [finding("LockHeld", check="Lock")]
    found = host.wrong()["LockHeld"]
    assert "process 4711 (python) in container api" in found["message"]
    assert bool(found["mend"]) == paused
    host.examined(repair=True)
    assert [word.split()[0] for word in host.done] == (["unpause"] * len(host.done) if paused else [])
    if not paused:
        assert "docker restart api ends it" in found["remedy"]


def test_nothing_new_in_an_answer_of_the_helper_gets_out(host: Host) -> None:
    host.findings = [{**finding("Empty"), "document": "1//secret", "level": "strange"}]
    text = json.dumps(host.examined())
    assert "secret" not in text
    assert document()["fingerprint"] not in text
