"""The event log of a volume: who did what when, in fingerprints; bounded, one JSON object a line."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import deque
from typing import Any, Final

from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.state import timestamp
from token_keeper.volume import Volume

_MAX_BYTES: Final = 262_144
_KEPT_LINES: Final = 500


class Events:
    """The log of one document.

    Args:
        volume: the document's files.
        service: who writes.
    """

    def __init__(self, volume: Volume, service: str) -> None:
        self._volume = volume
        self.service = service

    def record(self, directory: int, what: str, **facts: Any) -> None:
        """Append an event; the caller holds the lock.

        A log that can't be written must never fail the work it tells of, so its errors are passed over.
        """
        line = {
            "time": timestamp(time.time()),
            "event": what,
            "service": self.service,
            "container": socket.gethostname(),
            "pid": os.getpid(),
            **facts,
        }
        with contextlib.suppress(OSError, StorageError, TokenCorrupt):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._volume.events_name, flags, 0o600, dir_fd=directory)
            try:
                if os.geteuid() == 0:
                    owner = os.fstat(directory)
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
                os.write(descriptor, (json.dumps(line) + "\n").encode())
                full = os.fstat(descriptor).st_size > _MAX_BYTES
            finally:
                os.close(descriptor)
            if full:
                lines = [json.dumps(event) + "\n" for event in self.newest(_KEPT_LINES)]
                while sum(map(len, lines)) > _MAX_BYTES // 2:  # long lines: else the next event would do it all again
                    del lines[: len(lines) // 2 + 1]
                self._volume.replace(directory, self._volume.events_name, "".join(lines).encode())

    def newest(self, count: int) -> list[dict[str, Any]]:
        """Return the newest events, oldest first; broken lines are left out."""
        events: deque[dict[str, Any]] = deque(maxlen=count)
        for line in self._lines():
            event = _parsed(line)
            if event is not None:
                events.append(event)
        return list(events)

    def last(self) -> dict[str, Any] | None:
        """Return the newest event, ``None`` where there is none; no other line is parsed."""
        return self.lasts(frozenset())[0]

    def lasts(self, named: frozenset[str]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return the newest event, and the newest of those names; no line is parsed that is older than both.

        Args:
            named: what the second one is called; of no name, it is not looked for.
        """
        newest: dict[str, Any] | None = None
        for line in reversed(self._lines()):
            event = _parsed(line)
            if event is None:
                continue
            newest, name = newest or event, event.get("event")
            if not named or (isinstance(name, str) and name in named):
                return newest, event
        return newest, None

    def _lines(self) -> list[bytes]:
        found = self._volume.read(self._volume.events_name, limit=2 * _MAX_BYTES)
        return (found[0] if found else b"").splitlines()


def _parsed(line: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return None
