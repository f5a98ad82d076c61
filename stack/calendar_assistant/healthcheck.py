"""Health checks for compose: ``python -m calendar_assistant.healthcheck api|worker``.

Cheap on purpose, because they run every few seconds: ``celery inspect ping`` costs seconds of CPU, and the import of
a Redis client a third of one. A worker is healthy when each of its processes has sent a heartbeat to Redis within the
last three seconds; the sign of that is a file in the container, which the process touches with each heartbeat.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from calendar_assistant.signs import LIFE, signs

_TIMEOUT = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when healthy, else 1 with a reason on stdout, where ``docker inspect`` shows it."""
    parser = argparse.ArgumentParser(prog="healthcheck", description="Tell whether this container works.")
    checks = parser.add_subparsers(required=True)
    api = checks.add_parser("api", help="the API answers")
    api.add_argument("--url", default="http://127.0.0.1:8080/api/v1/health", help="address to ask")
    api.set_defaults(check=lambda options: _api(options.url))
    worker = checks.add_parser("worker", help="every worker process sends heartbeats")
    worker.add_argument("--processes", type=int, default=4, help="how many there must be (default: 4)")
    worker.set_defaults(check=lambda options: _worker(options.processes))
    options = parser.parse_args(arguments)
    problem: str | None = options.check(options)
    sys.stdout.write(f"{problem or 'healthy'}\n")
    return 1 if problem else 0


def _api(url: str) -> str | None:
    import http.client  # noqa: PLC0415 - the check of a worker does without them
    import urllib.parse  # noqa: PLC0415

    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=_TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"{url} answers HTTP {status}"


def _worker(processes: int) -> str | None:
    now = time.time()
    alive = sum(1 for touched in signs() if now - touched < LIFE)
    return None if alive >= processes else f"{alive} of {processes} worker processes send heartbeats to Redis"


if __name__ == "__main__":
    sys.exit(main())
