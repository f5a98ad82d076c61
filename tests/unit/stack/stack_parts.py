"""What the tests of the reference stack stand on: a real Redis, and a store whose answers a test decides."""

from __future__ import annotations

import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import redis_server

from token_keeper import Snapshot, TokenDocument, TokenKeeperError, fingerprint
from token_keeper.report import describe
from token_keeper.status import Status

ACCESS_TOKEN = "canary-access-token-6f1c"
REFRESH_TOKEN = "canary-refresh-token-83ad"
CLIENT_SECRET = "canary-client-secret-b20e"

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Puts a process's end to the end of the test run, even if that is killed."""


class RedisServer:
    """A Redis on a free loopback port, without persistence."""

    def __init__(self, folder: Path) -> None:
        binary = redis_server.program()
        if binary is None:
            pytest.fail("these tests need a Redis server: scripts/test_tools.sh installs one where it may, or says so")
        self._binary = binary
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command = [*DIES_WITH_US, *command, "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 10
        while True:
            try:
                client.ping()
            except redis.RedisError:
                assert time.monotonic() < deadline and self._process.poll() is None, "redis-server did not start"
                time.sleep(0.02)
            else:
                client.close()
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class FakeStore:
    """Stands in for a token store where a test needs an answer that a volume can't be made to give."""

    def __init__(self) -> None:
        self.generation: int | None = 1
        self.document = TokenDocument(
            token=ACCESS_TOKEN,
            refresh_token=REFRESH_TOKEN,
            token_uri="https://provider.example/token",
            client_id="client",
            client_secret=CLIENT_SECRET,
            scopes=("https://www.googleapis.com/auth/calendar",),
            expiry=datetime.now(UTC) + timedelta(hours=1),
            account="ana@example.com",
        )
        self.error: Exception | None = None
        self.failures = 0
        self.cooldown_until: str | None = None
        self.conditions: list[dict[str, Any]] = []
        self.delay = 0.0
        self.revoked: list[str] = []

    def _answer(self) -> None:
        time.sleep(self.delay)
        if self.error is not None:
            raise self.error

    def access_token(self) -> str:
        self._answer()
        return self.document.token or ""

    def snapshot(self) -> Snapshot:
        self._answer()
        return Snapshot(self.document, self.generation, fingerprint(self.document.token or ""))

    def status(self) -> Status:
        self._answer()
        return Status(
            path="/app/tokens/token.json",
            volume={},
            document=describe(self.document),
            generation=self.generation or 0,
            grant="grant",
            exchanges=0,
            failures=self.failures,
            cooldown_until=self.cooldown_until,
            rotation="unknown",
            reuse_grace=0.0,
            clock_skew=None,
            grant_expiry=None,
            conditions=self.conditions,
            deadlines=[],
            last_event=None,
            healthy=not self.conditions and (self.document.expires_in(time.time()) > 0 or not self.failures),
        )

    def credentials(self) -> Any:
        self._answer()
        raise TokenKeeperError("tests of the calendar use a real store")

    def revoke(self, revocation_uri: str) -> object:
        self._answer()
        self.revoked.append(revocation_uri)
        return None
