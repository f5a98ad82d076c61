"""Which services of somebody's application get the token, and where."""

from __future__ import annotations

from typing import Any

import pytest
from module_utils.token_keeper_helper.app_consumers import Place, choose, containers, obstacle

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
