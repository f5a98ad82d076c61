"""Nine processes in three containers meet an expired token; a tenth container reads all the while."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from deployment import Deployment, docker
from programs import READER, outcome, ready, started

# the first test that asks for the deployment waits for its images as well
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PROCESSES_PER_CONTAINER = 3

# Ready, then a line on stdin sets all of them off at the same moment.
WORKER = """
import json, os, sys, time
from token_keeper import TokenStore, fingerprint
from token_keeper.errors import TokenKeeperError
store = TokenStore(os.environ["TOKEN_KEEPER_PATH"], service="burst")
store.snapshot()
print("ready", flush=True)
sys.stdin.readline()
begun = time.monotonic()
try:
    outcome = {"token": fingerprint(store.access_token())}
except TokenKeeperError as error:
    outcome = {"error": error.reason}
print(json.dumps(outcome | {"seconds": time.monotonic() - begun}), flush=True)
"""


def test_a_burst_on_an_expired_token_costs_one_exchange(deployment: Deployment) -> None:
    image = docker("inspect", "--format", "{{.Config.Image}}", deployment.container("api")).strip()
    reader_command = (
        "run", "--rm", "-i", "--network", "none", "--user", "999:999", "--read-only", "--cap-drop", "ALL",
        "--mount", f"type=volume,source={deployment.volume},target=/app/tokens,readonly,volume-nocopy",
        image, "python", "-c", READER,
    )  # fmt: skip
    deployment.expire_token()
    before, refused = deployment.status(), deployment.counters()["exchanges"]["refused"]
    counted = deployment.exchanges()
    with ExitStack() as running:
        reader = running.enter_context(started(*reader_command))
        ready(reader)
        workers = [
            running.enter_context(started("exec", "-i", name, "python", "-c", WORKER))
            for name in deployment.consumers() * PROCESSES_PER_CONTAINER
        ]
        for worker in workers:
            ready(worker)
        assert deployment.exchanges() == counted, "somebody was too early"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        outcomes = [outcome(worker) for worker in workers]
        seen = outcome(reader)
    after = deployment.status()
    tokens = {found.get("token") for found in outcomes}

    assert len(outcomes) == 9
    assert [found for found in outcomes if "error" in found] == []
    assert deployment.exchanges() - counted == 1
    assert after["exchanges"] - before["exchanges"] == 1
    assert deployment.counters()["exchanges"]["refused"] == refused
    assert after["generation"] == before["generation"] + 1
    assert tokens == {after["document"]["access_token_fingerprint"]}
    assert seen["torn"] == 0
    assert seen["tokens"] == 2, "the reader saw the old token and then the new one"
    assert isinstance(seen["reads"], int)
    assert seen["reads"] > 100
