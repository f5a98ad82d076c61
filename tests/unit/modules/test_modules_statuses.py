"""Every token of a host in one look: what is wrong with one is told, and keeps no other from being looked at."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from module_utils.token_keeper_helper import arguments
from module_utils.token_keeper_helper.statuses import look_at_all
from pretended import Docker, error, printed, refused, said, status
from serving import endpoint, told

APP = {"name": "calendar", "volume": "tokens", "app": True}
OTHER = {"name": "reports", "volume": "tokens", "file": "reports.json"}
EXPECTED = [{"service": "api", "processes": 1}, {"service": "celery", "containers": 2}]
BEATS = told({"consumers": [{"container": "host-api", "pid": 1, "generation": 8}]})


def parameters(*tokens: dict[str, Any], **given: Any) -> dict[str, Any]:
    validated = ArgumentSpecValidator(arguments.TOKEN_STATUS_INFO).validate(
        {"tokens": list(tokens), "image": "keeper:1", "expected": EXPECTED, **given}
    )
    assert validated.error_messages == []
    found: dict[str, Any] = validated.validated_parameters
    return found


def deployed(docker: Docker) -> None:
    mount = {"Type": "volume", "Name": "tokens", "Destination": "/app/tokens", "RW": True}
    labels = {"com.docker.compose.service": "api"}
    api = {"Id": "abc", "Name": "/api", "Config": {"Hostname": "host-api", "Labels": labels}, "Mounts": [mount]}
    docker.has_volume()
    docker.on("ps", answers=[printed("abc\t\n")])
    docker.on("inspect", "container", answers=[said([api])])
    docker.on("exec", answers=[printed("c" * 64)])
    docker.on("status", answers=[said(status(8))])


def test_each_token_is_looked_at_and_heartbeats_tell_of_the_application_s_alone(docker: Docker) -> None:
    deployed(docker)
    with endpoint(BEATS) as beats:
        found = look_at_all(parameters(APP, OTHER, heartbeat_urls=[beats]), docker)
    app, other = found["tokens"]
    assert found["changed"] is False
    assert [(one["name"], one["file"], one["error"]) for one in (app, other)] == [
        ("calendar", "token.json", None),
        ("reports", "reports.json", None),
    ]
    assert [one["consumers"][0]["level"] for one in (app, other)] == ["process", "container"]
    assert app["consumers"][0]["hostname"] == "host-api"
    assert app["missing"] == ["celery: 0 of 2 containers run with the volume mounted"]
    assert other["missing"] == []
    json.dumps(found)


def test_what_keeps_one_token_from_being_looked_at_keeps_no_other(docker: Docker) -> None:
    deployed(docker)
    docker.on("--path=/app/tokens/reports.json", answers=[error("StorageError", "WrongOwner", 10)])
    app, other = look_at_all(parameters(APP, OTHER), docker)["tokens"]
    assert (app["error"], app["status"]["generation"]) == (None, 8)
    assert (other["error"]["reason"], other["status"], other["consumers"]) == ("WrongOwner", None, [])


def test_without_an_engine_or_a_volume_nothing_fails(docker: Docker) -> None:
    docker.on(answers=[refused(1, "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")])
    [found] = look_at_all(parameters(APP), docker)["tokens"]
    assert (found["error"]["reason"], found["volume_exists"]) == ("EngineUnreachable", None)

    deployed(docker)
    docker.has_no_volume()
    [found] = look_at_all(parameters(APP), docker)["tokens"]
    assert (found["error"], found["volume_exists"], found["status"]) == (None, False, None)
    assert len(found["missing"]) == 2


def test_a_name_that_could_be_taken_for_something_else_is_told_as_well(docker: Docker) -> None:
    [found] = look_at_all(parameters({**APP, "volume": "/srv/tokens"}), docker)["tokens"]
    assert found["error"]["reason"] == "OptionInvalid"
    assert docker.calls == []
