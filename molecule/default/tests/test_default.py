"""What is on the machine after converge, idempotence and a rotation."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from testinfra.host import Host  # type: ignore[import-untyped]

PROJECT = "tk-molecule"
CONSUMERS = (f"{PROJECT}-api-1", f"{PROJECT}-celery-1", f"{PROJECT}-celery-2", f"{PROJECT}-keeper-1")
KEEPER = "http://127.0.0.1:19401"
CONTAINERS = (*CONSUMERS, f"{PROJECT}-redis-1", f"{PROJECT}-sandbox")
STATE_HOME = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "token-keeper"


def inspect(host: Host, name: str) -> dict[str, Any]:
    """Return what the engine knows of a container."""
    found: list[dict[str, Any]] = json.loads(host.check_output("docker inspect --type container %s", name))
    return found[0]


def status(host: Host) -> dict[str, Any]:
    """Return what the store says of its volume."""
    found: dict[str, Any] = json.loads(host.check_output("docker exec %s token-keeper status --json", CONSUMERS[0]))
    return found


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_are_healthy_and_have_no_privileges(host: Host, name: str) -> None:
    found = inspect(host, name)
    limits = found["HostConfig"]
    assert found["State"]["Health"]["Status"] == "healthy"
    assert found["Config"]["User"] == "999:999"
    assert limits["ReadonlyRootfs"]
    assert limits["CapDrop"] == ["ALL"]
    assert not limits["CapAdd"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert limits["Init"]
    assert limits["Memory"] > 0
    assert limits["NanoCpus"] > 0
    assert limits["PidsLimit"] > 0
    assert limits["LogConfig"]["Config"]["max-size"] == "10m"


@pytest.mark.parametrize("name", CONSUMERS)
def test_consumers_mount_the_volume_without_filling_it(host: Host, name: str) -> None:
    [mount] = inspect(host, name)["HostConfig"]["Mounts"]
    assert mount["Source"] == f"{PROJECT}_token_data"
    assert mount["Target"] == "/app/tokens"
    assert mount["VolumeOptions"]["NoCopy"]


def test_api_keeper_and_sandbox_alone_are_published_and_on_loopback_alone(host: Host) -> None:
    published = {
        name: [binding["HostIp"] for bindings in ports.values() for binding in bindings or ()]
        for name in CONTAINERS
        if (ports := inspect(host, name)["NetworkSettings"]["Ports"])
    }
    assert {name: addresses for name, addresses in published.items() if addresses} == {
        f"{PROJECT}-api-1": ["127.0.0.1"],
        f"{PROJECT}-keeper-1": ["127.0.0.1"],
        f"{PROJECT}-sandbox": ["127.0.0.1"],
    }


def test_redis_is_on_the_internal_network_alone(host: Host) -> None:
    assert list(inspect(host, f"{PROJECT}-redis-1")["NetworkSettings"]["Networks"]) == [f"{PROJECT}_internal"]
    assert host.check_output("docker network inspect --format {{.Internal}} %s", f"{PROJECT}_internal") == "true"


def test_the_document_belongs_to_the_application_alone(host: Host) -> None:
    found = status(host)
    assert found["document"]["state"] == "sound"
    assert (found["document"]["uid"], found["document"]["gid"], found["document"]["mode"]) == (999, 999, "0600")
    assert (found["volume"]["uid"], found["volume"]["gid"], found["volume"]["mode"]) == (999, 999, "0700")


def test_consent_proof_and_rotation_are_all_that_changed_the_token(host: Host) -> None:
    found = status(host)
    assert found["generation"] == 3
    # converge forced one refresh, the rotation another; neither check nor idempotence exchanged anything
    assert found["exchanges"] == 2
    assert found["document"]["expires_in"] > 3000


def heartbeats() -> list[dict[str, Any]]:
    answer = requests.get("http://127.0.0.1:18080/api/v1/health/consumers", timeout=10)
    found: list[dict[str, Any]] = answer.json()["consumers"]
    return found


def test_every_process_uses_the_newest_generation(host: Host) -> None:
    deadline = time.monotonic() + 60
    while len(beats := heartbeats()) < 9 and time.monotonic() < deadline:  # one that comes late is missing for a moment
        time.sleep(1)
    assert sorted(beat["role"] for beat in beats) == ["api", *["worker"] * 8]
    kept = requests.get(f"{KEEPER}/consumers", timeout=10).json()["consumers"]
    assert len(kept) == 1
    assert {beat["generation"] for beat in (*beats, *kept)} == {status(host)["generation"]}


def test_the_keeper_tells_prometheus_how_the_token_is(host: Host) -> None:
    assert requests.get(f"{KEEPER}/readyz", timeout=10).status_code == 200
    told = requests.get(f"{KEEPER}/metrics", timeout=10).text
    assert f"token_keeper_generation {status(host)['generation']:.1f}" in told
    assert "token_keeper_active 1.0" in told


def test_the_proof_is_recorded_and_tells_fingerprints_alone(host: Host) -> None:
    proof = json.loads(host.file(str(STATE_HOME / PROJECT / "proof.json")).content_string)
    assert proof["level"] == "process"
    assert proof["generation"] == 3
    assert proof["access_token_fingerprint"] == status(host)["document"]["access_token_fingerprint"]
    assert host.run("docker image inspect %s", proof["image"]).rc == 0
    assert set(proof) == {"stamp", "proved_at", "generation", "access_token_fingerprint", "level", "image"}


def test_the_keeper_renews_a_token_that_runs_out_though_nobody_asks(host: Host) -> None:
    before = status(host)
    document = json.loads(host.check_output("docker exec %s cat /app/tokens/token.json", CONSUMERS[0]))
    push = ["docker", "exec", "--interactive", CONSUMERS[0], "token-keeper", "push", "--force", "--json"]
    old = json.dumps({**document, "expiry": "2020-01-01T00:00:00Z"})
    subprocess.run(push, input=old, text=True, capture_output=True, check=True, timeout=60)
    deadline = time.monotonic() + 120
    while status(host)["exchanges"] == before["exchanges"]:
        assert time.monotonic() < deadline, "the keeper has not renewed it"
        time.sleep(0.2)
    after = status(host)
    assert after["exchanges"] == before["exchanges"] + 1
    assert after["document"]["expires_in"] > 3000
    written = host.check_output("docker exec %s cat /app/tokens/.token.json.events", CONSUMERS[0]).splitlines()
    [event] = [e for e in map(json.loads, written) if e.get("generation") == after["generation"]]
    assert (event["event"], event["service"]) == ("Refreshed", "keeper")
