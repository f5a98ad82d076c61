"""The keeper's loop: look at the volume every second, renew what is due, have foreign writes judged."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import Any, Final

from token_keeper.clock import uptime
from token_keeper.errors import (
    LockTimeout,
    ProviderUnavailable,
    StorageError,
    TokenCorrupt,
    TokenKeeperError,
    TokenMissing,
)
from token_keeper.keeper.active import ActiveRole
from token_keeper.keeper.schedule import ahead, patience
from token_keeper.state import State
from token_keeper.store import Snapshot, TokenStore
from token_keeper.volume import Volume

LOG: Final = logging.getLogger("token_keeper.keeper")

LOCK_TIMEOUT: Final = 1.5
"""Seconds for which a keeper waits for the lock: it comes again a second later, and SIGTERM waits for nobody else."""

_LOOK_EVERY: Final = 1.0
_SAID_AGAIN_AFTER: Final = 300.0
_LONGEST_LOOK: Final = 60.0
"""Seconds for one look: lock, exchange and saving a reply on a disk that fails all have deadlines of their own."""

_LOCKED_FOR_LONG: Final = 20.0
"""Seconds after which a lock that others hold is worth a word: an exchange and saving its reply may take as long."""

_ABANDONED: Final = 20.0
"""Seconds after which an exchange that is still open is nobody's any more: its reply may wait to be rolled forward."""


