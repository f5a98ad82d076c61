"""The loopback receiver (RFC 8252 section 7.3): waits on 127.0.0.1 for the redirect with the answer."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import queue
import socket
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Final

from token_keeper.consent import page
from token_keeper.consent.answer import is_answer
from token_keeper.errors import ConsentError

Objection = Callable[[str], ConsentError | None]
"""Takes the query of an answer, and returns why it is not to be taken for one."""

HOST: Final = "127.0.0.1"
_SILENCE: Final = 5.0
"""Seconds that a connection may say nothing before it is closed."""
_FAREWELL: Final = 2.0
"""Seconds that the last page may take on its way to the browser."""
_POLL: Final = 0.05
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Callback:
    """The one request that brought an answer; its browser waits until it is told what came of it."""

    query: str = dataclasses.field(repr=False)
    _verdict: page.Page | None = None
    _decided: threading.Event = dataclasses.field(default_factory=threading.Event)
    _shown: threading.Event = dataclasses.field(default_factory=threading.Event)

    def show(self, verdict: page.Page) -> None:
        """Send the browser its page; only the first one counts."""
        if not self._decided.is_set():
            self._verdict = verdict
            self._decided.set()

    def await_verdict(self) -> page.Page:
        """Return the page to send, as soon as it is decided."""
        self._decided.wait()
        return self._verdict or page.interrupted()

    def sent(self) -> None:
        """Note that the page is on its way, or that the browser has gone."""
        self._shown.set()

    def await_sent(self, timeout: float) -> None:
        """Wait until the page is on its way, for at most ``timeout`` seconds."""
        self._shown.wait(timeout)


class LoopbackReceiver:
    """Listens from its creation until the answer is there; a context manager that closes everything at its end.

    Args:
        port: the port to listen on; 0 takes a free one.
        path: the path of the redirect.
        redirect_uri: what the redirect is called, where that is registered at the provider; else it is made from
            the port and the path. It listens on 127.0.0.1 whatever that says.
        objection: what an answer is held against; one that it objects to is turned away, and waited on for another.
        on_foreign: called in the thread that waits, when the first answer was turned away.
        on_answer: called in the connection's thread with the answer that is taken.

    Raises:
        ConsentError: ``RedirectPortInUse`` or ``RedirectPortUnusable``.
    """

    def __init__(
        self,
        port: int = 0,
        path: str = "/",
        redirect_uri: str | None = None,
        *,
        objection: Objection = lambda _query: None,
        on_foreign: Callable[[], None] = lambda: None,
        on_answer: Callable[[Callback], None] = lambda _callback: None,
    ) -> None:
        """Start to listen."""
        self._events: queue.SimpleQueue[Callback | Callable[[], None]] = queue.SimpleQueue()
        self._callback: Callback | None = None
        self._objection = objection
        self._on_foreign = on_foreign
        self._on_answer = on_answer
        self._foreign: ConsentError | None = None
        self._lock = threading.Lock()
        self._server = _listen(port)
        self._server.receiver = self
        # a redirect without a path is requested as the root (RFC 9112 section 3.2.1)
        self.path = path or "/"
        self.port: int = self._server.server_address[1]
        self.redirect_uri = redirect_uri or f"http://{HOST}:{self.port}{path}"
        self._thread: threading.Thread | None = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="consent-receiver", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> LoopbackReceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_listening()
        if self._callback is not None:
            self._callback.show(page.interrupted())
            self._callback.await_sent(_FAREWELL)
        self._server.hang_up()

    def wait(self, deadline: float) -> Callback:
        """Wait for the answer, then stop listening.

        Args:
            deadline: when to give up, on the clock of :func:`time.monotonic`.

        Raises:
            ConsentError: ``ConsentTimedOut``, or why the first answer that came was none to this consent.
        """
        while True:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                if self._foreign is not None:
                    raise self._foreign from None
                raise ConsentError(
                    f"no answer came to {self.redirect_uri} in time",
                    reason="ConsentTimedOut",
                    remedy=(
                        "run the consent again, or raise the timeout; if the browser showed "
                        "redirect_uri_mismatch, use a client of type Desktop app or register this redirect; if it "
                        f"runs on another machine, forward the port: ssh -L {self.port}:{HOST}:{self.port}"
                    ),
                ) from None
            if isinstance(event, Callback):
                self._stop_listening()
                return event
            event()

    def call_soon(self, action: Callable[[], None]) -> None:
        """Have the thread that waits run ``action``; from any thread."""
        self._events.put(action)

    def turns_away(self, query: str) -> bool:
        """Tell whether an answer belongs to something else, and remember the first one; from a connection's thread."""
        objection = self._objection(query)
        if objection is None:
            return False
        with self._lock:
            is_first, self._foreign = self._foreign is None, self._foreign or objection
        if is_first:
            self._events.put(self._on_foreign)
        return True

    def take(self, query: str) -> Callback | None:
        """Accept an answer if it is the first one; from a connection's thread."""
        with self._lock:
            if self._callback is not None:
                return None
            self._callback = Callback(query)
        self._events.put(self._callback)
        self._on_answer(self._callback)
        return self._callback

    def _stop_listening(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._thread = None


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: _Server
    timeout = _SILENCE
    server_version = "token-keeper"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.server.connected(self.connection)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.server.disconnected(self.connection)

    def do_GET(self) -> None:
        """Take the answer, or turn a stray request away."""
        receiver = self.server.receiver
        try:
            target = urllib.parse.urlsplit(self.path)
        except ValueError:
            self._send(page.stray(HTTPStatus.NOT_FOUND))
            return
        if target.path != receiver.path or not is_answer(target.query):
            self._send(page.stray(HTTPStatus.NOT_FOUND))
            return
        if receiver.turns_away(target.query):
            self._send(page.foreign())
            return
        callback = receiver.take(target.query)
        if callback is None:
            self._send(page.late())
            return
        try:
            self._send(callback.await_verdict())
        finally:
            callback.sent()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP, or not GET, without quoting it."""
        with contextlib.suppress(OSError):
            self._send(page.stray(HTTPStatus(code)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep silent: the request line carries the code."""

    def _send(self, content: page.Page) -> None:
        body = content.html()
        self.close_connection = True
        self.send_response(content.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection, so that one that says nothing keeps none waiting."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    # more than the default of five, so that a burst of stray connections does not make the browser's one wait
    request_queue_size = 128
    receiver: LoopbackReceiver

    def __init__(self, port: int) -> None:
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((HOST, port), _Handler)

    def connected(self, connection: socket.socket) -> None:
        with self._guard:
            self._open.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        with self._guard:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """End every connection that is still open, so that no thread outlives the consent for long."""
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Note that a connection broke; a traceback would carry its request, and the code in it."""
        _LOGGER.debug("a connection to the consent's receiver broke")


def _listen(port: int) -> _Server:
    try:
        return _Server(port)
    except OverflowError:
        raise _unusable(port, "is not a port number") from None
    except PermissionError:
        raise _unusable(port, "may not be opened by this user") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise _unusable(port, f"cannot be opened ({error.strerror})") from None
        raise ConsentError(
            f"the redirect port {port} on {HOST} is in use by another program",
            reason="RedirectPortInUse",
            remedy="end that program, or set redirect_port to another port, or to 0 for a free one",
        ) from None


def _unusable(port: int, what: str) -> ConsentError:
    return ConsentError(
        f"the redirect port {port} on {HOST} {what}",
        reason="RedirectPortUnusable",
        remedy="set redirect_port to a port between 1024 and 65535, or to 0 for a free one",
    )
