"""Asking an endpoint for heartbeats, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from module_utils.token_keeper_helper.heartbeats import Beat, Heartbeats, fetch_all
from module_utils.token_keeper_helper.readiness import Readiness, ask
from serving import endpoint, nobody


def test_beats_are_read_and_no_proxy_stands_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    told = {
        "consumers": [
            {"container": "abc", "pid": 7, "generation": 3, "service": "api"},
            {"container": "d", "pid": 1, "generation": None},
        ]
    }
    with endpoint(json.dumps(told).encode()) as url:
        found = fetch_all([url])
    assert found.beats == (Beat("abc", 7, 3), Beat("d", 1, None))
    assert found.obstacle == ""


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"consumers": 3}',
        b'{"consumers": [{"pid": 1}]}',
        b'{"consumers": ["a"]}',
        b'{"consumers": null}',
        b'{"consumers": [{"container": "a", "pid": Infinity, "generation": 1}]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_another_answer_is_an_obstacle(body: bytes) -> None:
    with endpoint(body) as url:
        found = fetch_all([url])
    assert found.beats == ()
    assert url in found.obstacle


def test_an_error_is_an_obstacle() -> None:
    with endpoint(b"busy", 503) as url:
        assert "did not answer" in fetch_all([url]).obstacle


def test_nobody_there_is_an_obstacle() -> None:
    with nobody() as url:
        assert "refused" in fetch_all([url]).obstacle


def test_several_pages_are_read_together_and_one_that_is_silent_is_named() -> None:
    one, two = ({"consumers": [{"container": name, "pid": 1, "generation": 4}]} for name in ("api", "keeper"))
    with endpoint(json.dumps(one).encode()) as api, endpoint(json.dumps(two).encode()) as keeper:
        assert fetch_all([api, keeper]) == Heartbeats((Beat("api", 1, 4), Beat("keeper", 1, 4)))
        with endpoint(b"busy", 503) as silent:
            found = fetch_all([api, silent])
    assert found.beats == (Beat("api", 1, 4),)
    assert found.silent == {silent: "it answered 503"}
    assert silent in found.obstacle
    assert api not in found.obstacle


@contextmanager
def socket_that_says(reply: bytes) -> Iterator[str]:
    """Something that listens where a page was expected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/consumers"


@pytest.mark.parametrize(
    "reply", [b"+OK ready\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"]
)
def test_what_is_no_http_is_an_obstacle(reply: bytes) -> None:
    with socket_that_says(reply) as url:
        assert "did not answer with heartbeats" in fetch_all([url]).obstacle


def test_a_port_that_speaks_something_else_is_not_ready() -> None:
    with socket_that_says(b"+OK ready\r\n") as url:
        assert ask(url)
        with Readiness(url) as readiness:
            assert "is not ready any more" in readiness.wait(5)


def test_what_ends_the_question_is_not_taken_for_ready() -> None:
    def broken(_: str) -> str:
        raise RuntimeError("canary")

    with Readiness("http://127.0.0.1:1/", broken) as readiness:
        assert "RuntimeError" in readiness.wait(5)
        assert "canary" not in readiness.obstacle
