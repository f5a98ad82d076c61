"""The store in containers of their own: the lock between them, and one that the kernel kills in the midst of it all."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from deployment import Deployment, docker, eventually

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

VOLUME = "tk-alone-store"
MOUNT = f"type=volume,src={VOLUME},dst=/app/tokens,volume-nocopy"

OUT_OF_MEMORY = """
import threading, time
from token_keeper import TokenStore
from token_keeper.errors import TokenKeeperError

def hoard():
    while "ExchangeStarted" not in open("/app/tokens/.token.json.state").read():
        time.sleep(0.01)
    time.sleep(0.5)
    hoarded = []
    while True:
        hoarded.append(bytearray(b"x" * 2**20))

threading.Thread(target=hoard, daemon=True).start()
TokenStore().refresh(force=True)
"""


@dataclasses.dataclass(frozen=True)
class Store:
    """A volume with a grant of its own, used by containers that come and go."""

    image: str
    network: str
    document: dict[str, Any]

    def command(self, *words: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line of a container that does something with the volume."""
        run = ["docker", "run", "--rm", "--interactive", "--network", self.network, "--mount", MOUNT]
        confined = ["--read-only", "--user", "999:999", "--cap-drop", "ALL"]
        return [*run, *confined, *options, "--entrypoint", words[0], self.image, *words[1:]]

    def keeper(self, *words: str, stdin: str = "") -> dict[str, Any]:
        """Run a verb of the command; returns what it says."""
        command = self.command("token-keeper", *words, "--json")
        ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        found: dict[str, Any] = json.loads(ended.stdout)
        return found


@pytest.fixture
def store(deployment: Deployment) -> Iterator[Store]:
    inspected = json.loads(docker("inspect", deployment.container("api")))[0]
    grant = {"scopes": ["https://www.googleapis.com/auth/calendar"]}
    given = requests.post(f"{deployment.sandbox}/admin/grants", json=grant, timeout=10).json()
    document = {
        "token": given["access_token"],
        "refresh_token": given["refresh_token"],
        "token_uri": "http://sandbox:9400/token",
        "client_id": given["client_id"],
        "client_secret": given["client_secret"],
        "scopes": grant["scopes"],
        "expiry": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    network = next(name for name in inspected["NetworkSettings"]["Networks"] if name.endswith("egress"))
    subprocess.run(["docker", "volume", "rm", "--force", VOLUME], capture_output=True, check=True)
    docker("volume", "create", VOLUME)
    try:
        docker("run", "--rm", "--user", "0:0", "--network", "none", "--mount", MOUNT, "--entrypoint", "token-keeper",
               inspected["Image"], "init-volume", "--uid", "999", "--gid", "999")  # fmt: skip
        yield Store(inspected["Image"], network, document)
    finally:
        docker("volume", "rm", "--force", VOLUME)


@contextmanager
def slow(deployment: Deployment, seconds: float) -> Iterator[None]:
    """Have the provider take its time."""
    settings = f"{deployment.sandbox}/admin/settings"
    requests.put(settings, json={"latency": seconds}, timeout=10).raise_for_status()
    try:
        yield
    finally:
        requests.put(settings, json={"latency": 0}, timeout=30).raise_for_status()


def test_the_lock_keeps_another_container_out(store: Store) -> None:
    assert store.keeper("push", stdin=json.dumps(store.document))["reason"] == "Created"
    assert store.keeper("doctor")["errors"] == 0
    with subprocess.Popen(store.command("token-keeper", "doctor", "--hold", "300", options=("--name", VOLUME))):
        try:

            def refused() -> bool:
                said = store.keeper("--lock-timeout", "0", "policy", "--rotation", "no")
                return bool(said.get("error", {}).get("type") == "LockTimeout")

            eventually(refused, within=120, what="the lock of another container is seen")
            assert store.keeper("show")["generation"] == 1, "reading needs no lock"
        finally:
            docker("kill", VOLUME)
    assert "error" not in store.keeper("--lock-timeout", "5", "policy", "--rotation", "no")


def test_a_container_that_the_kernel_kills_during_an_exchange(deployment: Deployment, store: Store) -> None:
    """Out of memory: the reply is lost, nobody tempts the provider, and the old token is served to its end."""
    store.keeper("push", "--rotation", "yes", stdin=json.dumps(store.document))
    before = store.keeper("status")
    limits = ("--memory", "96m", "--memory-swap", "96m")
    with slow(deployment, 5):
        killed = subprocess.run(
            store.command("python3", "-c", OUT_OF_MEMORY, options=limits), capture_output=True, timeout=120, check=False
        )
    assert killed.returncode == 137, killed.stderr
    refused = store.keeper("refresh", "--force")
    assert (refused["error"]["type"], refused["error"]["reason"]) == ("ReauthRequired", "ExchangeOutcomeUnknown")
    verified = store.keeper("show")
    assert verified["access_token_fingerprint"] == before["document"]["access_token_fingerprint"]
    assert verified["generation"] == before["generation"]
    store.keeper("policy", "--rotation", "no")  # as this provider is in truth: it may be asked again
    healed = store.keeper("refresh", "--force")
    assert (healed["exchanged"], healed["generation"]) == (True, before["generation"] + 1)
