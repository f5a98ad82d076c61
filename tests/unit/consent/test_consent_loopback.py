"""The receiver, over real sockets: what it takes, what it turns away, and that nothing holds it up."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from http import HTTPStatus

import pytest

from token_keeper.consent import page
from token_keeper.consent.loopback import HOST, Callback, LoopbackReceiver
from token_keeper.errors import ConsentError

DONE = page.granted(("scope",))
FOREIGN = ConsentError("an answer to another consent", reason="StateMismatch")


@pytest.fixture
def receiver() -> Iterator[LoopbackReceiver]:
    with LoopbackReceiver() as listening:
        yield listening


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def fetch(receiver: LoopbackReceiver, target: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    with closing(http.client.HTTPConnection(HOST, receiver.port, timeout=10)) as connection:
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()


def say(receiver: LoopbackReceiver, data: bytes) -> bytes:
    with socket.create_connection((HOST, receiver.port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def answered(receiver: LoopbackReceiver, pool: ThreadPoolExecutor, target: str = "/?code=x&state=y") -> None:
    """Hold that the receiver still takes an answer, at once."""
    reply = pool.submit(fetch, receiver, target)
    began = time.monotonic()
    callback = receiver.wait(began + 10)
    callback.show(DONE)
    assert callback.query == target.partition("?")[2]
    assert reply.result()[0] == HTTPStatus.OK
    assert time.monotonic() - began < 2


def test_the_browser_waits_for_the_verdict(receiver: LoopbackReceiver, pool: ThreadPoolExecutor) -> None:
    reply = pool.submit(fetch, receiver, "/?code=canary-code&state=canary-state")
    callback = receiver.wait(time.monotonic() + 10)
    assert "canary" not in repr(callback)
    assert not reply.done()
    callback.show(page.failed(ConsentError("scopes are missing", remedy="tick the boxes")))
    callback.show(DONE)

    status, headers, body = reply.result()
    assert status == HTTPStatus.BAD_REQUEST
    assert "scopes are missing" in body
    assert "canary" not in body
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Python" not in headers["Server"]


def test_listens_on_127_0_0_1_alone(receiver: LoopbackReceiver) -> None:
    assert receiver.redirect_uri == f"http://127.0.0.1:{receiver.port}/"
    for family, address in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as other, pytest.raises(OSError, match=r"refused|assign|reach"):
            other.connect((address, receiver.port))


def test_a_redirect_without_a_path(pool: ThreadPoolExecutor) -> None:
    with LoopbackReceiver(path="") as receiver:
        assert receiver.redirect_uri == f"http://127.0.0.1:{receiver.port}"
        answered(receiver, pool)


def test_a_registered_redirect_is_called_as_it_is_registered(pool: ThreadPoolExecutor) -> None:
    with LoopbackReceiver(path="/cb", redirect_uri="http://LocalHost/cb") as receiver:
        assert receiver.redirect_uri == "http://LocalHost/cb"
        answered(receiver, pool, "/cb?code=x&state=y")


def test_an_answer_to_something_else_is_turned_away(pool: ThreadPoolExecutor) -> None:
    told: list[threading.Thread] = []
    with LoopbackReceiver(
        objection=lambda query: None if query.endswith("state=y") else FOREIGN,
        on_foreign=lambda: told.append(threading.current_thread()),
    ) as receiver:
        for target in ("/?code=canary&state=x", "/?error=access_denied", "/?code=canary"):
            status, headers, body = fetch(receiver, target)
            assert status == HTTPStatus.BAD_REQUEST
            assert headers["Cache-Control"] == "no-store"
            assert "does not belong" in body
            assert "canary" not in body
        answered(receiver, pool)
    assert told == [threading.current_thread()]


def test_only_the_deadline_tells_of_an_answer_to_something_else() -> None:
    with LoopbackReceiver(objection=lambda _query: FOREIGN) as receiver:
        fetch(receiver, "/?code=x")
        began = time.monotonic()
        with pytest.raises(ConsentError, match="another consent"):
            receiver.wait(began + 0.3)
        assert 0.3 <= time.monotonic() - began < 1


def test_closes_as_soon_as_the_answer_is_there(receiver: LoopbackReceiver, pool: ThreadPoolExecutor) -> None:
    reply = pool.submit(fetch, receiver, "/?code=x")
    callback = receiver.wait(time.monotonic() + 10)

    with pytest.raises(ConnectionRefusedError):
        fetch(receiver, "/?code=y")
    with LoopbackReceiver(receiver.port):
        pass
    callback.show(DONE)
    assert reply.result()[0] == HTTPStatus.OK


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/favicon.ico", 404),
        ("GET", "/", 404),
        ("GET", "/?state=x", 404),
        ("GET", "/other?code=x&state=y", 404),
        ("GET", "/?" + "&".join(f"code=%{n:02x}" for n in range(99)), 404),
        ("HEAD", "/?code=x&state=y", 501),
        ("POST", "/?code=x&state=y", 501),
        ("OPTIONS", "*", 501),
        ("GET", "/?code=" + "x" * 70_000, 414),
    ],
)
def test_stray_requests(
    receiver: LoopbackReceiver, pool: ThreadPoolExecutor, method: str, target: str, status: int
) -> None:
    code, headers, body = fetch(receiver, target, method)

    assert code == status
    assert headers["Cache-Control"] == "no-store"
    assert ("still awaited" in body) is (method != "HEAD")
    answered(receiver, pool)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /?code=<script>canary</script> x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 300 + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET http://[/?code=canary HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00 \x80 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http(
    receiver: LoopbackReceiver, pool: ThreadPoolExecutor, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert b"canary" not in say(receiver, data)
    answered(receiver, pool)
    assert capfd.readouterr() == ("", "")


def test_connections_that_say_nothing_hold_nothing_up(receiver: LoopbackReceiver, pool: ThreadPoolExecutor) -> None:
    silent = [socket.create_connection((HOST, receiver.port)) for _ in range(20)]
    for slow in silent[:10]:
        slow.sendall(b"GET /?code=")
    answered(receiver, pool)
    for connection in silent:
        connection.close()


def test_connections_that_stay_open_are_ended(pool: ThreadPoolExecutor) -> None:
    with LoopbackReceiver() as receiver:
        silent = socket.create_connection((HOST, receiver.port), timeout=3)
        answered(receiver, pool)
    with silent:
        assert silent.recv(1) == b""


def test_connect_and_close(receiver: LoopbackReceiver, pool: ThreadPoolExecutor) -> None:
    for _ in range(20):
        socket.create_connection((HOST, receiver.port)).close()
    answered(receiver, pool)


def test_a_browser_that_leaves_is_not_waited_for(pool: ThreadPoolExecutor) -> None:
    began = time.monotonic()
    with LoopbackReceiver() as receiver:
        with socket.create_connection((HOST, receiver.port)) as connection:
            connection.sendall(b"GET /?code=x HTTP/1.1\r\n\r\n")
            callback = receiver.wait(time.monotonic() + 10)
        callback.show(DONE)
    assert time.monotonic() - began < 2


def test_two_answers_at_once(receiver: LoopbackReceiver, pool: ThreadPoolExecutor) -> None:
    start = threading.Barrier(8)

    def answer(number: int) -> int:
        start.wait()
        try:
            return fetch(receiver, f"/?code={number}")[0]
        except ConnectionError:
            return 0

    replies: list[Future[int]] = [pool.submit(answer, number) for number in range(8)]
    callback = receiver.wait(time.monotonic() + 10)
    callback.show(DONE)
    statuses = [reply.result() for reply in replies]

    # one is taken; another is told so, or finds the port closed already
    assert statuses.count(HTTPStatus.OK) == 1
    assert set(statuses) <= {HTTPStatus.OK, HTTPStatus.CONFLICT, 0}
    assert callback.query == f"code={statuses.index(HTTPStatus.OK)}"


def test_the_second_answer_is_told_so(receiver: LoopbackReceiver, pool: ThreadPoolExecutor) -> None:
    first = receiver.take("code=first")
    assert isinstance(first, Callback)

    status, _, body = fetch(receiver, "/?code=second")
    assert status == HTTPStatus.CONFLICT
    assert "came first" in body
    assert receiver.wait(time.monotonic() + 1) is first
    first.sent()


def test_timed_out(receiver: LoopbackReceiver) -> None:
    began = time.monotonic()
    with pytest.raises(ConsentError) as caught:
        receiver.wait(began + 0.2)

    assert 0.2 <= time.monotonic() - began < 1
    assert caught.value.reason == "ConsentTimedOut"
    assert receiver.redirect_uri in caught.value.message
    assert f"ssh -L {receiver.port}:127.0.0.1:{receiver.port}" in caught.value.remedy
    assert "redirect_uri_mismatch" in caught.value.remedy


def test_stray_requests_do_not_prolong_the_deadline(receiver: LoopbackReceiver, pool: ThreadPoolExecutor) -> None:
    began = time.monotonic()
    busy = [pool.submit(lambda: [fetch(receiver, "/favicon.ico") for _ in range(20)]) for _ in range(2)]
    with pytest.raises(ConsentError, match="in time"):
        receiver.wait(began + 0.3)

    assert time.monotonic() - began < 1
    for each in busy:
        each.result()


def test_actions_run_in_the_waiting_thread(receiver: LoopbackReceiver) -> None:
    ran: list[threading.Thread] = []
    threading.Thread(target=receiver.call_soon, args=(lambda: ran.append(threading.current_thread()),)).start()
    with pytest.raises(ConsentError, match="in time"):
        receiver.wait(time.monotonic() + 0.3)

    assert ran == [threading.current_thread()]


def test_the_browser_is_told_when_the_program_ends(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(KeyboardInterrupt), LoopbackReceiver() as receiver:
        reply = pool.submit(fetch, receiver, "/?code=x")
        receiver.wait(time.monotonic() + 10)
        raise KeyboardInterrupt

    status, _, body = reply.result()
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "has ended" in body


def test_port_in_use() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConsentError, match=f"port {port} on 127.0.0.1 is in use") as caught:
            LoopbackReceiver(port)

    assert caught.value.reason == "RedirectPortInUse"
    assert "redirect_port" in caught.value.remedy


@pytest.mark.parametrize("port", [-1, 65_536])
def test_port_that_is_none(port: int) -> None:
    with pytest.raises(ConsentError) as caught:
        LoopbackReceiver(port)

    assert caught.value.reason == "RedirectPortUnusable"


def test_the_same_port_can_be_used_again_at_once(pool: ThreadPoolExecutor) -> None:
    with LoopbackReceiver() as receiver:
        answered(receiver, pool)
    with LoopbackReceiver(receiver.port) as again:
        answered(again, pool)


def test_nothing_is_logged(
    receiver: LoopbackReceiver,
    pool: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        fetch(receiver, "/other?code=canary")
        with socket.create_connection((HOST, receiver.port)) as connection:
            connection.sendall(b"GET /x?code=canary HTTP/1.1\r\n\r\n")
            # an abortive close, so that the answer's write fails
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        answered(receiver, pool, "/?code=canary")

    assert "canary" not in caplog.text
    assert capfd.readouterr() == ("", "")
