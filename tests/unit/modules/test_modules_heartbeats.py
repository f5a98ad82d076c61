"""Asking an endpoint for heartbeats, over real HTTP."""

from __future__ import annotations

import json

import pytest
from module_utils.token_keeper_helper.heartbeats import Beat, Heartbeats, fetch_all
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
