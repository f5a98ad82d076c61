"""Says, from inside each process, which generation of the token the process has.

A task can't reach every process of a prefork worker, a thread in each of them can. The thread looks at the store
that its process works with, so that a heartbeat is proof for that process.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from calendar_assistant import signs
from calendar_assistant.changes import Changes
from calendar_assistant.settings import Settings
from calendar_assistant.signs import LIFE
from token_keeper import Snapshot, TokenKeeperError

logger = logging.getLogger(__name__)

PREFIX: Final = "calendar_assistant:consumer:"
_EVERY: Final = 1.0
"""Seconds between two reports; what has changed is told at once."""

_AGAIN: Final = 0.2
"""Seconds after which a report that did not reach Redis is tried again."""

Role = Literal["api", "worker"]


class SnapshotSource(Protocol):
    """What a heartbeat needs of a token store."""

    def snapshot(self) -> Snapshot:
        """Return the document with its generation; one ``stat`` when nothing has changed."""


class Heartbeat:
    """A daemon thread that reports this process to Redis each second, and at once on a new generation.

    Start it after the fork, in the process that it speaks for. An outage of Redis or of the volume is waited out.

    Args:
        store: the store that this process works with.
        redis_url: address of Redis.
        service: name of the service.
        role: what the process does.
        directory: the token volume's, which is watched; without it the thread looks five times a second.
    """

    def __init__(
        self, store: SnapshotSource, redis_url: str, *, service: str, role: Role, directory: Path | None = None
    ) -> None:
        self._store = store
        self._changes = Changes(directory)
        # one attempt with short timeouts: the next beat is the retry
        self._redis = redis.Redis.from_url(
            redis_url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        self._identity = {"service": service, "container": socket.gethostname(), "pid": os.getpid(), "role": role}
        self._key = f"{PREFIX}{service}:{self._identity['container']}:{os.getpid()}"
        self._stopping = threading.Event()
        self._reachable = True
        self._visible = True
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @classmethod
    def of(cls, store: SnapshotSource, settings: Settings, role: Role) -> Heartbeat:
        """Return the one of this process, as the settings have it."""
        service, directory = settings.token_keeper_service, settings.token_keeper_path.parent
        return cls(store, settings.redis_url, service=service, role=role, directory=directory)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Stop, and take this process off the list; waits up to ``timeout`` seconds."""
        self._stopping.set()
        self._changes.wake()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._changes.close()

    def _run(self) -> None:
        said: object = None
        due = 0.0
        while not self._stopping.is_set():
            seen = self._look()
            now = time.monotonic()
            if seen != said or now >= due:
                said, due = (seen, now + _EVERY) if self._report(seen) else (None, now + _AGAIN)
            self._changes.wait(due - time.monotonic())
        signs.remove()
        try:
            self._redis.delete(self._key)
            self._redis.close()
        except redis.RedisError:
            logger.debug("Redis is away: this process's heartbeat ends by itself")

    def _look(self) -> dict[str, object]:
        try:
            snapshot = self._store.snapshot()
        except TokenKeeperError as error:
            return {"generation": None, "access_token_fingerprint": None, "reason": error.reason}
        except Exception:
            logger.exception("the token volume could not be looked at")
            return {"generation": None, "access_token_fingerprint": None, "reason": "Unforeseen"}
        return {"generation": snapshot.generation, "access_token_fingerprint": snapshot.fingerprint, "reason": None}

    def _report(self, seen: dict[str, object]) -> bool:
        beat = {**self._identity, **seen, "seen_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        try:
            self._redis.set(self._key, json.dumps(beat), px=int(LIFE * 1000))
        except redis.RedisError as error:
            if self._reachable:
                logger.warning("heartbeats pause, Redis can't be reached: %s", type(error).__name__)
            self._reachable = False
            return False
        if not self._reachable:
            logger.info("heartbeats go on")
        self._reachable = True
        self._leave_sign()
        return True

    def _leave_sign(self) -> None:
        try:
            signs.touch()
        except OSError as error:
            if self._visible:
                logger.warning("the health check will miss this process, its sign can't be written: %s", error)
            self._visible = False
        else:
            self._visible = True
