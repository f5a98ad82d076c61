"""The doctor's repair on the Docker host: in order, no further than needed, and nothing that can't be had back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from doctored import FOLDER, OTHER, TOKENS, Host, container, finding, keeper
from pretended import printed, refused

UNWELL = {"Status": "running", "Health": {"Status": "unhealthy"}}


def test_the_order_of_a_repair(host: Host, tmp_path: Path) -> None:
    (tmp_path / "compose.yml").touch()
    host.containers = [
        container("api", State={"Status": "running", "Health": {"Status": "unhealthy"}}),
        keeper(State={"Status": "exited"}),
        container("celery", State={"Status": "paused"}),
    ]
    host.findings = [
        finding("Empty", mend="it is put back"),
        finding("WrongOwner", check="Files", where="/app/tokens/.token.json.state"),
        finding("ForeignFiles", level="warning", check="Leftovers"),
        finding("Odd", level="warning", mend="never"),
    ]
    expected = [{"service": "redis"}]
    given = {"expected": expected, "compose_file": str(tmp_path / "compose.yml")}
    before = copy.deepcopy(host.containers)
    checked = host.examined(repair=True, check_mode=True, **given)
    assert (host.done, host.containers, checked["changed"]) == ([], before, True)
    assert {one["outcome"] for one in checked["actions"]} == {"would"}
    repaired = host.examined(repair=True, **given)
    assert host.done == ["unpause celery", "owner", "inside", "start keeper", "compose redis", "restart api"]
    outcomes = {(one["reason"], one["outcome"]) for one in repaired["actions"]}
    assert ("Empty", "mended") in outcomes
    assert ("Odd", "could not") in outcomes
    assert next(one for one in repaired["actions"] if one["reason"] == "Odd")["why_not"] == "the disk is full"
    # a person's is left, and no error
    assert repaired["errors"] == 0
    assert [one["reason"] for one in repaired["findings"] if one["level"] == "warning"] == ["ForeignFiles", "Odd"]


def test_what_docker_refuses_is_said(host: Host) -> None:
    host.containers[1]["State"] = {"Status": "exited"}
    host.docker.on(
        "start", answers=[refused(1, "Error response from daemon: driver failed: port is already allocated")]
    )
    [action] = host.examined(repair=True)["actions"]
    assert action["outcome"] == "could not"
    assert "port is already allocated" in action["why_not"]


@pytest.mark.parametrize("reason", ["LockHeld", "NoSpace", "NoInodes", "ExchangeOpen"])
def test_who_may_have_the_only_reply_is_not_ended(host: Host, tmp_path: Path, reason: str) -> None:
    (tmp_path / "compose.yml").touch()
    host.findings = [finding(reason, level="warning" if reason == "ExchangeOpen" else "error")]
    host.containers = [container("api", Mounts=[OTHER]), keeper(State=UNWELL)]
    found = host.examined(repair=True, compose_file=str(tmp_path / "compose.yml"))
    assert (host.done, found["actions"], found["changed"]) == ([], [], False)
    remedies = {one["reason"]: one["remedy"] for one in found["findings"]}
    assert remedies["ContainerUnhealthy"].startswith(f"first see to {reason}: ")
    assert "docker restart keeper" in remedies["ContainerUnhealthy"]
    assert reason in remedies["OtherMount"]


def test_nobody_is_restarted_who_could_not_mount_the_volume_again(host: Host) -> None:
    host.docker.on("run", answers=[refused(125, "docker: Error response from daemon: failed to mount local volume")])
    host.containers[1]["State"] = UNWELL
    assert host.examined(repair=True)["actions"] == []
    assert host.done == []


def test_a_job_that_ran_once_is_not_run_again(host: Host) -> None:
    ended = {"Status": "exited", "ExitCode": 0}
    host.containers.append(container("migrate", State=ended, HostConfig={"RestartPolicy": {"Name": "no"}}))
    assert host.examined(repair=True)["actions"] == []
    assert host.wrong() == {}
    assert host.done == []
    assert host.wrong(expected=[{"service": "migrate"}]).keys() == {"ContainerDown"}
    for state, policy in (({**ended, "ExitCode": 1}, "no"), (ended, "unless-stopped"), (ended, "always")):
        host.containers[-1].update(State=state, HostConfig={"RestartPolicy": {"Name": policy}})
        assert host.wrong().keys() == {"ContainerDown"}


@pytest.mark.parametrize(
    ("changes", "diff", "words"),
    [
        (
            {"Mounts": []},
            printed("A /app/tokens\nA /app/tokens/token.json\n"),
            "its own /app/tokens/token.json",
        ),
        ({"Mounts": []}, refused(1, "no such container"), "what it has written"),
        ({"Mounts": [{"Type": "tmpfs", "Source": "", "Destination": "/app/tokens"}]}, printed(""), "what is in memory"),
        ({"Mounts": [], "HostConfig": {"Tmpfs": {"/app/tokens": ""}}}, printed(""), "what is in memory"),
    ],
)
def test_a_token_that_would_go_with_its_container_is_a_person_s(
    host: Host, tmp_path: Path, changes: Any, diff: Any, words: str
) -> None:
    (tmp_path / "compose.yml").touch()
    host.containers[0].update(changes)
    host.docker.on("diff", answers=[diff])
    given = {"expected": [{"service": "api"}], "compose_file": str(tmp_path / "compose.yml")}
    [found] = [one for one in host.wrong(**given).values() if one["check"] == "Mounts"]
    assert (found["mend"], found["remedy"].startswith(words)) == ("", True)
    assert host.examined(repair=True, **given)["actions"] == []
    assert host.done == []


def test_an_empty_file_that_the_engine_made_to_mount_on_is_no_token(host: Host, tmp_path: Path) -> None:
    (tmp_path / "compose.yml").touch()
    host.containers[0]["Mounts"] = [{**FOLDER, "Source": "/srv/token.json", "Destination": "/app/token.json"}]
    host.docker.on("diff", answers=[printed("A /app/token.json\n")])
    host.examined(repair=True, compose_file=str(tmp_path / "compose.yml"))
    assert host.done == ["compose api anew"]


def test_what_is_mended_inside_is_given_the_time_to_show_in_a_health_check(host: Host) -> None:
    host.findings = [finding("Empty", mend="it is put back")]
    host.containers[1]["State"] = UNWELL
    looks = 0

    def inspected() -> Any:
        nonlocal looks
        looks += host.findings == []
        if looks > 5:  # the next health check has passed
            host.containers[1]["State"] = {"Status": "running", "Health": {"Status": "healthy"}}
        return host.inspected()

    host.docker.on("inspect", "container", answers=[inspected])
    repaired = host.examined(repair=True)
    assert host.done == ["inside"]
    assert [one["reason"] for one in repaired["actions"]] == ["Empty"]
    assert repaired["errors"] == 0


@pytest.mark.parametrize("health", ["starting", "unhealthy"])
def test_a_container_that_was_restarted_in_vain_is_not_called_mended(host: Host, health: str) -> None:
    host.containers[1]["State"] = UNWELL

    def restarted() -> Any:
        host.done.append("restart keeper")
        host.containers[1]["State"] = {"Status": "running", "Health": {"Status": health}}
        return printed("")

    host.docker.on("restart", answers=[restarted])
    repaired = host.examined(repair=True, timeout=0.05)
    assert [(one["outcome"], one["why_not"]) for one in repaired["actions"]] == [
        ("could not", "keeper is not well after 0.05 s")
    ]
    assert host.done == ["restart keeper"]
    assert repaired["changed"], "it was restarted all the same"


def test_a_mode_that_the_inventory_opens_is_not_mended_again_and_again(host: Host) -> None:
    host.findings = [finding("LockOpen", check="LockAccess", level="warning")]
    checked = host.examined(repair=True, check_mode=True, mode="750")
    assert (checked["changed"], checked["actions"]) == (False, [])
    assert "token_volume_mode is 0750" in host.wrong(mode="750")["LockOpen"]["remedy"]
    assert host.examined(repair=True)["changed"]
    assert host.done == ["owner"]


def test_a_file_that_is_mounted_over_the_document_is_not_cured_by_a_restart(host: Host) -> None:
    over = {"Type": "bind", "Source": "/srv/token.json", "Destination": "/app/tokens/token.json", "RW": True}
    host.containers[0]["Mounts"] = [TOKENS, over]
    host.docker.on("exec", host.containers[0]["Id"], answers=[printed("d" * 64)])
    found = host.examined(repair=True)
    assert host.done == []
    assert {one["reason"] for one in found["findings"] if one["level"] == "error"} == {"OtherMount", "OtherDocument"}
