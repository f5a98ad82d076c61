"""What happens to a token volume under its lock: renewing, replacing, declaring, taking away.

The methods are those of :class:`token_keeper.TokenStore`, which describes them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from token_keeper import report
from token_keeper.backup import Backup
from token_keeper.clock import Instant
from token_keeper.document import TokenDocument
from token_keeper.dry_run import DryEvents, DryVolume
from token_keeper.errors import LockTimeout, ReauthRequired, TokenCorrupt, TokenKeeperError, TokenMissing
from token_keeper.events import Events
from token_keeper.exchange import revoke_token
from token_keeper.fingerprint import fingerprint
from token_keeper.ledger import Ledger, UnsavedReply
from token_keeper.lock import DirectoryLock
from token_keeper.reading import Reader, missing
from token_keeper.refresh import exchange, may_ask
from token_keeper.replacement import judge
from token_keeper.report import ClearOutcome, PolicyOutcome, RefreshOutcome, ReplaceOutcome, RevokeOutcome
from token_keeper.restoring import restore
from token_keeper.rollback import roll_back
from token_keeper.staging import settle
from token_keeper.state import REVOKED, Publishing, Rotation, State
from token_keeper.volume import Volume

_REFUSED_AGAIN_AFTER: Final = 30.0
"""Seconds for which a token that has just come is not renewed again because a resource server refuses it."""


class Writer:
    """Changes one document; shared by the threads of a process.

    Args:
        volume: the document's files.
        reader: what the store has read; it is told to forget what is overwritten.
        service: who is writing, for the event log.
        lock_timeout: seconds to wait for other writers.
        exchange_deadline: seconds that one exchange may take.
    """

    def __init__(
        self, volume: Volume, reader: Reader, *, service: str, lock_timeout: float, exchange_deadline: float
    ) -> None:
        self._volume = volume
        self._reader = reader
        self._service = service
        self._lock_timeout = lock_timeout
        self._exchange_deadline = exchange_deadline
        self._events = Events(volume, service)
        self._lock = DirectoryLock(volume.directory)
        self._unsaved: UnsavedReply | None = None

    def renewed_token(self, *, wait: bool) -> str:
        """Return a fresh access token.

        Args:
            wait: whether to wait for the lock; otherwise it is tried once, and whoever has it renews for all.
        """
        token: str | None = None
        looked = False

        def served() -> bool:
            nonlocal token, looked
            token = self._reader.usable_token() if wait and looked else self._reader.fresh_token()
            looked = True
            return token is not None

        with self._ledger(self._lock_timeout if wait else 0.0, given_up=served) as ledger:
            if ledger is not None:
                document = _required(ledger)
                if not ledger.timing().is_fresh:
                    document = self._exchange(ledger)
                token = document.token
        if token is None:
            raise LockTimeout(f"{self._volume.path} changed again while this process waited", remedy="try again")
        return token

    def judged_token(self) -> str | None:
        """Have what a foreign writer left judged, if the lock is free: it may have brought old secrets back."""
        with self._ledger(0.0) as ledger:
            return _required(ledger).token

    def unsaved_token(self) -> str | None:
        """Return the access token of a reply that the disk did not take, while it is valid."""
        unsaved = self._unsaved
        if unsaved is None or unsaved.document.expires_in(time.time()) <= 0:
            return None
        return unsaved.document.token

    @property
    def has_unsaved(self) -> bool:
        """Tell whether this process holds a reply that the disk did not take."""
        return self._unsaved is not None

    def refresh(self, *, force: bool, rejected: str | None, min_valid: float | None, dry_run: bool) -> RefreshOutcome:
        """Renew the access token at the provider."""
        begun = Instant.now()
        already = self._reader.exchanges() if force or min_valid is not None else 0

        def served() -> bool:
            if force:
                return False
            if rejected is not None:
                good = self._reader.token() not in {None, rejected}
            elif min_valid is not None:
                good = self._reader.left() >= min_valid
            else:
                good = self._reader.fresh_token() is not None
            return good and self._reader.is_settled()

        with self._ledger(self._lock_timeout, given_up=served, dry_run=dry_run) as ledger:
            if ledger is None:
                return self._outcome_without_exchange()
            before = report.describe(ledger.document) if ledger.document else None
            document = _required(ledger)
            exchanges = ledger.state.exchanges
            if force:
                wanted = exchanges <= already
            elif rejected is not None:
                wanted = document.token == rejected and not _just_renewed(ledger.state)
            elif min_valid is not None:
                # the provider's tokens may not live that long: one that came while this call waited is all there is
                wanted = ledger.timing().left < min_valid and exchanges <= already
            else:
                wanted = not ledger.timing().is_fresh
            # one that failed while this call waited for the lock is its answer too, and not asked for again
            insists = force and not _failed_since(ledger.state, begun)
            if wanted and dry_run:
                may_ask(ledger, document, force=insists)
            elif wanted:
                document = self._exchange(ledger, force=insists)
            return RefreshOutcome(
                exchanged=ledger.state.exchanges > exchanges or (wanted and dry_run),
                generation=ledger.state.generation,
                exchanges=ledger.state.exchanges,
                before=before,
                after=report.describe(document),
            )

    def roll_back(self, grant: str | None) -> RefreshOutcome:
        """Go back to the newest earlier grant that is still alive, or to the one that is named."""
        with self._ledger(self._lock_timeout) as opened:
            ledger = _replaceable(opened)
            before = report.describe(ledger.document) if ledger.document else None
            with contextlib.suppress(TokenCorrupt):  # what is staged has no part in it
                settle(ledger)
            state = ledger.state
            if grant is not None and grant == state.grant and ledger.document is not None:
                facts = report.describe(ledger.document)  # as a run that was cut short has left it
                return RefreshOutcome(False, state.generation, state.exchanges, before, facts)
            document = roll_back(ledger, deadline=self._exchange_deadline, grant=grant)
            return RefreshOutcome(True, state.generation, state.exchanges, before, report.describe(document))

    def replace(
        self,
        document: TokenDocument,
        *,
        expect: int | None,
        force: bool,
        expires_in: float | None,
        rotation: Rotation | None,
        reuse_grace: float | None,
        publishing: Publishing | None,
        same_account: bool,
        adopt: bool,
        dry_run: bool,
    ) -> ReplaceOutcome:
        """Put a document into the volume, unless what is there is newer."""
        document = with_life_left(document, expires_in)
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            ledger = _replaceable(opened)
            before = report.describe(ledger.document) if ledger.document else None
            declared, declared_now = ledger.state.declare(rotation, reuse_grace, publishing)
            verdict = judge(ledger, document, expect=expect, force=force, same_account=same_account, adopt=adopt)
            keeps = verdict in {"Unchanged", "NewerThere"}
            if keeps and declared == declared_now:
                return ReplaceOutcome(False, verdict, ledger.state.generation, before, report.describe(document))
            if dry_run:
                generation = ledger.state.generation if keeps else ledger.next_generation()
                return ReplaceOutcome(True, verdict, generation, before, report.describe(document))
            if keeps:
                ledger.save()
            else:
                current = ledger.state.identity
                same_grant = current is not None and current.refresh_token == fingerprint(document.refresh_token)
                if adopt and current is not None and not same_grant:
                    ledger.adopt(document)
                else:
                    ledger.accept(document, event="Pushed", new_grant=not same_grant)
            return ReplaceOutcome(True, verdict, ledger.state.generation, before, report.describe(document))

    def backup(self, *, host: str, volume: str) -> Backup:
        """Take a backup of the document and of what is known of it."""
        with self._ledger(self._lock_timeout, dry_run=True) as opened:
            document = _required(_replaceable(opened))
            return Backup.of(_held(opened), document, host=host, volume=volume)

    def restore(self, backup: Backup, *, force: bool, dry_run: bool) -> ReplaceOutcome:
        """Put a backup's document into the volume."""
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            return restore(_replaceable(opened), backup, force=force, dry_run=dry_run)

    def declare(
        self, *, rotation: Rotation | None, reuse_grace: float | None, publishing: Publishing | None, dry_run: bool
    ) -> PolicyOutcome:
        """Say what the provider does with refresh tokens."""
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            ledger = _held(opened)
            before, after = ledger.state.declare(rotation, reuse_grace, publishing)
            if after != before:
                ledger.save()
            return PolicyOutcome(after != before, before, after, ledger.state.generation)

    def clear(self, reason: str, *, dry_run: bool) -> ClearOutcome:
        """Take the document away on purpose and leave a tombstone."""
        if not (isinstance(reason, str) and reason.isascii() and reason.isalnum()):
            raise TokenKeeperError(
                f"{reason!r} is no reason for a tombstone; nothing was changed",
                reason="InvalidValue",
                remedy="pass a CamelCase word, such as Cleared",
            )
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            ledger = _replaceable(opened)
            before = report.describe(ledger.document) if ledger.document else None
            there = ledger.document is not None or ledger.problem is not None
            if there and not dry_run:
                ledger.remove_document(reason)
            return ClearOutcome(there, ledger.state.generation, before)

    def revoke(self, revocation_uri: str | None, *, dry_run: bool) -> RevokeOutcome:
        """Revoke the grant at the provider, then take the document away and leave a tombstone."""
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            ledger = _held(opened)
            at_provider = revocation_uri is not None
            if ledger.document is None and ledger.problem is None and ledger.state.tombstone == REVOKED:
                self._forget_grant(ledger)  # as a writer that died in the midst of it may have left to do
                return RevokeOutcome(False, False, ledger.state.generation, None)
            document = _required(ledger)
            before = report.describe(document)
            if dry_run:
                return RevokeOutcome(True, at_provider, ledger.state.generation, before)
            if revocation_uri is not None:
                revoke_token(
                    revocation_uri,
                    document.refresh_token,
                    client_id=document.client_id,
                    client_secret=document.client_secret,
                    deadline=self._exchange_deadline,
                )
            ledger.state.supersede(fingerprint(document.refresh_token))
            ledger.remove_document(REVOKED)
            self._forget_grant(ledger)
            return RevokeOutcome(True, at_provider, ledger.state.generation, before)

    @property
    def service(self) -> str:
        """Who writes."""
        return self._service

    @property
    def exchange_deadline(self) -> float:
        """Seconds that one request to the provider may take."""
        return self._exchange_deadline

    @property
    def volume(self) -> Volume:
        """The document's files."""
        return self._volume

    @contextlib.contextmanager
    def held(self, *, dry_run: bool = False) -> Iterator[Ledger]:
        """Hold the lock for what has a module of its own.

        Raises:
            LockTimeout, StorageError: it can't be had.
            TokenCorrupt: what stands in the document's place is no file.
        """
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            yield _replaceable(opened)

    def _forget_grant(self, ledger: Ledger) -> None:
        if ledger.state.grant is not None:
            ledger.history.forget(ledger.directory, ledger.state.grant)
        ledger.volume.remove(ledger.directory, ledger.volume.client_name)

    @contextlib.contextmanager
    def _ledger(
        self, timeout: float, *, given_up: Callable[[], bool] = lambda: False, dry_run: bool = False
    ) -> Iterator[Ledger | None]:
        with self._lock.hold(timeout, given_up=given_up) as directory:
            if directory is None:
                yield None
                return
            try:
                if dry_run:
                    volume = DryVolume(self._volume.path)
                    yield Ledger.open(volume, DryEvents(volume, self._service), directory)
                    return
                self._save_unsaved(directory)
                ledger = Ledger.open(self._volume, self._events, directory)
                self._unsaved = None
                try:
                    yield ledger
                finally:
                    self._unsaved = ledger.unsaved
            finally:
                # what this process just wrote may share its times with what it replaced
                self._reader.forget()

    def _save_unsaved(self, directory: int) -> None:
        """Put a reply that the disk did not take into its pending file; opening the ledger then installs it."""
        unsaved = self._unsaved
        if unsaved is None:
            return
        with contextlib.suppress(TokenMissing, TokenCorrupt, ReauthRequired):
            there, held = self._reader.load().document, unsaved.document
            if there.refresh_token == held.refresh_token and there.expires_in(0.0) >= held.expires_in(0.0):
                return  # the disk failed after it had been installed, or somebody has renewed the token since
        # raises while the disk still fails: going on without it would lose it
        self._volume.replace(directory, unsaved.pending, unsaved.document.to_json().encode())

    def _exchange(self, ledger: Ledger, *, force: bool = False) -> TokenDocument:
        exchanges = ledger.state.exchanges
        document = exchange(ledger, force=force, deadline=self._exchange_deadline)
        if ledger.state.exchanges == exchanges and not ledger.timing().is_usable:
            # a foreign writer's document was adopted in place of ours, and it is as old
            document = exchange(ledger, deadline=self._exchange_deadline)
        return document

    def _outcome_without_exchange(self) -> RefreshOutcome:
        reading = self._reader.load()
        state = self._reader.state() or State()
        facts = report.describe(reading.document)
        return RefreshOutcome(False, state.generation, state.exchanges, facts, facts)


