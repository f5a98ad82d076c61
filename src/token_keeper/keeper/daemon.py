"""The keeper's loop: look at the volume every second, renew what is due, have foreign writes judged."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import Any, Final

from token_keeper.clock import uptime
from token_keeper.errors import ProviderUnavailable, TokenKeeperError, TokenMissing
from token_keeper.keeper.active import ActiveRole
from token_keeper.keeper.schedule import ahead
from token_keeper.state import State
from token_keeper.store import TokenStore
from token_keeper.volume import Volume

LOG: Final = logging.getLogger("token_keeper.keeper")

_LOOK_EVERY: Final = 1.0
_SAID_AGAIN_AFTER: Final = 300.0
_LONGEST_LOOK: Final = 60.0
"""Seconds for one look: lock, exchange and saving a reply on a disk that fails all have deadlines of their own."""


class Keeper:
    """Keeps one document fresh.

    Args:
        store: the store.
        look_every: seconds between two looks at the volume.
    """

    def __init__(self, store: TokenStore, *, look_every: float = _LOOK_EVERY) -> None:
        self._store = store
        self._look_every = look_every
        self._role = ActiveRole(Volume(store.path))
        self._spread = int.from_bytes(os.urandom(4), "big") / 2**32
        self._stopping = threading.Event()
        self._looked_at = uptime()
        self._not_before = 0.0
        self._said: tuple[str, float] = ("", 0.0)
        self.is_active = False
        self.last_success: float | None = None
        self._seen: int | None = None

    def run(self) -> None:
        """Work until :meth:`stop` is called. At once when idle; an exchange that is under way is seen to its end."""
        LOG.info("keeping %s", self._store.path)
        try:
            while not self._stopping.is_set():
                self.look()
                self._stopping.wait(self._look_every)
        finally:
            self._role.release()
            self.is_active = False
        LOG.info("stopped")

    def stop(self) -> None:
        """Have :meth:`run` return; may be called from a signal handler."""
        self._stopping.set()

    def look(self) -> None:
        """Take one look, and renew the token if it is due and this is the active keeper."""
        self._looked_at = uptime()
        try:
            active = self._role.take()
            if active != self.is_active:
                LOG.info("active" if active else "standing by: another keeper is active")
                self.is_active = active
            if active:
                self._keep()
            self.last_success = time.time()
            self._said = ("", 0.0)
        except TokenKeeperError as error:
            self._say(error)
        self._seen = None
        with contextlib.suppress(TokenKeeperError):
            self._seen = self._store.snapshot().generation
        self._looked_at = uptime()

    def healthy(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether the loop turns."""
        since = uptime() - self._looked_at
        return since < max(_LONGEST_LOOK, 3 * self._look_every), {
            "active": self.is_active,
            "last_look": round(since, 1),
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether consumers can work: a sound document with a valid token whose grant lives."""
        status = self._store.status()
        left = status.document.get("expires_in")
        valid = status.healthy and left is not None and left > 0
        return valid, {
            "active": self.is_active,
            "generation": status.generation,
            "expires_in": left,
            "healthy": status.healthy,
            "document": status.document.get("reason", status.document["state"]),
            "deadlines": status.deadlines,
        }

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Tell which generation this process has seen at its last look, in the form of a page of heartbeats."""
        mine = {"container": os.uname().nodename, "pid": os.getpid(), "generation": self._seen}
        return True, {"consumers": [mine]}

    def _keep(self) -> None:
        if uptime() < self._not_before:
            return
        state = self._store.state() or State()
        wanted = ahead(state, self._spread)
        snapshot = self._store.snapshot()
        if snapshot.generation is not None and self._store.seconds_left() >= wanted:
            return
        # also for what a foreign hand has just written: it is judged, and renewed only if it is due
        outcome = self._store.refresh(min_valid=wanted)
        if outcome.exchanged:
            LOG.info("renewed: generation %d, valid for %s s", outcome.generation, outcome.after["expires_in"])
            # a provider whose tokens live shorter than was thought must not be asked again at once
            self._not_before = uptime() + self._look_every

    def _say(self, error: TokenKeeperError) -> None:
        """Say a fault once, and again every few minutes while it lasts; wait as long as everybody is asked to."""
        if isinstance(error, ProviderUnavailable) and error.retry_after is not None:
            self._not_before = uptime() + min(error.retry_after, _LONGEST_LOOK)
        if error.reason == "BackOff":
            return  # what it follows from was said
        kind = f"{type(error).__name__} {error.reason}"
        if self._said[0] == kind and uptime() - self._said[1] < _SAID_AGAIN_AFTER:
            return
        self._said = (kind, uptime())
        level = logging.WARNING if isinstance(error, (ProviderUnavailable, TokenMissing)) else logging.ERROR
        LOG.log(level, "%s: %s", kind, error)
