"""Pages over real HTTP, and over what is none: whatever one does, the answer comes in time and says what was wrong."""

from __future__ import annotations

import socket
import time

import pytest
from module_utils.token_keeper_helper import counter, readiness
from module_utils.token_keeper_helper.pages import NOBODY, Page, ask, ask_all
from serving import endpoint, nobody, raw, told


def dripping(peer: socket.socket) -> None:
    peer.recv(1000)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        peer.sendall(b" ")
        time.sleep(0.1)


def silent(peer: socket.socket) -> None:
    peer.recv(1000)
    time.sleep(5.0)


def test_an_answer_comes_with_its_status_and_body() -> None:
    with endpoint(b"fine") as good, endpoint(b"busy", 503) as bad:
        assert ask_all([good, bad], 5.0) == [Page(good, 200, b"fine"), Page(bad, 503, b"busy", "it answered 503")]


@pytest.mark.parametrize("behave", [dripping, silent])
def test_a_slow_page_is_waited_for_no_longer_than_was_said(behave: object) -> None:
    began = time.monotonic()
    with raw(behave) as slow, endpoint(b"fine") as good:  # type: ignore[arg-type]
        pages = ask_all([slow, slow, good], 0.6)
        took = time.monotonic() - began
    assert [page.status for page in pages] == [NOBODY, NOBODY, 200]
    assert all(page.why for page in pages[:2])
    assert took < 3.0


def test_nobody_and_what_is_no_http_are_told() -> None:
    with nobody() as url:
        assert "refused" in ask(url, 5.0).why
    with raw(lambda peer: peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as url:
        page = ask(url, 5.0)
    assert page.status == NOBODY
    assert "SSH-2.0" in page.why
    with raw(lambda peer: None) as url:
        assert ask(url, 5.0).why


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "", "http://[::1", "http://a b/"])
def test_what_is_no_address_of_a_page_is_not_opened(url: str) -> None:
    page = ask(url, 5.0)
    assert (page.status, page.body) == (NOBODY, b"")
    assert page.why


def test_of_a_large_answer_a_part_is_read() -> None:
    with endpoint(b"x" * 3_000_000) as url:
        assert len(ask(url, 10.0).body) == 1_000_000


def test_a_proxy_is_used_for_other_machines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(b"by proxy") as proxy, endpoint(b"here") as url:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(url, 5.0).body == b"here"
        assert ask("http://elsewhere.invalid/", 5.0).body == b"by proxy"
        assert ask("http://elsewhere.invalid/", 5.0, proxy=False).status == NOBODY


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (told({"exchanges": {"refresh_token": 41}}), 41),
        (told({"exchanges": {"refresh_token": 0}}), 0),
        (told({"exchanges": {"refresh_token": "41"}}), None),
        (told({"exchanges": {"refresh_token": True}}), None),
        (told({"exchanges": {}}), None),
        (told([]), None),
        (b"<html>", None),
        (b"\xff", None),
    ],
)
def test_the_provider_s_count_is_a_number_or_why_there_is_none(body: bytes, count: int | None) -> None:
    with endpoint(body) as url:
        found = counter.look(url)
    assert found == {
        "count": count,
        "why": "" if count is not None else "it answered, but not with a count of exchanges",
    }


def test_a_counter_that_does_not_answer_is_no_count() -> None:
    with nobody() as url:
        found = counter.look(url)
    assert found["count"] is None
    assert "refused" in found["why"]
    with endpoint(told({"exchanges": {"refresh_token": 1}}), 500) as url:
        assert counter.look(url) == {"count": None, "why": "it answered 500"}


def test_readiness_names_the_checks_that_failed() -> None:
    checks = [{"name": "redis", "ok": False, "message": "Redis does not answer"}, {"name": "token", "ok": True}]
    with endpoint(told({"status": "unready", "checks": checks}), 503) as url:
        assert readiness.look(url) == {"status": 503, "failed": ["Redis does not answer"], "why": "it answered 503"}
        assert readiness.ask(url) == "it answered 503"
    with endpoint(told({"status": "ready", "checks": []})) as url:
        assert readiness.look(url) == {"status": 200, "failed": [], "why": ""}
        assert readiness.ask(url) == ""


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"checks": 3}', b'{"checks": [{"ok": false}]}'])
def test_readiness_of_another_application_is_its_status_alone(body: bytes) -> None:
    with endpoint(body, 503) as url:
        assert readiness.look(url) == {"status": 503, "failed": [], "why": "it answered 503"}


def test_what_an_unready_application_says_is_cut_to_what_fits() -> None:
    checks = [{"ok": False, "message": "x" * 1000}] * 100
    with endpoint(told({"checks": checks}), 503) as url:
        failed = readiness.look(url)["failed"]
    assert len(failed) == 20
    assert len(failed[0]) == 300
