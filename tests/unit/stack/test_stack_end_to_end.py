"""The whole stack without Docker: api, two prefork workers, Redis, a token volume and the sandbox provider."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack_parts import DIES_WITH_US, RedisServer

from sandbox_provider.testing import Sandbox, running_sandbox
from token_keeper import TokenDocument, TokenStore

ROOT = Path(__file__).resolve().parents[3]
PROCESSES = 4
WORKERS = ("worker-1", "worker-2")
EVERYBODY = 1 + len(WORKERS) * PROCESSES


class Stack:
    """The processes of the stack, each with the commands that its container has."""

    def __init__(self, folder: Path, server: RedisServer, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.redis = server
        self.path = folder / "tokens" / "token.json"
        self.path.parent.mkdir(mode=0o700)
        self.store = TokenStore(self.path, service="test")
        self.log = folder / "log"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("src", "stack")),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TOKEN_KEEPER_PATH": str(self.path),
            "REDIS_URL": server.url,
            "CALENDAR_API_ENDPOINT": sandbox.calendar_endpoint,
            "CALENDAR_TIMEZONE": "Europe/Berlin",
            "OAUTH_REVOCATION_URI": sandbox.revocation_uri,
        }
        self.push()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with listener:
            api = ["uvicorn", "--factory", "calendar_assistant.api:create_app", "--no-access-log"]
            self._start("api", [*api, "--fd", str(listener.fileno())], listener.fileno())
        for name in WORKERS:
            worker = ["celery", "-A", "calendar_assistant.worker", "worker", "--concurrency", str(PROCESSES)]
            self._start(name, [*worker, "--without-gossip", "--without-mingle", "-n", f"{name}@%h"])
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def _start(self, name: str, command: list[str], *descriptors: int) -> None:
        with self.log.open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*DIES_WITH_US, sys.executable, "-m", *command],
                cwd="/",
                env={**self._environment, "TOKEN_KEEPER_SERVICE": name},
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
            )

    def push(self, **parts: Any) -> None:
        """Put a new grant into the volume."""
        document = self.sandbox.issue_token(**parts)
        self.store.replace(TokenDocument.parse(json.dumps(document)), force=True)

    def expire(self) -> None:
        """Let the document call its token over, as after a night without a consumer."""
        fields = json.loads(self.path.read_text()) | {"expiry": "2026-01-01T00:00:00Z"}
        self.store.replace(TokenDocument.parse(json.dumps(fields)), force=True)

    def exchanges(self) -> int:
        return int(self.sandbox.counters()["exchanges"]["refresh_token"])

    def consumers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/api/v1/health/consumers").json()["consumers"]
        return found

    def ask(self, text: str) -> str:
        answer = self.http.post("/api/v1/events/", json={"text": text})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def state(self, task_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.http.get(f"/api/v1/events/{task_id}").json()
        return state

    def outcome(self, task_id: str, timeout: float = 90) -> dict[str, Any]:
        wait_for(lambda: self.state(task_id)["status"] != "pending", timeout)
        return self.state(task_id)

    def titles(self) -> list[str]:
        return [event["summary"] for event in self.sandbox.events(self.store.access_token())]

    def stop(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        ends = {}
        for name, process in self._processes.items():
            try:
                ends[name] = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                ends[name] = process.wait()
        assert set(ends.values()) <= {0, -signal.SIGTERM}, f"not everything ended well on SIGTERM: {ends}"


def wait_for(what: Callable[[], bool], timeout: float = 60) -> None:
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < timeout, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with contextlib.ExitStack() as cleanup:
        server = RedisServer(folder)
        server.start()
        cleanup.callback(server.stop)
        sandbox = cleanup.enter_context(running_sandbox())
        stack = Stack(folder, server, sandbox)
        cleanup.callback(stack.stop)
        cleanup.callback(lambda: sys.stdout.write(stack.log.read_text()))
        wait_for(lambda: _all_there(stack), 120)
        yield stack


@pytest.fixture(autouse=True)
def _fresh(stack: Stack) -> Iterator[None]:
    yield
    stack.sandbox.clear_faults()


def test_a_sentence_becomes_an_event(stack: Stack) -> None:
    task = stack.ask("Team sync tomorrow at 3pm for an hour")
    state = stack.outcome(task)
    assert state["status"] == "done", state
    event = state["event"]
    assert event["title"] == "Team sync"
    assert "T15:00:00+0" in event["start"] and "T16:00:00+0" in event["end"]
    assert event["link"].startswith("http")
    assert stack.titles().count("Team sync") == 1


def test_a_text_that_is_no_event_says_what_to_write(stack: Stack) -> None:
    state = stack.outcome(stack.ask("hello there"))
    assert (state["status"], state["error"]["reason"]) == ("failed", "NoTime")
    assert "Team sync tomorrow at 3pm" in state["error"]["remedy"]


def test_every_process_reports_a_new_generation(stack: Stack) -> None:
    generation = stack.store.refresh(force=True).generation
    consumers: list[dict[str, Any]] = []

    def followed() -> bool:
        consumers[:] = stack.consumers()  # one whose heartbeat is late is missing for a moment
        return [consumer["generation"] for consumer in consumers] == [generation] * EVERYBODY

    wait_for(followed)
    assert {consumer["service"] for consumer in consumers} == {"api", *WORKERS}
    assert len({consumer["access_token_fingerprint"] for consumer in consumers}) == 1


def test_a_burst_with_an_expired_token_makes_one_exchange(stack: Stack) -> None:
    stack.expire()
    before = stack.exchanges()
    with ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(stack.ask, f"Burst {number} tomorrow at 3pm") for number in range(16)]
        listed = [pool.submit(stack.http.get, "/api/v1/calendar/calendars") for _ in range(8)]
        assert [answer.result().status_code for answer in listed] == [200] * 8
        states = [stack.outcome(task.result()) for task in asked]
    assert [state["status"] for state in states] == ["done"] * 16, states
    assert stack.exchanges() - before == 1


def test_rotation_under_load_fails_no_request(stack: Stack) -> None:
    paths = ("calendar/auth/status", "health/ready", "calendar/calendars", "health/consumers")
    stop = threading.Event()
    results: list[tuple[str, int, float]] = []

    def load(path: str) -> None:
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            while not stop.is_set():
                begun = time.monotonic()
                status = client.get(f"/api/v1/{path}").status_code
                results.append((path, status, time.monotonic() - begun))
                stop.wait(0.2)

    with ThreadPoolExecutor(len(paths)) as pool:
        running = [pool.submit(load, path) for path in paths]
        try:
            for _ in range(5):
                stack.store.refresh(force=True)
                stack.ask("Under load tomorrow at 3pm")
                time.sleep(0.3)
        finally:
            stop.set()
        for future in running:
            future.result()
    assert {status for _, status, _ in results} == {200}, [result for result in results if result[1] != 200]
    assert max(took for _, _, took in results) < 10


def test_a_lost_reply_from_the_calendar_is_one_event(stack: Stack) -> None:
    stack.sandbox.fault("calendar", "drop", when="after", count=1)
    state = stack.outcome(stack.ask("Only once tomorrow at 4pm"))
    assert state["status"] == "done", state
    assert stack.titles().count("Only once") == 1


def test_a_busy_calendar_is_tried_again(stack: Stack) -> None:
    stack.sandbox.fault("calendar", "429", when="before", count=1, retry_after=1)
    state = stack.outcome(stack.ask("Patience tomorrow at 4pm"))
    assert (state["status"], state["attempts"]) == ("done", 2), state


def test_redis_away_and_back(stack: Stack) -> None:
    stack.redis.stop()
    try:
        begun = time.monotonic()
        answer = stack.http.post("/api/v1/events/", json={"text": "Sync tomorrow at 3pm"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "QueueUnavailable")
        assert time.monotonic() - begun < 10
        assert stack.http.get("/api/v1/health").status_code == 200
        assert stack.http.get("/api/v1/calendar/calendars").status_code == 200
    finally:
        stack.redis.start()
    wait_for(lambda: len(stack.consumers()) == EVERYBODY)
    assert stack.outcome(stack.ask("Back again tomorrow at 6pm"))["status"] == "done"


# after the outage of Redis: within ten seconds of a process's death, losing the broker too ends Celery's parent
# (celery issue 9250), and here is no engine to start the container again
def test_worker_processes_that_die_are_replaced_and_their_job_done_once(stack: Stack) -> None:
    stack.sandbox.fault("calendar", "stall", when="after", count=1)
    task = stack.ask("Survivor tomorrow at 5pm")
    wait_for(lambda: stack.state(task)["attempts"] == 1 and "Survivor" in stack.titles())
    victims = {consumer["pid"] for consumer in stack.consumers() if consumer["role"] == "worker"}
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    stack.sandbox.clear_faults()
    state = stack.outcome(task)
    assert (state["status"], state["attempts"]) == ("done", 2), state
    assert stack.titles().count("Survivor") == 1
    wait_for(lambda: len(pids := _pids(stack)) == EVERYBODY and not victims & pids)


def test_a_dead_grant_is_a_clear_failure(stack: Stack) -> None:
    stack.sandbox.revoke_grants()
    stack.expire()
    state = stack.outcome(stack.ask("Too late tomorrow at 3pm"))
    assert (state["status"], state["error"]["type"]) == ("failed", "ReauthRequired"), state
    answer = stack.http.get("/api/v1/calendar/calendars")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "ReauthRequired")
    assert "retry-after" not in answer.headers
    status = stack.http.get("/api/v1/calendar/auth/status").json()
    assert (status["condition"]["type"], status["condition"]["status"]) == ("ReauthRequired", "True")
    stack.push()
    assert stack.outcome(stack.ask("Healed tomorrow at 3pm"))["status"] == "done"


def test_revoking_ends_it_for_everybody(stack: Stack) -> None:
    token = stack.store.access_token()
    answer = stack.http.post("/api/v1/calendar/auth/revoke", json={"confirm": True})
    assert answer.json() == {"status": "revoked"}, answer.text
    assert not stack.sandbox.accepts(token)
    ready = stack.http.get("/api/v1/health/ready")
    assert ready.status_code == 503
    assert stack.outcome(stack.ask("Gone tomorrow at 3pm"))["error"]["type"] == "ReauthRequired"
    assert stack.http.get("/api/v1/calendar/auth/status").json()["state"] == "missing"
    wait_for(lambda: all(consumer["generation"] is None for consumer in stack.consumers()))
    stack.push()
    wait_for(lambda: stack.http.get("/api/v1/health/ready").status_code == 200)


def test_no_log_carries_a_secret(stack: Stack) -> None:
    log = stack.log.read_text()
    assert "in the calendar" in log, "the workers' log is looked at"
    secrets = {stack.sandbox.client.client_secret}
    for file in stack.path.parent.rglob("*"):
        with contextlib.suppress(ValueError, OSError):
            fields = json.loads(file.read_text())
            secrets |= {fields[name] for name in ("token", "refresh_token", "client_secret") if fields.get(name)}
    assert len(secrets) >= 3
    for secret in secrets:
        assert secret not in log
    for consumer in stack.consumers():
        for kind in ("cmdline", "environ"):
            assert not any(
                secret.encode() in Path(f"/proc/{consumer['pid']}/{kind}").read_bytes() for secret in secrets
            )


def _all_there(stack: Stack) -> bool:
    """Tell whether every process reports; the listener is open before the API is, so a first request may time out."""
    with contextlib.suppress(httpx.HTTPError):
        return len(stack.consumers()) == EVERYBODY
    return False


def _pids(stack: Stack) -> set[int]:
    return {consumer["pid"] for consumer in stack.consumers()}
