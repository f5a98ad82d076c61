"""The keeper's small web server, which tells how things are and changes nothing."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from token_keeper.errors import TokenKeeperError

_TIMEOUT: Final = 10.0
_PAGES: Final = b"/healthz, /readyz, /consumers, /metrics\n"

Answer = Callable[[], tuple[bool, dict[str, Any]]]
"""Tells whether something is well, and why (a JSON object without secrets)."""

Answers = Mapping[str, Answer]
"""By the path of their pages."""


class Server:
    """Serves until it is closed; a context manager.

    Args:
        host: address to listen on.
        port: port; 0 takes a free one.
        healthy: whether the process does its work.
        ready: whether consumers can work.
        report: which process this is and the generation it has seen, as every consumer with such a page tells it.
        registry: the metrics.
        documents: the same answers of each document by itself, by its path: ``/readyz?path=/app/tokens/token.json``.

    Raises:
        TokenKeeperError: the address can't be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        healthy: Answer,
        ready: Answer,
        report: Answer,
        registry: CollectorRegistry,
        documents: Mapping[str, Answers] | None = None,
    ) -> None:
        answers = {"/healthz": healthy, "/readyz": ready, "/consumers": report}
        known = {"answers": answers, "documents": documents or {}, "registry": registry}
        handler = type("Handler", (_Handler,), known)
        server = type("Ipv6Server", (_ThreadingServer,), {"address_family": socket.AF_INET6})
        try:
            self._server = (server if ":" in host else _ThreadingServer)((host, port), handler)
        except (OSError, OverflowError) as error:
            raise TokenKeeperError(
                f"cannot listen on {host}:{port}: {error}",
                reason="CannotListen",
                remedy="choose another address with --listen",
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="keeper-http", daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _ThreadingServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up as they like."""


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: Answers
    documents: Mapping[str, Answers]
    registry: CollectorRegistry
    timeout = _TIMEOUT  # who connects and says nothing does not keep a thread for ever
    server_version = "token-keeper"
    sys_version = ""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        document = urllib.parse.parse_qs(query).get("path", [None])[0]
        answers = self.answers if document is None else self.documents.get(document, {})
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, encode(self.registry), content_type)
        elif path in answers:
            self._judge(answers[path])
        elif path in self.answers:
            kept = ", ".join(self.documents)
            self._answer(404, f"kept here: {kept}\n".encode(), "text/plain; charset=utf-8")
        else:
            self._answer(200 if path == "/" else 404, _PAGES, "text/plain; charset=utf-8")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _judge(self, ask: Answer) -> None:
        try:
            well, facts = ask()
        except TokenKeeperError as error:
            well, facts = False, {"error": error.as_dict()}
        self._answer(200 if well else 503, (json.dumps(facts, sort_keys=True) + "\n").encode(), "application/json")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing: probes come every few seconds."""
