"""Signs of life in the container's ``/tmp``: a file a process, touched when its heartbeat has reached Redis.

The health check looks at these and not into Redis, since it runs every few seconds and a client would take longer to
import than everything else it does.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LIFE: Final = 3.0
"""Seconds after which a process that has fallen silent counts as gone."""


def touch() -> None:
    """Leave the sign of this process.

    Raises:
        OSError: there is no place for it.
    """
    _directory().mkdir(mode=0o700, exist_ok=True)
    (_directory() / str(os.getpid())).touch()


def remove() -> None:
    """Take the sign of this process away."""
    with contextlib.suppress(OSError):
        (_directory() / str(os.getpid())).unlink()


def signs() -> Iterator[float]:
    """Yield the time of each process's last sign, in seconds since the epoch."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(_directory()):
            with contextlib.suppress(FileNotFoundError):  # its process has just ended
                yield entry.stat().st_mtime


def _directory() -> Path:
    return Path(tempfile.gettempdir(), "heartbeats")
