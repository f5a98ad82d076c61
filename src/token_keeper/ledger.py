"""The document and its state as seen under the lock: what is on disk is reconciled before anything is decided.

A ledger exists only while the lock is held. Opening one finishes what a writer that died had begun, takes over what
an unmodified app wrote, and puts back what should not have been overwritten.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import stat
import time
from typing import Final

from token_keeper.document import TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt, TokenKeeperError, TokenMissing
from token_keeper.events import Events
from token_keeper.fingerprint import fingerprint
from token_keeper.history import Entry, History
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import Identity, State
from token_keeper.volume import Volume

_SETTLE: Final = 0.5
"""Seconds that a foreign writer without atomic writes is given to finish, before its torn file is replaced."""


@dataclasses.dataclass(slots=True)
class Ledger:
    """What is in the volume, while the lock is held.

    Attributes:
        directory: descriptor of the volume's directory, which carries the lock.
        document: the sound document on disk, or ``None``.
        problem: why there is none although a file is there.
        state: the state that goes with it; every change has to be saved with :meth:`save`.
        well_kept: whether the document's file has the owner and the mode it should have.
    """

    volume: Volume
    history: History
    events: Events
    directory: int
    state: State
    document: TokenDocument | None = None
    problem: TokenCorrupt | None = None
    well_kept: bool = True

    @classmethod
    def open(cls, volume: Volume, events: Events, directory: int) -> Ledger:
        """Read the volume under the lock and reconcile what is found.

        Raises:
            StorageError: the volume can't be read, or what has to be mended can't be written.
        """
        ledger, lineage_known = cls._look(volume, events, directory)
        if lineage_known:
            ledger._finish_exchange()
        ledger._settle()
        ledger._take_over(lineage_known=lineage_known)
        return ledger

    @classmethod
    def peek(cls, volume: Volume, events: Events, directory: int) -> Ledger:
        """Read the volume under the lock and leave all as it is, for a dry run."""
        return cls._look(volume, events, directory)[0]

    @classmethod
    def _look(cls, volume: Volume, events: Events, directory: int) -> tuple[Ledger, bool]:
        history = History(volume)
        state, lineage_known = _load_state(volume, history)
        ledger = cls(volume, history, events, directory, state)
        ledger._read()
        return ledger, lineage_known

    def save(self) -> None:
        """Write the state, durably."""
        self.volume.replace(self.directory, self.volume.state_name, self.state.to_json().encode())

    def accept(
        self, document: TokenDocument, *, event: str, new_grant: bool = False, pending: str | None = None
    ) -> None:
        """Make a document the current one: history first, then the document, then the state.

        Args:
            document: what to install.
            event: what to call it in the event log.
            new_grant: whether it comes from a new consent, so that the earlier grant stays in the history.
            pending: name of a pending file that already holds exactly this document and is renamed.
        """
        state = self.state
        identity = Identity.of(document)
        generation = self.next_generation()
        if state.grant is None or new_grant:
            state.grant = secrets.token_hex(8)
        self.history.record(self.directory, Entry(state.grant, generation, document))
        if pending is None:
            if self.document != document or not self.well_kept:
                self.volume.replace(self.directory, self.volume.name, document.to_json().encode())
        else:
            self.volume.promote(self.directory, pending)
        before = state.identity
        if before is not None and before.refresh_token != identity.refresh_token:
            state.supersede(before.refresh_token)
        if identity.refresh_token in state.superseded:
            # brought back on purpose (force): it has to stop being refused
            state.superseded.remove(identity.refresh_token)
        state.generation = generation
        state.identity = identity
        state.journal = None
        state.tombstone = None
        self.document, self.problem = document, None
        now = time.time()
        if state.dead_grant != identity.grant:
            state.dead_grant = state.dead_reason = None
            state.failures, state.cooldown_until = 0, None
            state.set_condition(
                "ReauthRequired", "False", "GrantAccepted", "the provider has not refused this grant", now
            )
        state.set_condition("Refreshing", "False", "Idle", "no exchange is under way", now)
        state.set_condition("Ready", "True", event, f"generation {generation}", now)
        self.save()
        self.events.record(
            self.directory,
            event,
            generation=generation,
            access_token=identity.access_token,
            refresh_token=identity.refresh_token,
        )

    def next_generation(self) -> int:
        """Return the generation of the next accepted document; it never falls."""
        journalled = self.state.journal.generation if self.state.journal else 0
        return max(self.state.generation + 1, journalled)

    def reread(self) -> TokenDocument | None:
        """Return what is on disk now if it is sound and not superseded: a foreign writer does not take the lock."""
        with contextlib.suppress(TokenCorrupt):
            found = self.volume.read(self.volume.name)
            if found is not None:
                document = TokenDocument.parse(found[0], str(self.volume.path))
                if fingerprint(document.refresh_token) not in self.state.superseded:
                    return document
        return None

    def remove_document(self, reason: str) -> None:
        """Take the document away on purpose and leave a tombstone."""
        self.state.tombstone = reason
        self.state.set_condition("Ready", "False", reason, "the document was taken away on purpose", time.time())
        self.save()
        self.volume.remove(self.directory, self.volume.name)
        self.document, self.problem = None, None
        self.events.record(self.directory, reason, generation=self.state.generation)

    def _read(self) -> None:
        self.document, self.problem = None, None
        try:
            found = self.volume.read(self.volume.name)
            if found is not None:
                self.well_kept = _well_kept(found[1], os.fstat(self.directory))
                self.document = TokenDocument.parse(found[0], str(self.volume.path))
        except TokenCorrupt as problem:
            self.problem = problem

    def _finish_exchange(self) -> None:
        """Roll a complete reply forward that its writer could not install any more; note a reply that is missing."""
        journal = self.state.journal
        if journal is None:
            return
        name = self.volume.pending_name(journal.id)
        reply = self._pending(name)
        if reply is None:
            if journal.outcome == "open":
                self.state.journal = dataclasses.replace(journal, outcome="no_reply")
            return
        current = self.document
        theirs = fingerprint(current.refresh_token) if current else None
        known = {journal.refresh_token, fingerprint(reply.refresh_token), None}
        if theirs in known or theirs in self.state.superseded:
            self.state.exchanges += 1
            self.accept(reply, event="RolledForward", pending=name)
            return
        # somebody consented anew meanwhile: that document stays, and the reply goes to the history of its grant
        if self.state.grant is not None:
            self.history.record(self.directory, Entry(self.state.grant, journal.generation, reply))
            self.state.grant = None
        self.state.journal = None
        self.save()
        self.volume.remove(self.directory, name)

    def _pending(self, name: str) -> TokenDocument | None:
        with contextlib.suppress(TokenCorrupt):
            found = self.volume.read(name)
            if found is not None:
                return TokenDocument.parse(found[0], name)
        return None

    def _settle(self) -> None:
        """Give an unmodified app that truncates and writes in place the time to finish."""
        deadline = time.monotonic() + _SETTLE
        while self.problem is not None and self.problem.reason in {"Empty", "NotJSON"}:
            with contextlib.suppress(OSError):
                age = time.time() - self.volume.path.stat().st_mtime
                if not -_SETTLE < age < _SETTLE:
                    return
            if time.monotonic() >= deadline:
                return
            time.sleep(0.02)
            self._read()

    def _take_over(self, *, lineage_known: bool) -> None:
        state, document = self.state, self.document
        if document is None:
            self._mend_missing()
            return
        identity = Identity.of(document)
        if state.identity is not None and identity.document == state.identity.document:
            return
        ours = self._history_copy(identity)
        if not lineage_known or state.identity is None:
            if ours is not None:
                state.grant = ours.grant
            self.accept(document, event="Adopted" if ours is None else "LineageRestored")
        elif ours is not None and ours.generation > state.generation:
            # our own write: it died between the rename and the state
            state.grant = ours.grant
            state.exchanges += 1 if state.journal else 0
            self.accept(document, event="RolledForward")
        elif identity.refresh_token in state.superseded:
            self._refuse("SupersededRefreshToken", identity)
        elif identity.refresh_token == state.identity.refresh_token and _older(identity, state.identity):
            self._refuse("OlderAccessToken", identity)
        else:
            self.accept(document, event="Adopted")

    def _mend_missing(self) -> None:
        """Put the document back when its file is unsound; one that was taken away stays away."""
        if self.problem is None or self.problem.reason == "NotAFile" or self.state.tombstone is not None:
            return
        self._put_back("Mended", self.problem.reason)

    def _refuse(self, reason: str, theirs: Identity) -> None:
        if self.state.tombstone is not None:
            self.remove_document(self.state.tombstone)
            return
        if not self._put_back("ForeignWriteRefused", reason, refused=theirs.refresh_token):
            # nothing better is known than what is there
            self.accept(_required(self.document), event="Adopted")

    def _put_back(self, event: str, reason: str, refused: str | None = None) -> bool:
        current = self.state.identity
        if current is None:
            return False
        for entry in self.history.entries():
            if entry.document.fingerprint == current.document:
                self.volume.replace(self.directory, self.volume.name, entry.document.to_json().encode())
                self.document, self.problem = entry.document, None
                self.events.record(
                    self.directory, event, generation=self.state.generation, reason=reason, refused=refused
                )
                return True
        return False

    def _history_copy(self, identity: Identity) -> Entry | None:
        return next((e for e in self.history.entries() if e.document.fingerprint == identity.document), None)


def _load_state(volume: Volume, history: History) -> tuple[State, bool]:
    found = volume.read(volume.state_name, limit=STATE_MAX_BYTES)
    state = State.parse(found[0]) if found is not None else None
    if state is not None:
        return state, True
    # unknown lineage: whatever comes next has to rank above everything the history remembers
    seed = max((entry.generation for entry in history.entries()), default=0)
    return State(generation=seed), False


def _well_kept(file: os.stat_result, directory: os.stat_result) -> bool:
    return stat.S_IMODE(file.st_mode) == 0o600 and file.st_uid == directory.st_uid


def missing(volume: Volume, state: State | None) -> TokenKeeperError:
    """Return the error that says why there is no document."""
    if not volume.directory.is_dir():
        return StorageError(
            f"the directory {volume.directory} does not exist", reason="NoVolume", remedy="mount the token volume there"
        )
    reason = state.tombstone if state is not None and state.tombstone else "NoDocument"
    return TokenMissing(
        f"there is no token in {volume.path}" + ("" if reason == "NoDocument" else f": it was {reason.lower()}"),
        reason=reason,
        remedy="run site.yml to obtain one, or push one with `token-keeper push`",
    )


def _older(theirs: Identity, ours: Identity) -> bool:
    return (theirs.expiry or 0.0) < (ours.expiry or 0.0)


def _required(document: TokenDocument | None) -> TokenDocument:
    if document is None:
        raise StorageError("the document vanished while the lock was held", reason="ForeignRemoval")
    return document
