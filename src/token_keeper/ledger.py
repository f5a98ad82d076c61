"""The document and its state as seen under the lock: what is on disk is reconciled before anything is decided.

A ledger exists only while the lock is held. Opening one finishes what a writer that died had begun, takes over what
an unmodified app wrote, and puts back what should not have been overwritten.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import secrets
import stat
import time
from typing import Any, Final

from token_keeper.clock import Instant, Span
from token_keeper.document import TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.events import Events
from token_keeper.fingerprint import fingerprint
from token_keeper.history import Entry, History
from token_keeper.provider import rotation_of
from token_keeper.reading import Timing
from token_keeper.rotation_record import GONE_LIVE
from token_keeper.salvage import salvaged
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import REVOKED, Identity, State
from token_keeper.volume import SETTLE, Volume

_EVENTS_ASKED: Final = 100
"""Events that are asked for their generation when the state is lost."""


class UnsavedReply(StorageError):
    """The provider has answered, and the disk does not take the answer: only this process has it.

    Attributes:
        document: what has to be kept in memory, served and saved as soon as the disk allows it.
        pending: name of the file that it belongs into.
    """

    def __init__(self, cause: StorageError, document: TokenDocument, pending: str) -> None:
        super().__init__(cause.message, reason=cause.reason, remedy=cause.remedy)
        self.document = document
        self.pending = pending


@dataclasses.dataclass(slots=True)
class Ledger:
    """What is in the volume, while the lock is held.

    Attributes:
        directory: descriptor of the volume's directory, which carries the lock.
        document: the sound document on disk, or ``None``.
        problem: why there is none although a file is there.
        state: the state that goes with it; every change has to be saved with :meth:`save`.
        torn: what is in the file then.
        well_kept: whether the document's file has the owner and the mode it should have.
        unsaved: a reply that the disk did not take.
    """

    volume: Volume
    history: History
    events: Events
    directory: int
    state: State
    document: TokenDocument | None = None
    problem: TokenCorrupt | None = None
    torn: bytes = dataclasses.field(default=b"", repr=False)
    well_kept: bool = True
    unsaved: UnsavedReply | None = None

    @classmethod
    def open(cls, volume: Volume, events: Events, directory: int) -> Ledger:
        """Read the volume under the lock and reconcile what is found.

        Raises:
            StorageError: the volume can't be read, or what has to be mended can't be written.
        """
        history = History(volume)
        ledger = cls(volume, history, events, directory, _load_state(volume, history, events))
        ledger._read()
        ledger._finish_exchange()
        ledger._settle()
        ledger._take_over()
        return ledger

    def save(self) -> None:
        """Write the state, durably."""
        self.volume.replace(self.directory, self.volume.state_name, self.state.to_json().encode())

    def accept(
        self,
        document: TokenDocument,
        *,
        event: str,
        new_grant: bool = False,
        pending: str | None = None,
        journal_ends: bool = True,
        life: Span | None = None,
        grant: str | None = None,
        named: str | None = None,
        granted_at: float | None = None,
        grant_expiry: float | None = None,
    ) -> None:
        """Make a document the current one: history first, then the document, then the state.

        Args:
            document: what to install.
            event: what to call it in the event log.
            new_grant: whether it comes from a new consent, so that the earlier grant stays in the history.
            pending: name of a pending file that already holds exactly this document and is renamed.
            journal_ends: whether it also settles what came of an exchange whose reply was lost.
            life: its access token's life, where this process has seen it begin.
            grant: name of the earlier grant that is gone back to.
            named: the name that the new grant was given beforehand.
            granted_at: when (Unix time) the new grant was given, where that was before it came here.
            grant_expiry: when its grant ends, where the provider has said so with this document.
        """
        before, state = self.state.identity, self.state.copy()  # which counts when it is written, and not before
        identity = Identity.of(document)
        generation = self.next_generation()
        if grant is not None and grant != state.grant:
            earlier = next((entry for entry in self.history.entries() if entry.grant == grant), None)
            state.grant, state.granted_at, state.grant_expiry = grant, None, None
            if earlier is not None:
                state.granted_at, state.grant_expiry = earlier.granted_at, earlier.grant_expiry
        elif state.grant is None or new_grant:
            self._doubt_what_was_sent(new_grant=new_grant)
            state.grant, state.granted_at = named or secrets.token_hex(8), granted_at or time.time()
            if life is None:  # what is known of another grant's life says nothing of this one's
                state.renewed_at = state.grant_expiry = state.lifetime = None
        state.grant_expiry = grant_expiry or state.grant_expiry
        if before is not None and before.refresh_token != identity.refresh_token:
            state.supersede(before.refresh_token)
        if identity.refresh_token in state.superseded:
            # brought back on purpose (force): it has to stop being refused
            state.superseded.remove(identity.refresh_token)
        if before is None or (before.access_token, before.expiry) != (identity.access_token, identity.expiry):
            state.token_life = life or _life_left(document)
        state.generation = generation
        state.identity = identity
        state.tombstone = None
        now = time.time()
        if journal_ends:
            state.journal = None
            if state.dead_grant != identity.grant:
                state.dead_grant = state.dead_reason = None
                state.end_cooldown()
                state.set_condition(
                    "ReauthRequired", "False", "GrantAccepted", "the provider has not refused this grant", now
                )
        state.set_condition("Refreshing", "False", "Idle", "no exchange is under way", now)
        state.set_condition("Ready", "True", event, f"generation {generation}", now)
        kept = Entry(state.grant, generation, document, state.granted_at, state.grant_expiry)
        if pending is None:
            self._write(kept, document, state)
        else:
            self._record(kept)
            # a reply that this process has just taken, whose life it knows, is flushed already
            self.volume.promote(self.directory, pending, flushed=life is not None)
            self.volume.replace(self.directory, self.volume.state_name, state.to_json().encode())
        self.state.become(state)
        self.document, self.problem, self.well_kept = document, None, True
        self.events.record(
            self.directory,
            event,
            generation=generation,
            access_token=identity.access_token,
            refresh_token=identity.refresh_token,
        )

    def _write(self, kept: Entry, document: TokenDocument, state: State) -> None:
        """Write history, document and state, in this order; all are drafted before the first is replaced."""
        with contextlib.ExitStack() as drafts:
            publish = drafts.enter_context(self.history.drafted(self.directory, kept))
            texts = {self.volume.state_name: state.to_json()}
            if self.document != document or not self.well_kept:
                texts = {self.volume.name: document.to_json(), **texts}
            replacing = [
                drafts.enter_context(self.volume.drafted(self.directory, name, text.encode()))
                for name, text in texts.items()
            ]
            for draft in replacing:
                draft.write_out()
            publish()
            for draft in replacing:
                # A document's name that a power loss takes back while the state's stays looks like a foreign hand's old
                # document, and is mended from the history: so one flush of the directory, the state's, serves both.
                draft.publish(flush_directory=draft is replacing[-1])

    def timing(self) -> Timing:
        """Return how long the document's access token is used, and from when it is renewed."""
        if self.document is None:
            return Timing(float("-inf"), 0.0)
        known = self.state.identity is not None and self.state.identity.document == self.document.fingerprint
        try:
            written_at = self.volume.path.stat().st_mtime
        except OSError:
            written_at = time.time()
        return Timing.of(self.document, written_at, self.state.token_life if known else None)

    def take_reply(
        self,
        reply: TokenDocument,
        pending: str,
        *,
        event: str,
        life: Span | None = None,
        grant_expiry: float | None = None,
    ) -> TokenDocument | None:
        """Install a reply of the provider, unless something better stands there by now.

        A foreign writer does not take the lock: an operator may have consented anew while the provider was asked.
        That document stays, and the reply goes to the history of its own grant. Nor does a reply bring back what was
        taken away on purpose.

        Returns:
            The document that is current now.
        """
        self._read()
        self.state.exchanges += 1
        self.state.given = fingerprint(reply.token) if reply.token else None
        if not self._is_overtaken(reply, pending):
            grant = self.state.journal.grant if self.state.journal is not None else None
            event = "RolledBack" if grant is not None else event
            event = self._note_rotation(reply, grant) or event
            self.accept(reply, event=event, pending=pending, life=life, grant=grant, grant_expiry=grant_expiry)
            return reply
        theirs, state = self.document, self.state
        if theirs is None or theirs.refresh_token != reply.refresh_token:
            journal = state.journal
            grant = journal.grant if journal is not None and journal.grant is not None else state.grant
            if grant is not None and state.tombstone != REVOKED:
                self.history.record(self.directory, Entry(grant, self.next_generation(), reply))
            if theirs is not None and state.tombstone is None:
                state.grant = None
        state.journal = None
        self.save()
        self.volume.remove(self.directory, pending)
        self._take_over()
        return self.document

    def _note_rotation(self, reply: TokenDocument, grant: str | None) -> str | None:
        """Note in the record of rotations that a reply goes back to the earlier grant, or brings another client.

        Returns:
            What to call it in the event log, where it is worth a word of its own.
        """
        state, record = self.state, self.state.rotation_record
        live = record is not None and record.phase in GONE_LIVE
        if grant is not None:
            if record is not None and live and record.grant_before == grant:
                state.rotation_record = record.at("rolled_back")
            return None
        begun, journal = state.rotation_begun, state.journal
        if begun is None or journal is None or begun.id != journal.id:
            return None
        state.rotation_begun = None
        if reply.client_fingerprint != begun.client_after:
            return None
        if record is not None and live and record.client_change == (begun.client_after, begun.client_before):
            state.rotation_record = record.at("rolled_back")
            return "ClientRolledBack"
        state.rotation_record = dataclasses.replace(begun, phase="promoted", generation=self.next_generation())
        return "ClientChanged"

    def sweep(self) -> None:
        """Remove what writers that died have left behind, as far as nothing is lost with it."""
        self.volume.sweep(self.directory)
        self.volume.sweep_pending(self.directory)
        for name, reply in self._replies().items():
            # its refresh token is the current one, or has a successor: the reply holds nothing that is needed
            token = fingerprint(reply.refresh_token)
            current = self.document is not None and self.document.refresh_token == reply.refresh_token
            with contextlib.suppress(StorageError):
                if not current and token not in self.state.superseded:
                    self._keep_late(name, reply)
                self.volume.remove(self.directory, name)

    def _keep_late(self, name: str, reply: TokenDocument) -> None:
        """Keep a reply that came after its grant had been replaced: in the history, where a way back may need it."""
        spent = self.volume.spent_by(name)
        entries = self.history.entries()
        its = next((entry for entry in entries if fingerprint(entry.document.refresh_token) == spent), None)
        grant, granted_at = (its.grant, its.granted_at) if its is not None else (secrets.token_hex(8), None)
        generation = its.generation if its is not None else 0
        self.history.record(self.directory, Entry(grant, generation, reply, granted_at))

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
        if self.state.journal is not None:
            # a way back that was begun before leads nowhere any more
            self.state.journal = dataclasses.replace(self.state.journal, grant=None)
        now = time.time()
        self.state.set_condition("Ready", "False", reason, "the document was taken away on purpose", now)
        if reason == REVOKED:
            self.state.set_condition("ReauthRequired", "True", reason, "the grant was revoked on purpose", now)
        self.save()
        self.volume.remove(self.directory, self.volume.name)
        self.document, self.problem = None, None
        self.events.record(self.directory, reason, generation=self.state.generation)

    def put_back_removed(self) -> None:
        """Put back a document whose file somebody has removed, because a person asks for it.

        No writer does so by itself: who removes the file may mean it. What was cleared or revoked stays away, and so
        does a document whose grant the provider has refused.
        """
        state = self.state
        if self.document is not None or self.problem is not None or state.tombstone is not None:
            return
        if state.identity is None:
            for entry in self.history.entries()[:1]:
                state.grant = entry.grant
                self.accept(entry.document, event="Mended")
        elif state.dead_grant != state.identity.grant:
            self._put_back("Mended", "Removed")

    def _read(self) -> None:
        self.document, self.problem, self.torn = None, None, b""
        try:
            found = self.volume.read(self.volume.name)
            if found is not None:
                self.torn = found[0]
                with contextlib.suppress(OSError):
                    self.well_kept = _well_kept(found[1], os.fstat(self.directory))
                self.document = TokenDocument.parse(found[0], str(self.volume.path))
        except TokenCorrupt as problem:
            self.problem = problem

    def _finish_exchange(self) -> None:
        """Roll a complete reply forward that its writer could not install any more; note a reply that is missing."""
        journal = self.state.journal
        replies = self._replies()
        if journal is None:
            if self.state.identity is None and self.state.tombstone is None:
                self._finish_unknown(replies)
            return
        own = [name for name in replies if name.startswith(self.volume.pending_name(journal.id))]
        # or the late answer to an earlier exchange with the same refresh token
        late = [name for name in replies if self.volume.spent_by(name) == journal.refresh_token]
        for name in (*own, *late):
            self.take_reply(replies[name], name, event="RolledForward")
            return
        if journal.outcome == "open":
            self.state.journal = dataclasses.replace(journal, outcome="no_reply")

    def _finish_unknown(self, replies: dict[str, TokenDocument]) -> None:
        """The state is lost: a reply to the refresh token that stands in the document is what should stand there."""
        current = self.document
        if current is None:
            return
        spent = fingerprint(current.refresh_token)
        for name, reply in replies.items():
            newer = reply.refresh_token != current.refresh_token or _expiry(reply) > _expiry(current)
            if newer and self.volume.spent_by(name) == spent:
                self.take_reply(reply, name, event="RolledForward")
                return

    def _is_overtaken(self, reply: TokenDocument, pending: str) -> bool:
        current, journal = self.document, self.state.journal
        if self.state.tombstone is not None:
            # who goes back to an earlier grant means to have a document again
            return journal is None or journal.grant is None
        if current is None:
            return False
        own = journal is not None and pending.startswith(self.volume.pending_name(journal.id))
        if own and journal is not None and current.fingerprint == journal.document:
            return False  # nobody wrote since; the provider may have shortened what it gives
        if current.refresh_token == reply.refresh_token:
            return _expiry(current) > _expiry(reply)
        theirs = fingerprint(current.refresh_token)
        ours = {journal.refresh_token} if journal is not None else {theirs}
        return theirs not in ours and theirs not in self.state.superseded

    def _replies(self) -> dict[str, TokenDocument]:
        """Return the complete replies that wait in pending files, by name, the newest first."""
        found = {}
        for name in self.volume.pendings(self.directory):
            reply = self._pending(name)
            if reply is not None:
                found[name] = reply
        return dict(sorted(found.items(), key=lambda item: _expiry(item[1]), reverse=True))

    def _pending(self, name: str) -> TokenDocument | None:
        with contextlib.suppress(TokenCorrupt, StorageError):
            found = self.volume.read(name)
            if found is not None:
                return TokenDocument.parse(found[0], name)
        return None

    def _settle(self) -> None:
        """Give an unmodified app that truncates and writes in place the time to finish."""
        deadline = time.monotonic() + SETTLE
        while self.problem is not None and self.problem.reason in {"Empty", "NotJSON"}:
            if not self.volume.is_settling() or time.monotonic() >= deadline:
                return
            time.sleep(0.02)
            self._read()

    def _take_over(self) -> None:
        state, document = self.state, self.document
        if document is None:
            self._mend_missing()
            return
        identity = Identity.of(document)
        current = state.identity
        if current is None:
            self._restore_lineage(document, identity)
            return
        if state.tombstone is not None and identity.refresh_token == current.refresh_token:
            # a clearing that was cut short, or a stock app that wrote back what it had in memory
            self.remove_document(state.tombstone)
            return
        if identity.document == current.document:
            self._keep_well(document)
            return
        ours = self._history_copy(identity)
        if ours is not None and ours.generation > state.generation:
            # our own write: it died between the rename and the state
            state.exchanges += 1 if state.journal else 0
            back_to = state.journal.grant if state.journal is not None else None
            event = self._note_rotation(document, back_to) or "RolledForward"
            self.accept(document, event=event, grant=ours.grant)
        elif identity.refresh_token in state.superseded:
            self._refuse("SupersededRefreshToken", identity)
        elif identity.refresh_token == current.refresh_token and _older(identity, current) and not self._is_over():
            self._refuse("OlderAccessToken", identity)
        elif identity.refresh_token == current.refresh_token and self._is_narrower(document):
            self._refuse("NarrowerScopes", identity)
        else:
            self._adopt(document, identity, current)

    def adopt(self, document: TokenDocument) -> None:
        """Take a document for what an app has made of its own copy of the current one, as if it had written it here."""
        if self.state.identity is None:
            self.accept(document, event="Adopted")
        else:
            self._adopt(document, Identity.of(document), self.state.identity)

    def _is_over(self) -> bool:
        """Tell whether the token of the state has ended, whatever a clock that was wrong has made of its expiry."""
        return self.state.token_life is not None and self.state.token_life.left() <= 0

    def _is_narrower(self, document: TokenDocument) -> bool:
        """Tell whether it would take scopes from all others: its writer asked for fewer than the grant has."""
        return bool(document.scopes) and set(document.scopes) < set(self._scopes())

    def _scopes(self) -> tuple[str, ...]:
        """Return the scopes of the document that the state knows."""
        current = self.state.identity
        found = (e.document for e in self.history.entries() if current and e.document.fingerprint == current.document)
        return next((document.scopes for document in found), ())

    def _adopt(self, document: TokenDocument, theirs: Identity, ours: Identity, *, event: str = "Adopted") -> None:
        same_token = theirs.refresh_token == ours.refresh_token
        document = self._with_our_client(document)
        if same_token and not document.scopes:
            # an app that names no scopes gets all of the grant's, and forgets to say so
            document = dataclasses.replace(document, scopes=self._scopes())
        # A newer access token under the same refresh token proves that the token still works; a mere rewrite does not.
        renewed = theirs.access_token != ours.access_token and not _older(theirs, ours)
        if renewed and same_token:
            self.state.dead_grant = self.state.dead_reason = None
            self.state.renewed_at = time.time()
        rotation = rotation_of(self.state, document)
        new_grant = not same_token and rotation != "yes"
        if new_grant and rotation == "unknown":
            self._doubt(self.state.grant)
        self.accept(document, event=event, new_grant=new_grant, journal_ends=not same_token or renewed)

    def _with_our_client(self, document: TokenDocument) -> TokenDocument:
        """Return a foreign writer's document with the client's new secret in place of the one that was replaced."""
        current = self.state.identity
        if not self._has_old_client(document) or current is None:
            return document
        for entry in self.history.entries():
            ours = entry.document
            if ours.fingerprint == current.document and ours.client_id == document.client_id:
                self._note_old_client(document)
                return document.with_secret(ours.client_secret)
        return document

    def _has_old_client(self, document: TokenDocument) -> bool:
        """Tell whether a document has the client, or the secret of it, that a rotation has replaced."""
        record = self.state.rotation_record
        live = record is not None and record.mode == "client" and record.phase in GONE_LIVE
        return live and record is not None and document.client_fingerprint == record.client_before

    def _note_old_client(self, document: TokenDocument) -> None:
        self.events.record(
            self.directory,
            "OldClientWritten",
            generation=self.state.generation,
            client=document.client_fingerprint,
        )

    def _doubt_what_was_sent(self, *, new_grant: bool) -> None:
        """A new grant comes while nobody knows what came of an exchange: no way back may send its token again."""
        journal, document = self.state.journal, self.document
        if not new_grant or journal is None or (document is not None and rotation_of(self.state, document) == "no"):
            return
        for entry in self.history.entries():
            if fingerprint(entry.document.refresh_token) == journal.refresh_token and not entry.maybe_spent:
                self.history.record(self.directory, dataclasses.replace(entry, maybe_spent=True))

    def _doubt(self, grant: str | None) -> None:
        """Note that the refresh token of a grant may have been spent by the program that wrote another one."""
        for entry in self.history.entries():
            if entry.grant == grant:
                self.history.record(self.directory, dataclasses.replace(entry, maybe_spent=True))

    def _restore_lineage(self, document: TokenDocument, identity: Identity) -> None:
        """The state is lost, or there never was one: the history is all that is remembered."""
        entries = self.history.entries()
        for entry in entries[1:]:
            if entry.document.refresh_token != entries[0].document.refresh_token:
                self.state.supersede(fingerprint(entry.document.refresh_token))
        ours = next((entry for entry in entries if entry.document.fingerprint == identity.document), None)
        if identity.refresh_token in self.state.superseded:
            self.state.grant = entries[0].grant
            self.accept(entries[0].document, event="Mended")
        elif ours is not None:
            self.state.grant = ours.grant
            self.accept(document, event="LineageRestored")
        else:
            if entries and rotation_of(self.state, document) != "no":
                self._doubt(entries[0].grant)
            self.accept(document, event="Adopted")

    def _keep_well(self, document: TokenDocument) -> None:
        if not self.well_kept:
            with contextlib.suppress(
                StorageError
            ):  # where nothing can be written, the document can be used all the same
                self.volume.replace(self.directory, self.volume.name, document.to_json().encode())
                self.well_kept = True
                self.events.record(self.directory, "Mended", generation=self.state.generation, reason="OwnerOrMode")

    def _record(self, entry: Entry) -> None:
        """Keep a reply that is on disk already, if that can be done: the document it belongs to matters more."""
        try:
            self.history.record(self.directory, entry)
        except StorageError as error:
            self.events.record(self.directory, "HistoryFailed", generation=entry.generation, reason=error.reason)

    def _mend_missing(self) -> None:
        """Put the document back when its file is unsound; one that was taken away stays away."""
        if self.problem is None or self.problem.reason == "NotAFile" or self.state.tombstone is not None:
            return
        if self.state.identity is not None:
            if not self._salvage(self.state.identity):
                self._put_back("Mended", self.problem.reason)
            return
        for entry in self.history.entries()[:1]:
            self.state.grant = entry.grant
            self.accept(entry.document, event="Mended")

    def _salvage(self, ours: Identity) -> bool:
        """Take a new refresh token out of half a document: its writer may have spent the one that the history has."""
        if self.problem is None or self.problem.reason != "NotJSON":
            return False
        entry = self._history_copy(ours)
        if entry is None or rotation_of(self.state, entry.document) == "no":
            return False
        document = salvaged(self.torn, entry.document)
        if document is None:
            return False
        theirs = Identity.of(document)
        if theirs.refresh_token == ours.refresh_token or theirs.refresh_token in self.state.superseded:
            return False
        self._adopt(document, theirs, ours, event="Salvaged")
        return True

    def _refuse(self, reason: str, theirs: Identity) -> None:
        if self.state.tombstone is not None:
            self.remove_document(self.state.tombstone)
            return
        if self.document is not None and self._has_old_client(self.document):
            self._note_old_client(self.document)  # whatever else is wrong with it, its writer holds the old secret
        if not self._put_back("ForeignWriteRefused", reason, refused=theirs.refresh_token):
            # nothing better is known than what is there
            self.accept(_required(self.document), event="Adopted")

    def _put_back(self, event: str, reason: str, refused: str | None = None) -> bool:
        current = self.state.identity
        if current is None:
            return False
        remembered = [entry.document for entry in self.history.entries()]
        # a power loss may have kept the state's new name and not the document's: the reply is still where it was then
        for document in (*remembered, *self._replies().values()):
            if document.fingerprint == current.document:
                self.volume.replace(self.directory, self.volume.name, document.to_json().encode())
                self.document, self.problem = document, None
                self.events.record(
                    self.directory, event, generation=self.state.generation, reason=reason, refused=refused
                )
                return True
        return False

    def _history_copy(self, identity: Identity) -> Entry | None:
        return next((e for e in self.history.entries() if e.document.fingerprint == identity.document), None)


