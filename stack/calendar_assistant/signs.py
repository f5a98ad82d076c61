"""Signs of life in the container's ``/tmp``: a file a process, touched when its heartbeat has reached Redis.

The health check looks at these and not into Redis, since it runs every few seconds and a client would take longer to
import than everything else it does. So would ``pathlib`` and ``tempfile``, which are done without here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

LIFE: Final = 3.0
"""Seconds after which a process that has fallen silent counts as gone."""


def touch() -> None:
    """Leave the sign of this process.

    Raises:
        OSError: there is no place for it.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(_directory(), 0o700)
    descriptor = os.open(_mine(), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def remove() -> None:
    """Take the sign of this process away."""
    with contextlib.suppress(OSError):
        os.unlink(_mine())


def signs() -> Iterator[float]:
    """Yield the time of each process's last sign, in seconds since the epoch."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(_directory()):
            with contextlib.suppress(FileNotFoundError):  # its process has just ended
                yield entry.stat().st_mtime


def _mine() -> str:
    return os.path.join(_directory(), str(os.getpid()))


def _directory() -> str:
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", "heartbeats")  # noqa: S108 - the container's own
