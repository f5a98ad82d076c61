"""One look brings all that a run has to know; what a page doesn't tell is told as well."""

from __future__ import annotations

import json
from typing import Any

import pytest
from module_utils.token_keeper_helper import arguments
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.survey import project_containers, survey
from pretended import Docker, printed, refused, said, status
from serving import endpoint, nobody, told

VERSION = {"Client": {"Context": "default"}, "Server": {"Version": "26.1.5"}}


def parameters(**given: Any) -> dict[str, Any]:
    defaults = {name: option.get("default") for name, option in arguments.TOKEN_VOLUME_INFO.items()}
    return {**defaults, "volume": "tokens", "image": "keeper:1", "timeout": 0.0, **given}


def container(name: str, service: str, *, mounts: bool = True) -> dict[str, Any]:
    mount = {"Type": "volume", "Name": "tokens", "Destination": "/app/tokens", "RW": True}
    labels = {"project": "stack", "service": service, "image": f"sha256:{service}", "config-hash": "9a6d"}
    return {
        "Id": name * 3,
        "Name": f"/{name}",
        "Config": {
            "Hostname": f"host-{name}",
            "Labels": {f"com.docker.compose.{key}": value for key, value in labels.items()},
        },
        "HostConfig": {},
        "Mounts": [mount] if mounts else [],
    }


def deployed(docker: Docker, generation: int = 8) -> None:
    """Let an application run that uses the volume, with a Redis beside it."""
    containers = [container("api", "api"), container("redis", "redis", mounts=False)]
    docker.has_volume()
    docker.on("status", answers=[said(status(generation))])
    docker.on("version", answers=[said(VERSION)])
    docker.on("ps", answers=[printed("".join(f"{one['Id']}\t\n" for one in containers))])
    docker.on("inspect", "container", answers=[said(containers)])
    docker.on("exec", answers=[printed("c" * 64)])


BEATS = told({"consumers": [{"container": "host-api", "pid": 1, "generation": 8}]})
READY = told({"status": "ready", "checks": []})
COUNTS = told({"exchanges": {"refresh_token": 41}})


def test_one_look_brings_everything(docker: Docker) -> None:
    deployed(docker)
    with endpoint(BEATS) as beats, endpoint(READY) as ready, endpoint(COUNTS) as counts:
        asked = parameters(
            consumers=True, heartbeat_urls=[beats], project="stack", ready_url=ready, counter_url=counts, engine=True
        )
        found = survey(docker.helper, asked)
    assert found["changed"] is False
    assert found["volume_exists"] is True
    assert found["status"]["generation"] == 8
    assert [(one["service"], one["level"], one["converged"]) for one in found["consumers"]] == [
        ("api", "process", True)
    ]
    assert (found["lagging"], found["silent"]) == ([], [])
    assert found["project_containers"] == [
        {"container": "api", "service": "api", "image": "sha256:api", "config_hash": "9a6d"},
        {"container": "redis", "service": "redis", "image": "sha256:redis", "config_hash": "9a6d"},
    ]
    assert found["ready"] == {"status": 200, "failed": [], "why": ""}
    assert found["counter"] == {"count": 41, "why": ""}
    assert found["engine"] == {"version": "26.1.5", "context": "default"}
    # each is asked once
    words = [argv[1] for argv, _ in docker.calls]
    assert sorted(words) == ["inspect", "ps", "run", "version", "volume"]
    json.dumps(found)


def test_pages_that_do_not_answer_are_told_and_nothing_fails(docker: Docker) -> None:
    deployed(docker)
    with nobody() as dead, endpoint(b"<html>", 404) as gone:
        asked = parameters(consumers=True, heartbeat_urls=[dead, gone], ready_url=dead, counter_url=gone)
        found = survey(docker.helper, asked)
    assert found["lagging"] == ["api"]
    assert [one["url"] for one in found["silent"]] == [dead, gone]
    assert "refused" in found["silent"][0]["why"]
    assert found["silent"][1]["why"] == "it answered 404"
    assert (found["ready"]["status"], found["ready"]["failed"]) == (-1, [])
    assert "refused" in found["ready"]["why"]
    assert found["counter"] == {"count": None, "why": "it answered 404"}


def test_nothing_more_is_told_than_was_asked_for(docker: Docker) -> None:
    deployed(docker)
    assert survey(docker.helper, parameters()).keys() == {"changed", "volume_exists", "status"}
    assert [argv[1] for argv, _ in docker.calls] == ["volume", "run"]


def test_without_a_volume_the_rest_is_told_all_the_same(docker: Docker) -> None:
    deployed(docker)
    docker.has_no_volume()
    with endpoint(COUNTS) as counts:
        asked = parameters(consumers=True, project="stack", counter_url=counts, engine=True)
        found = survey(docker.helper, asked)
    assert (found["volume_exists"], found["status"], found["consumers"], found["silent"]) == (False, None, [], [])
    assert len(found["project_containers"]) == 2
    assert found["counter"]["count"] == 41
    # a helper would have made the volume
    assert docker.verbs() == []


def test_where_consumers_are_waited_for_the_provider_counts_when_they_have_followed(docker: Docker) -> None:
    deployed(docker)
    order: list[str] = []
    generations = iter([7, 7, 8])

    def beating() -> bytes:
        order.append("heartbeat")
        return told({"consumers": [{"container": "host-api", "pid": 1, "generation": next(generations)}]})

    def counting() -> bytes:
        order.append("counter")
        return COUNTS

    with endpoint(beating) as beats, endpoint(counting) as counts:
        asked = parameters(
            consumers=True, heartbeat_urls=[beats], expect_generation=8, timeout=20.0, counter_url=counts
        )
        found = survey(docker.helper, asked)
    assert found["lagging"] == []
    assert order == ["heartbeat", "heartbeat", "heartbeat", "counter"]


def test_a_volume_that_comes_to_the_generation_late_is_waited_for(docker: Docker) -> None:
    deployed(docker)
    docker.on("status", answers=[said(status(7)), said(status(8))])
    found = survey(docker.helper, parameters(consumers=True, expect_generation=8, timeout=20.0))
    assert (found["lagging"], found["status"]["generation"]) == ([], 8)
    assert docker.verbs() == ["status", "status"]


def test_what_the_helper_fails_with_is_the_module_s_failure(docker: Docker) -> None:
    deployed(docker)
    docker.on("run", answers=[refused(125, "docker: Error response from daemon: No such image: keeper:1.")])
    with pytest.raises(ModuleFailure) as caught:
        survey(docker.helper, parameters(consumers=True, engine=True))
    assert caught.value.reason == "ImageMissing"


def test_without_an_engine_that_is_the_failure(docker: Docker) -> None:
    docker.on(answers=[refused(1, "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")])
    with pytest.raises(ModuleFailure) as caught:
        survey(docker.helper, parameters(consumers=True, engine=True, project="stack"))
    assert caught.value.reason == "EngineUnreachable"


def test_containers_of_other_projects_and_without_labels_are_left_out() -> None:
    other = container("other", "api")
    other["Config"]["Labels"] = {"com.docker.compose.project": "stack2"}
    bare = container("bare", "api")
    bare["Config"]["Labels"] = None
    unlabelled = container("mine", "api")
    unlabelled["Config"]["Labels"] = {"com.docker.compose.project": "stack"}
    assert project_containers([other, bare, unlabelled], "stack") == [
        {"container": "mine", "service": "", "image": "", "config_hash": ""}
    ]
