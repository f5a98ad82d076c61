"""Which services of somebody's application get the token, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from module_utils.token_keeper_helper.app_consumers import (
    Choice,
    Place,
    choose,
    containers,
    hidden,
    jobs,
    left_behind,
    obstacle,
    published,
    unmountable,
)

BIND = {"type": "bind", "source": "/srv/them/tokens", "target": "/app/tokens"}
DATABASE = {"image": "db:1", "volumes": [{"type": "volume", "source": "data", "target": "/data"}]}


def test_those_that_mount_the_folder_are_found() -> None:
    choice = choose({"web": {"volumes": [BIND]}, "worker": {"volumes": [BIND]}, "db": DATABASE}, [], "", "token.json")
    assert choice.consumers == ("web", "worker")
    assert choice.place == Place("/app/tokens", "token.json")
    assert choice.problems == ()


@pytest.mark.parametrize(
    "environment", [{"TOKEN_PATH": "/data/google/token.json"}, ["TOKEN_PATH=/data/google/token.json"]]
)
def test_a_variable_tells_where_and_who(environment: Any) -> None:
    choice = choose({"web": {"environment": environment}, "db": DATABASE}, [], "", "token.json")
    assert (choice.consumers, choice.place) == (("web",), Place("/data/google", "token.json"))


def test_a_file_that_is_bound_tells_where() -> None:
    bound = {"type": "bind", "source": "/srv/them/token.json", "target": "/creds/token.json"}
    choice = choose({"web": {"volumes": [bound]}}, [], "", "token.json")
    assert (choice.consumers, choice.place) == (("web",), Place("/creds", "token.json"))


def test_memory_in_that_place_counts_as_a_mount() -> None:
    assert choose({"web": {"tmpfs": "/app/tokens:size=1m"}}, [], "", "token.json").consumers == ("web",)


def test_what_the_operator_says_goes_first() -> None:
    services = {"web": {"environment": {"TOKEN_PATH": "/data/token.json"}}, "worker": {}}
    choice = choose(services, ["worker"], "/creds/google.json", "token.json")
    assert (choice.consumers, choice.place) == (("worker",), Place("/creds", "google.json"))


@pytest.mark.parametrize(
    ("named", "path", "said"),
    [
        (
            ["wbe"],
            "",
            "app_stack_consumers names wbe; the services are db, web, besides those of profiles that are off",
        ),
        (
            [],
            "/elsewhere/token.json",
            "no service mounts /elsewhere or has a variable with /elsewhere/token.json: name those",
        ),
        ([], "token.json", "app_stack_token_path token.json is not the full path of a file"),
    ],
)
def test_what_cannot_be_is_said(named: list[str], path: str, said: str) -> None:
    problems = choose({"web": {"volumes": [BIND]}, "db": DATABASE}, named, path, "token.json").problems
    assert len(problems) == 1
    assert said in problems[0]


def test_two_tokens_have_to_be_told_apart() -> None:
    services = {"web": {"environment": {"A": "/a/token.json"}}, "worker": {"environment": {"B": "/b/token.json"}}}
    (problem,) = choose(services, [], "", "token.json").problems
    assert "several tokens (/a/token.json, /b/token.json): name one in app_stack_token_path" in problem


@pytest.mark.parametrize("directory", ["/app", "/", "/etc", "/usr/src/app"])
def test_no_volume_is_put_over_the_files_of_an_image(directory: str) -> None:
    said = obstacle("web", {}, "/app", Place(directory, "token.json"))
    assert "which a volume would hide" in said
    assert "app_stack_token_path: /app/tokens/token.json" in said


def test_a_folder_that_is_mounted_already_is_their_own_choice() -> None:
    mounted = {"volumes": [{"type": "bind", "source": "/srv", "target": "/app"}]}
    assert obstacle("web", mounted, "/app", Place("/app", "token.json")) == ""
    assert obstacle("web", {}, "/app", Place("/app/tokens", "token.json")) == ""


@pytest.mark.parametrize(
    ("service", "number"), [({}, 1), ({"scale": 3}, 3), ({"deploy": {"replicas": 2}}, 2), ({"scale": 0}, 0)]
)
def test_containers_are_counted(service: dict[str, Any], number: int) -> None:
    assert containers(service) == number


def looks(**folders: Sequence[str]) -> Callable[[str], Sequence[str] | None]:
    """Return a look at folders of the host below ``/srv``, by their names; there is no other."""
    return lambda path: folders.get(path.removeprefix("/srv/").replace("/", "_"))


CREDS = {"type": "bind", "source": "/srv/creds", "target": "/creds/"}
KEPT = {"type": "volume", "source": "data", "target": "/creds"}


def test_what_else_is_in_the_folder_of_the_token_is_not_hidden_unseen() -> None:
    place, look = Place("/creds", "token.json"), looks(creds=[".gitkeep", "token.json", "token.lock", "client.json"])
    service = {"volumes": [CREDS], "environment": {"GOOGLE_TOKEN": "/creds/token.json"}}
    said = hidden("web", service, place, look)
    assert said.startswith("web has more in /creds than the token (client.json in /srv/creds), which it would not see")
    assert "app_stack_environment: {GOOGLE_TOKEN: /app/tokens/token.json}" in said
    assert hidden("web", service, place, looks(creds=["token.json", "token.json.bak"])) == ""
    assert hidden("web", service, place, looks()) == ""
    assert hidden("web", service, Place("/elsewhere", "token.json"), look) == ""


@pytest.mark.parametrize(
    ("value", "tells"),
    [
        ("sqlite:////creds/app.db", True),
        ("/creds/client.json", True),
        ("/creds/token.json", False),
        ("/creds/token.lock", False),
        ("/creds/", False),
        ("/srv/creds/canary", False),
    ],
)
@pytest.mark.parametrize("mount", [CREDS, KEPT])
def test_variables_tell_what_else_is_kept_there_and_are_not_shown(mount: Any, value: str, tells: bool) -> None:
    service = {"volumes": [mount], "environment": {"DATABASE": value}}
    said = hidden("web", service, Place("/creds", "token.json"), looks())
    assert ("what its variable DATABASE names" in said) is tells
    assert "app.db" not in said


def test_the_way_out_is_another_folder_than_the_one_that_is_in_use() -> None:
    mount = {"type": "bind", "source": "/srv/creds", "target": "/app/tokens"}
    said = hidden("web", {"volumes": [mount]}, Place("/app/tokens", "token.json"), looks(creds=["client.json"]))
    assert "app_stack_token_path: /app/token/token.json" in said


def test_a_folder_that_cannot_be_made_in_one_that_is_read_only_is_named() -> None:
    place, mount = Place("/creds/google", "token.json"), {**CREDS, "read_only": True}
    said = unmountable("web", {"volumes": [mount]}, place, looks(creds=["db.txt"]))
    assert "make the folder /srv/creds/google on the Docker host" in said
    assert unmountable("web", {"volumes": [mount]}, place, looks(creds=["google"], creds_google=[])) == ""
    assert unmountable("web", {"volumes": [CREDS]}, place, looks(creds=["db.txt"])) == ""
    assert unmountable("web", {"volumes": [mount, {**CREDS, "target": "/creds/google"}]}, place, looks(creds=[])) == ""
    assert unmountable("web", {"volumes": [{**mount, "target": "/cre"}]}, place, looks(creds=[])) == ""


def test_who_would_go_on_with_the_old_file_is_named() -> None:
    file = {"type": "bind", "source": "/srv/token.json", "target": "/app/cfg/token.json"}
    services = {
        "web": {"volumes": [file]},
        "worker": {"volumes": [{**file, "target": "/w/token.json"}]},
        "db": DATABASE,
    }
    (said,) = left_behind(services, Choice(Place("/app/cfg", "token.json"), ("web",)))
    assert said.startswith("worker has /srv/token.json at /w/token.json and goes on with what is there")
    assert "name worker in app_stack_consumers" in said
    assert left_behind(services, Choice(Place("/app/cfg", "token.json"), ("web", "worker"))) == []


def test_who_has_a_variable_that_is_set_to_the_path_reads_it_there() -> None:
    services = {"web": {"environment": {"TOKEN": "/old/token.json"}}, "db": DATABASE}
    choice = choose(services, [], "/app/tokens/token.json", "token.json", ["TOKEN"])
    assert (choice.consumers, choice.problems) == (("web",), ())


def test_a_project_without_services_is_told_of_its_profiles() -> None:
    (problem,) = choose({}, [], "", "token.json").problems
    assert "app_stack_compose_profiles" in problem


def test_tcp_ports_of_the_host_are_told() -> None:
    ports = [
        {"target": 80, "published": "8081", "host_ip": "127.0.0.1", "protocol": "tcp"},
        {"target": 53, "published": "53", "protocol": "udp"},
        {"target": 9000, "protocol": "tcp"},
        {"target": 9400, "published": "9400-9405"},
    ]
    assert published({"ports": ports}) == [
        {"address": "127.0.0.1", "port": "8081"},
        {"address": "", "port": "9400-9405"},
    ]


def test_jobs_are_those_whose_end_is_waited_for_or_that_nobody_needs_to_run() -> None:
    services = {
        "db": {"restart": "no"},
        "migrate": {"depends_on": {"db": {"condition": "service_healthy"}}},
        "seed": {"restart": "no", "depends_on": {"db": None}},
        "report": {"deploy": {"restart_policy": {"condition": "none"}}},
        "cache": {},
        "web": {"depends_on": {"migrate": {"condition": "service_completed_successfully"}, "cache": {}}},
    }
    assert jobs(services) == ["migrate", "report", "seed"]
