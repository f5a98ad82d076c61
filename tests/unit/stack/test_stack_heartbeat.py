"""Heartbeats: prompt on a new generation, patient in an outage, gone when their process is."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from stack_parts import ACCESS_TOKEN, FakeStore, RedisServer

from calendar_assistant.healthcheck import main as healthcheck
from calendar_assistant.heartbeat import LIFE, PREFIX, Heartbeat
from token_keeper import fingerprint
from token_keeper.errors import TokenMissing


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
    assert sorted(delays)[3] < 0.25, "a new generation is told at once, not with the next beat"
    fake_store.error = TokenMissing("gone", reason="Revoked")
    wait_for(lambda: beats(redis_url)[0]["reason"] == "Revoked")
    assert beats(redis_url)[0]["generation"] is None
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


def test_an_unforeseen_error_does_not_end_the_thread(fake_store: FakeStore, redis_url: str) -> None:
    fake_store.error = ValueError("odd")
    heartbeat = Heartbeat(fake_store, redis_url, service="api", role="api")
    heartbeat.start()
    wait_for(lambda: [beat["reason"] for beat in beats(redis_url)] == ["Unforeseen"])
    fake_store.error = None
    wait_for(lambda: beats(redis_url)[0]["generation"] == 1)
    heartbeat.stop()


def test_the_workers_health_wants_every_process(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("TOKEN_KEEPER_SERVICE", "worker")
    with redis.Redis.from_url(redis_url) as client:
        for pid in (1, 2, 3):
            client.set(f"{PREFIX}worker:{socket.gethostname()}:{pid}", "{}")
        client.set(f"{PREFIX}worker:another-container:4", "{}")
        assert healthcheck(["worker"]) == 1
        assert "3 of 4 worker processes" in capsys.readouterr().out
        client.set(f"{PREFIX}worker:{socket.gethostname()}:4", "{}")
        assert healthcheck(["worker"]) == 0


def test_health_without_redis_or_api_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    assert healthcheck(["worker"]) == 1
    assert healthcheck(["api", "--url", "http://127.0.0.1:9/api/v1/health"]) == 1
    said = capsys.readouterr().out
    assert "Redis can't be asked: ConnectionError" in said
    assert "does not answer: ConnectionRefusedError" in said
