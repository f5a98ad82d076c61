"""``python -m sandbox_provider``."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sqlite3
import sys
import threading
from pathlib import Path

from sandbox_provider.server import listen, serve


def main() -> int:
    """Run the provider; return the exit code."""
    parser = argparse.ArgumentParser(prog="sandbox_provider", description="OAuth 2.0 provider for demo and tests")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9400, help="port to listen on (default: %(default)s)")
    parser.add_argument("--fd", type=int, help="descriptor of a listening socket, in place of host and port")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("SANDBOX_DATA", "/data")),
        help="directory of the storage (default: $SANDBOX_DATA or /data)",
    )
    parser.add_argument(
        "--public-url",
        default=os.environ.get("SANDBOX_PUBLIC_URL") or None,
        help="address for browsers (default: $SANDBOX_PUBLIC_URL or http://127.0.0.1:PORT)",
    )
    parser.add_argument(
        "--until-eof", action="store_true", help="end with standard input, so as not to outlive whoever holds it"
    )
    options = parser.parse_args()
    if options.until_eof:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        listener = listen(options.host, options.port) if options.fd is None else socket.socket(fileno=options.fd)
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"can't listen on {options.host} port {options.port}: {error}; choose another --port\n")
        return 1
    try:
        serve(listener, options.data, options.public_url)
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"can't use the storage in {options.data}: {error}; choose another --data\n")
        return 1
    return 0


def _end_with_stdin() -> None:
    # not through sys.stdin: a thread that waits in its lock breaks the end of the interpreter
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