class Keeper:
    """Keeps one document fresh.

    Args:
        store: the store; one with a short ``lock_timeout`` (:data:`LOCK_TIMEOUT`) can be stopped while it waits.
        look_every: seconds between two looks at the volume.
        named: whether each line of the log begins with the document's path, for a process that keeps several.
    """

    def __init__(self, store: TokenStore, *, look_every: float = _LOOK_EVERY, named: bool = False) -> None:
        self._store = store
        self._log_prefix = f"{store.path}: " if named else ""
        self._look_every = look_every
        self._role = ActiveRole(Volume(store.path))
        self._spread = int.from_bytes(os.urandom(4), "big") / 2**32
        self._stopping = threading.Event()
        self._looked_at = uptime()
        self._token: str | None = None
        self._not_before = 0.0
        self._content_until = 0.0
        self._open_since: float | None = None
        self._finished: str | None = None
        self._said: dict[str, tuple[float, float | None]] = {}
        self.is_active = False
        self.last_success: float | None = None
        self._seen: int | None = None

    @property
    def path(self) -> str:
        """The document's path, by which it is named where several are kept."""
        return str(self._store.path)

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
        self._tell(logging.INFO, "stopped")

    def stop(self) -> None:
        """Have :meth:`run` return; may be called from a signal handler."""
        self._stopping.set()

    def look(self) -> None:
        """Take one look, and do what is to be done if this is the active keeper, or if the active one does not."""
        self._looked_at = uptime()
        told = self._find_role()
        try:
            well, acted = self._keep()
            if well and told:
                self._say_that_it_is_over()
                if self.is_active or acted:
                    self.last_success = time.time()
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

    def _find_role(self) -> bool:
        """Find out whether this is the active keeper; tells whether that could be told.

        Where it can't, the keeper stands by: the token matters more than who renews it.
        """
        try:
            active, told = self._role.take(), True
        except StorageError as error:
            self._say(error)
            active, told = False, False
        if active != self.is_active:
            self._tell(logging.INFO, "active" if active else "standing by: another keeper is active")
            self.is_active = active
        return told

    def _keep(self) -> tuple[bool, bool]:
        """Do what is to be done; tells whether all is well, and whether this keeper has made it so."""
        state = self._store.state() or State()
        wanted = ahead(state, self._spread if self.is_active else 0.0)
        snapshot = self._snapshot()
        self._wait_no_longer_for_another(snapshot)
        # what a foreign hand has just written is judged, what is torn is mended, and a reply that waits is taken
        unsettled = snapshot is None or snapshot.generation is None or self._is_abandoned(state)
        if not unsettled and self._left(snapshot) >= wanted:
            self._open_since = None
            return not _is_dead(state, snapshot), False
        if not unsettled and uptime() < self._content_until:
            return True, False
        if not unsettled and uptime() < self._not_before:
            return False, False
        if not self.is_active and not self._is_overdue(wanted):
            return False, False
        self._act(snapshot if not unsettled else None, wanted)
        self._finished = state.journal.id if state.journal is not None else None
        self._open_since = None
        return True, True

    def _snapshot(self) -> Snapshot | None:
        """Return the document, or ``None`` where there is none that is sound: under the lock it may be mended."""
        try:
            return self._store.snapshot()
        except (TokenCorrupt, TokenMissing):
            return None

    def _wait_no_longer_for_another(self, snapshot: Snapshot | None) -> None:
        """Forget what an earlier token was waited for: a new one was pushed, or somebody has renewed it."""
        token = snapshot.fingerprint if snapshot is not None else None
        if token != self._token:
            self._token, self._not_before, self._content_until = token, 0.0, 0.0

    def _left(self, snapshot: Snapshot | None) -> float:
        """Return the seconds that the token has left, by the boot clock or by what the file says, whichever is less.

        The second is what an unmodified app goes by. Where a wall clock that was stepped forward has made it short, one
        renewal writes a new one.
        """
        if snapshot is None:
            return float("-inf")
        return min(self._store.seconds_left(), snapshot.document.expires_in(time.time()))

    def _is_abandoned(self, state: State) -> bool:
        """Tell whether an exchange was begun whose writer is gone, and nobody has looked after what came of it."""
        journal = state.journal
        return (
            journal is not None
            and journal.outcome == "open"
            and journal.id != self._finished
            and journal.started.age() > _ABANDONED
        )

    def _is_overdue(self, wanted: float) -> bool:
        """Tell whether the active keeper has left undone what is to be done, for longer than it may take."""
        now = uptime()
        if self._open_since is None:
            self._open_since = now
        if now - self._open_since < patience(wanted):
            return False
        self._open_since = now  # if it fails here too, the next try is as far away
        return True

    def _act(self, settled: Snapshot | None, wanted: float) -> None:
        """Have the document judged, mended and renewed, as far as it needs it.

        Args:
            settled: the document, where it is one that the state knows.
            wanted: the seconds that its token should have left.
        """
        by_wall_clock = settled is not None and self._store.seconds_left() >= wanted
        if settled is not None and by_wall_clock:
            outcome = self._store.refresh(rejected=settled.document.token)
        else:
            outcome = self._store.refresh(min_valid=wanted)
        if not outcome.exchanged:
            return
        left = outcome.after["expires_in"]
        self._tell(logging.INFO, "renewed: generation %d, valid for %s s", outcome.generation, left)
        now = self._snapshot()
        self._wait_no_longer_for_another(now)
        if self._left(now) < ahead(self._store.state() or State(), self._spread):
            # the provider gave less than was thought, or the same token again: it must not be asked in a loop
            self._content_until = uptime() + max(self._look_every, self._store.seconds_left() / 2)

    def _say(self, error: TokenKeeperError) -> None:
        """Say a fault once, and again every few minutes while it lasts; wait as long as everybody is asked to."""
        now = uptime()
        if isinstance(error, ProviderUnavailable) and error.retry_after is not None:
            self._not_before = now + min(error.retry_after, _LONGEST_LOOK)
        if error.reason == "BackOff":
            return  # what it follows from was said
        kind = f"{type(error).__name__} {error.reason}"
        begun, said = self._said.get(kind, (now, None))
        self._said[kind] = (begun, said)
        if isinstance(error, LockTimeout) and now - begun < _LOCKED_FOR_LONG:
            return  # others work
        if said is not None and now - said < _SAID_AGAIN_AFTER:
            return
        self._said[kind] = (begun, now)
        level = logging.WARNING if isinstance(error, (ProviderUnavailable, TokenMissing)) else logging.ERROR
        self._tell(level, "%s: %s", kind, error)

    def _say_that_it_is_over(self) -> None:
        """Say that all is well again, where something else was said."""
        now = uptime()
        over = [
            f"{kind}, which lasted {now - begun:.0f} s"
            for kind, (begun, said) in self._said.items()
            if said is not None
        ]
        self._said.clear()
        if over:
            self._tell(logging.INFO, "well again: over is %s", "; ".join(over))

    def _tell(self, level: int, text: str, *parts: object) -> None:
        LOG.log(level, f"%s{text}", self._log_prefix, *parts)


def _is_dead(state: State, snapshot: Snapshot | None) -> bool:
    """Tell whether the provider has refused the grant: its token may live on, and that is all."""
    return (
        state.dead_grant is not None
        and snapshot is not None
        and state.dead_grant == snapshot.document.grant_fingerprint
    )