def _load_state(volume: Volume, history: History, events: Events) -> State:
    text = b""
    with contextlib.suppress(TokenCorrupt):  # a directory in its place is as good as none
        found = volume.read(volume.state_name, limit=STATE_MAX_BYTES)
        text = found[0] if found is not None else b""
    state = State.parse(text)
    if state is not None:
        return state
    # Unknown lineage: whatever comes next has to rank above all that is remembered anywhere.
    remembered = [entry.generation for entry in history.entries()]
    with contextlib.suppress(TokenCorrupt, StorageError):
        remembered += [event["generation"] for event in events.newest(_EVENTS_ASKED) if _is_generation(event)]
    remembered += [int(digits) for digits in re.findall(rb'"generation": (\d{1,15})\b', text)]
    return State(generation=max(remembered, default=0))


def _is_generation(event: dict[str, Any]) -> bool:
    value = event.get("generation")
    return isinstance(value, int) and not isinstance(value, bool)


def _well_kept(file: os.stat_result, directory: os.stat_result) -> bool:
    me = os.geteuid()
    # a process that is neither root nor the directory's owner can only make files of its own
    mine = file.st_uid == directory.st_uid or me not in {0, directory.st_uid}
    return mine and stat.S_IMODE(file.st_mode) == 0o600


def _life_left(document: TokenDocument) -> Span | None:
    """Return what the wall clock says of a token that somebody else has received."""
    left = document.expires_in(time.time())
    return Span(Instant.now(), left) if math.isfinite(left) else None


def _expiry(document: TokenDocument) -> float:
    return document.expiry.timestamp() if document.expiry else 0.0


def _older(theirs: Identity, ours: Identity) -> bool:
    return (theirs.expiry or 0.0) < (ours.expiry or 0.0)


def _required(document: TokenDocument | None) -> TokenDocument:
    if document is None:
        raise StorageError("the document vanished while the lock was held", reason="ForeignRemoval")
    return document
