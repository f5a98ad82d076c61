"""The process: a threaded WSGI server that ends quickly when it is told to."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from waitress.server import create_server

from sandbox_provider.app import create_app
from sandbox_provider.provider import Provider

THREADS: Final = 32
"""So many requests are worked on, or stalled, at the same moment; more of them wait for their turn."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; port 0 takes any free one.

    Raises:
        OSError: the port is in use or may not be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def serve(listener: socket.socket, directory: Path, public_url: str | None = None) -> None:
    """Serve on ``listener`` until SIGTERM or SIGINT.

    Args:
        listener: a listening socket.
        directory: where the storage is.
        public_url: the provider's address for browsers; by default where it listens, on loopback.

    Raises:
        OSError: the directory can't be made.
        sqlite3.OperationalError: the directory can't be written to.
    """
    _log_to_stderr()
    # Authlib refuses http except on loopback; containers and tunnels come by other names, and there is no TLS here
    os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")
    host, port = listener.getsockname()[:2]
    provider = Provider(directory, public_url or f"http://127.0.0.1:{port}")

    def stop(number: int, frame: object) -> NoReturn:
        provider.stopping.set()
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server = create_server(
        create_app(provider),
        sockets=[listener],
        threads=THREADS,
        connection_limit=1000,
        # lets a stalled request notice that its client has left
        channel_request_lookahead=1,
        clear_untrusted_proxy_headers=True,
        ident=None,
    )
    logging.getLogger("sandbox_provider").info("listening on %s port %d as %s", host, port, provider.public_url)
    try:
        server.run()
    finally:
        provider.database.close()


def _log_to_stderr() -> None:
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Authlib writes whole tokens at debug level
    logging.getLogger("authlib").setLevel(logging.WARNING)
    # waitress warns whenever a request waits for a thread, which a burst is meant to do
    logging.getLogger("waitress").setLevel(logging.ERROR)
