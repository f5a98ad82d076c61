"""A web server that says what a test tells it to, for what no provider says of itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, bytes] | Callable[[BaseHTTPRequestHandler], None]


class SmallServer(ThreadingHTTPServer):
    """Answers by path; anything else is 404.

    Attributes:
        answers: status and body, or what writes the answer itself, by path.
        asked: the paths that were asked for, with their queries.
        headers: the headers of the last request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: SmallServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers = dict(self.headers.items())
        answer = self.server.answers.get(self.path.partition("?")[0], (404, b"not found"))
        with contextlib.suppress(OSError):
            if callable(answer):
                answer(self)
                return
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep silent."""


@contextlib.contextmanager
def small_server() -> Iterator[SmallServer]:
    with SmallServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
