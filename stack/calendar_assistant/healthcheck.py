"""Health checks for compose: ``python -m calendar_assistant.healthcheck api|worker``.

Cheap on purpose, because they run every few seconds in each container: ``celery inspect ping`` costs seconds of CPU,
the import of a Redis client a third of one, and argparse, http.client and pathlib take longer than Python's own start.
A worker is healthy when each of its processes has sent a heartbeat to Redis within the last three seconds; the sign of
that is a file in the container, which the process touches with each heartbeat.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

from calendar_assistant.signs import LIFE, signs

_USAGE: Final = "usage: healthcheck api [--port 8080] | worker [--processes 4]\n"
_PATH: Final = "/api/v1/health"
_TIMEOUT: Final = 3.0


def main(arguments: Sequence[str]) -> int:
    """Return 0 when healthy, 1 with a reason on stdout, where ``docker inspect`` shows it, and 2 if not understood."""
    problem: str | None
    match arguments:
        case ["api", *options] if (port := _option(options, "--port", 8080)) is not None:
            problem = _api(port)
        case ["worker", *options] if (processes := _option(options, "--processes", 4)) is not None:
            problem = _worker(processes)
        case _:
            sys.stderr.write(_USAGE)
            return 2
    sys.stdout.write(f"{problem or 'healthy'}\n")
    return 1 if problem else 0


def _option(given: Sequence[str], name: str, default: int) -> int | None:
    match given:
        case []:
            return default
        case [option, value] if option == name and value.isdecimal():
            return int(value)
    return None


def _api(port: int) -> str | None:
    asked = f"http://127.0.0.1:{port}{_PATH}"
    try:
        with socket.create_connection(("127.0.0.1", port), _TIMEOUT) as connection:
            connection.sendall(f"GET {_PATH} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            status = connection.makefile("rb").readline(100).split(maxsplit=2)
    except OSError as error:
        return f"{asked} does not answer: {type(error).__name__}"
    if len(status) < 2:
        return f"{asked} answers nothing"
    return None if status[1] == b"200" else f"{asked} answers HTTP {status[1].decode(errors='replace')}"


def _worker(processes: int) -> str | None:
    now = time.time()
    alive = sum(1 for touched in signs() if now - touched < LIFE)
    return None if alive >= processes else f"{alive} of {processes} worker processes send heartbeats to Redis"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