def with_life_left(document: TokenDocument, expires_in: float | None) -> TokenDocument:
    """Return a document with its expiry told by this machine's clock, where the sender has told the seconds left.

    Raises:
        TokenKeeperError: that is no number of seconds.
    """
    if expires_in is None:
        return document
    try:
        return document.with_expires_in(expires_in, time.time())
    except (TypeError, ValueError, OverflowError):
        raise TokenKeeperError(
            f"{expires_in!r} is no number of seconds that a token can live; nothing was changed",
            reason="InvalidValue",
            remedy="pass the seconds that are left of the access token's life, such as 3599",
        ) from None


def _just_renewed(state: State) -> bool:
    """Tell whether the provider has given the current token a moment ago.

    A server that refuses it all the same would refuse the next one too: its audience or its scopes are wrong, or the
    API is switched off. Each request would cost an exchange.
    """
    life, identity = state.token_life, state.identity
    if life is None or identity is None or identity.access_token != state.given:
        return False
    return 0 <= life.begin.age() < _REFUSED_AGAIN_AFTER


def _failed_since(state: State, begun: Instant) -> bool:
    """Tell whether an exchange has failed since then."""
    return state.failures > 0 and state.cooldown is not None and state.cooldown.begin.age() < begun.age()


def _held(ledger: Ledger | None) -> Ledger:
    if ledger is None:
        raise TokenKeeperError("the lock was given up by a writer that needs it")
    return ledger


def _replaceable(ledger: Ledger | None) -> Ledger:
    ledger = _held(ledger)
    if ledger.problem is not None and ledger.problem.reason == "NotAFile":
        raise ledger.problem
    return ledger


def _required(ledger: Ledger | None) -> TokenDocument:
    ledger = _held(ledger)
    if ledger.document is not None:
        return ledger.document
    if ledger.problem is not None:
        raise ledger.problem
    raise missing(ledger.volume, ledger.state)
