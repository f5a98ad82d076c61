"""Heartbeats: prompt on a new generation, patient in an outage, gone when their process is."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from stack_parts import ACCESS_TOKEN, FakeStore, RedisServer

import calendar_assistant
from calendar_assistant.healthcheck import main as healthcheck
from calendar_assistant.heartbeat import _AGAIN, _EVERY, PREFIX, Heartbeat
from calendar_assistant.signs import LIFE, signs
from token_keeper import Snapshot, TokenStore, fingerprint
from token_keeper.errors import TokenMissing

STACK = str(Path(calendar_assistant.__file__).parents[1])


@pytest.fixture
def signs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def wait_for(what: Callable[[], bool], timeout: float = 5.0) -> float:
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < timeout, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - begun


def beats(url: str) -> list[dict[str, Any]]:
    with redis.Redis.from_url(url) as client:
        return [json.loads(client.get(key) or b"{}") for key in client.scan_iter(f"{PREFIX}*")]


def test_reports_what_the_store_of_this_process_sees(fake_store: FakeStore, redis_url: str) -> None:
    heartbeat = Heartbeat(fake_store, redis_url, service="api", role="api")
    heartbeat.start()
    wait_for(lambda: len(beats(redis_url)) == 1)
    beat = beats(redis_url)[0]
    assert (beat["service"], beat["role"], beat["container"]) == ("api", "api", socket.gethostname())
    assert (beat["generation"], beat["access_token_fingerprint"]) == (1, fingerprint(ACCESS_TOKEN))
    assert ACCESS_TOKEN not in json.dumps(beat)
    delays = []
    for generation in range(2, 9):
        fake_store.generation = generation
        delays.append(wait_for(lambda wanted=generation: beats(redis_url)[0]["generation"] == wanted))  # type: ignore[misc]
    assert sorted(delays)[3] < 0.5, "a new generation is told soon, not with the next beat"
    fake_store.error = TokenMissing("gone", reason="Revoked")
    wait_for(lambda: beats(redis_url)[0]["reason"] == "Revoked")
    assert beats(redis_url)[0]["generation"] is None
    heartbeat.stop()
    assert beats(redis_url) == []


def test_a_heartbeat_is_woken_by_the_volume(
    fake_store: FakeStore, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calendar_assistant.heartbeat._EVERY", 60.0)
    monkeypatch.setattr("calendar_assistant.heartbeat.LIFE", 90.0)
    store = TokenStore(tmp_path / "token.json")
    store.replace(fake_store.document)
    heartbeat = Heartbeat(store, redis_url, service="api", role="api", directory=tmp_path)
    heartbeat.start()
    wait_for(lambda: len(beats(redis_url)) == 1)
    for generation in range(2, 9):
        store.replace(dataclasses.replace(fake_store.document, token=f"another-{generation}"), force=True)
        # far sooner than with the next beat
        wait_for(lambda wanted=generation: beats(redis_url)[0]["generation"] == wanted, 20)  # type: ignore[misc]
    heartbeat.stop()
    assert beats(redis_url) == []


def test_a_process_that_dies_drops_off_the_list(fake_store: FakeStore, redis_url: str) -> None:
    heartbeat = Heartbeat(fake_store, redis_url, service="api", role="api")
    heartbeat.start()
    wait_for(lambda: len(beats(redis_url)) == 1)
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < client.pttl(next(client.scan_iter(f"{PREFIX}*"))) <= LIFE * 1000
    heartbeat.stop()


def test_an_outage_of_redis_is_waited_out(
    fake_store: FakeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    heartbeat = Heartbeat(fake_store, server.url, service="api", role="api")
    heartbeat.start()
    wait_for(lambda: "heartbeats pause" in caplog.text)
    try:
        server.start()
        wait_for(lambda: len(beats(server.url)) == 1)
        assert caplog.text.count("heartbeats pause") == 1, "an outage is told once"
    finally:
        heartbeat.stop()
        server.stop()


def test_an_outage_after_the_first_beat_is_waited_out_in_peace(fake_store: FakeStore, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    heartbeat = Heartbeat(fake_store, server.url, service="api", role="api", directory=tmp_path)
    heartbeat.start()
    wait_for(lambda: len(beats(server.url)) == 1)
    server.stop()
    looked, look = 0, fake_store.snapshot

    def counted() -> Snapshot:
        nonlocal looked
        looked += 1
        return look()

    fake_store.snapshot = counted  # type: ignore[method-assign]
    time.sleep(2 * _EVERY)
    heartbeat.stop()
    assert 1 <= looked <= 2 * _EVERY / _AGAIN + 2, "it tries again in a while, not again and again"


def test_an_unforeseen_error_does_not_end_the_thread(fake_store: FakeStore, redis_url: str) -> None:
    fake_store.error = ValueError("odd")
    heartbeat = Heartbeat(fake_store, redis_url, service="api", role="api")
    heartbeat.start()
    wait_for(lambda: [beat["reason"] for beat in beats(redis_url)] == ["Unforeseen"])
    fake_store.error = None
    wait_for(lambda: beats(redis_url)[0]["generation"] == 1)
    heartbeat.stop()


def test_the_workers_health_wants_every_process(fake_store: FakeStore, redis_url: str, signs_in: Path) -> None:
    def health() -> tuple[int, str]:
        run = subprocess.run(
            [sys.executable, "-m", "calendar_assistant.healthcheck", "worker", "--processes", "2"],
            env={**os.environ, "TMPDIR": str(signs_in), "PYTHONPATH": STACK},
            capture_output=True,
            text=True,
            check=False,
        )
        return run.returncode, run.stdout

    assert health() == (1, "0 of 2 worker processes send heartbeats to Redis\n")
    heartbeat = Heartbeat(fake_store, redis_url, service="worker", role="worker")
    heartbeat.start()
    wait_for(lambda: list(signs()) != [])
    assert health() == (1, "1 of 2 worker processes send heartbeats to Redis\n")
    another = signs_in / "heartbeats" / "1"
    another.touch()
    assert health() == (0, "healthy\n")
    fallen_silent = time.time() - LIFE
    os.utime(another, (fallen_silent, fallen_silent))
    assert health()[0] == 1
    another.unlink()
    heartbeat.stop()
    assert list(signs()) == []


def test_no_sign_without_redis(fake_store: FakeStore, caplog: pytest.LogCaptureFixture, signs_in: Path) -> None:
    heartbeat = Heartbeat(fake_store, "redis://127.0.0.1:9/0", service="worker", role="worker")
    heartbeat.start()
    wait_for(lambda: "heartbeats pause" in caplog.text)
    assert list(signs()) == []
    heartbeat.stop()


def test_a_sign_that_cannot_be_written_is_told_once(
    fake_store: FakeStore, redis_url: str, caplog: pytest.LogCaptureFixture, signs_in: Path
) -> None:
    (signs_in / "heartbeats").write_text("in the way")
    heartbeat = Heartbeat(fake_store, redis_url, service="worker", role="worker")
    heartbeat.start()
    for generation in (2, 3):  # two reports
        fake_store.generation = generation
        wait_for(lambda wanted=generation: [b["generation"] for b in beats(redis_url)] == [wanted])  # type: ignore[misc]
    wait_for(lambda: "its sign can't be written" in caplog.text)
    heartbeat.stop()
    assert caplog.text.count("its sign can't be written") == 1


def test_health_imports_nothing_that_takes_longer_than_the_look() -> None:
    dear = {"redis", "celery", "argparse", "http.client", "pathlib", "tempfile", "urllib.parse"}
    program = f"import sys, calendar_assistant.healthcheck; sys.exit(len({dear} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": STACK}, check=False)
    assert run.returncode == 0


def test_health_without_an_api_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck(["api", "--port", "9"]) == 1
    assert "does not answer: ConnectionRefusedError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 0, "healthy"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1, "/api/v1/health answers HTTP 503"),
        (b"", 1, "answers nothing"),
        (b"HTTP/1.1", 1, "answers nothing"),
    ],
)
def test_health_is_what_the_api_answers(
    capsys: pytest.CaptureFixture[str], answer: bytes, code: int, told: str
) -> None:
    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(1000))
            connection.sendall(answer)

    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        assert healthcheck(["api", "--port", str(listening.getsockname()[1])]) == code
        thread.join()
    assert told in capsys.readouterr().out
    assert asked[0].startswith(b"GET /api/v1/health HTTP/1.0\r\n")


@pytest.mark.parametrize(
    "arguments", [[], ["redis"], ["api", "--url", "x"], ["worker", "--processes"], ["worker", "--processes", "-1"]]
)
def test_health_that_is_asked_wrongly_says_how(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert healthcheck(arguments) == 2
    assert "usage: " in capsys.readouterr().err
