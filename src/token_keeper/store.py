"""The store: one token document, used by many processes of many containers as if each were alone.

Reading takes no lock. A reader whose token is fresh makes one ``stat`` call. Whoever finds it stale takes the
volume's lock, looks again, and only then asks the provider; everybody else leaves the queue as soon as the new
document is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from token_keeper import report
from token_keeper.document import TokenDocument
from token_keeper.dry_run import DryEvents, DryVolume
from token_keeper.errors import LockTimeout, StorageError, TokenCorrupt, TokenKeeperError, TokenMissing
from token_keeper.events import Events
from token_keeper.exchange import DEADLINE, revoke_token
from token_keeper.fingerprint import fingerprint
from token_keeper.ledger import Ledger, missing
from token_keeper.lock import DirectoryLock
from token_keeper.refresh import UnsavedReply, exchange
from token_keeper.replacement import judge
from token_keeper.report import ClearOutcome, PolicyOutcome, RefreshOutcome, ReplaceOutcome
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import Rotation, State
from token_keeper.status import Status, look
from token_keeper.volume import FileIdentity, Volume

if TYPE_CHECKING:
    from token_keeper.credentials import StoreCredentials

DEFAULT_PATH: Final = "/app/tokens/token.json"

REFRESH_WINDOW: Final = 225.0
"""Seconds before its end from which a token is renewed: google-auth's own threshold, so that both agree."""

_WINDOW_SHARE: Final = 0.25
_MARGIN: Final = 10.0
_MARGIN_SHARE: Final = 0.1
_RETRY_PAUSE: Final = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The document as it is now.

    Attributes:
        document: the document.
        generation: its generation, ``None`` for the moment between a write and the note of it in the state.
        fingerprint: fingerprint of the access token.
    """

    document: TokenDocument
    generation: int | None
    fingerprint: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Cached:
    """A parsed document, and until when which use of it is right (Unix time)."""

    identity: FileIdentity
    document: TokenDocument
    token: str | None
    renew_at: float
    usable_until: float


class TokenStore:
    """A token document in a token volume.

    Instances are cheap, may be shared among threads, and survive a fork.

    Args:
        path: the document; by default ``$TOKEN_KEEPER_PATH`` or ``/app/tokens/token.json``.
        service: who is writing, for the event log; by default ``$TOKEN_KEEPER_SERVICE`` or the host name.
        lock_timeout: seconds to wait for other writers.
        exchange_deadline: seconds that one exchange may take.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        service: str | None = None,
        lock_timeout: float = 30.0,
        exchange_deadline: float = DEADLINE,
    ) -> None:
        chosen = path if path is not None else os.environ.get("TOKEN_KEEPER_PATH") or DEFAULT_PATH
        self._path = Path(chosen).absolute()
        self._text_path = str(self._path)
        self.service = service or os.environ.get("TOKEN_KEEPER_SERVICE") or socket.gethostname()
        self._lock_timeout = lock_timeout
        self._exchange_deadline = exchange_deadline
        self._volume = Volume(self._path)
        self._events = Events(self._volume, self.service)
        self._lock = DirectoryLock(self._volume.directory)
        self._cached: _Cached | None = None
        self._judged: _Cached | None = None
        self._generation: tuple[FileIdentity, FileIdentity, int | None] | None = None
        self._quiet_until = 0.0
        self._unsaved: UnsavedReply | None = None

    @property
    def path(self) -> Path:
        """The document's path."""
        return self._path

    # -- reading

    def access_token(self) -> str:
        """Return a valid access token, renewing it if it must be.

        With a fresh token this is one ``stat``. Near its end, one process renews it ahead and the others go on with
        the token they have; past its end, everybody waits for the one exchange.

        Raises:
            TokenMissing, TokenCorrupt: there is no document to use.
            ReauthRequired, ClientRejected, PolicyDenied: the provider won't give a token any more.
            ProviderUnavailable: it can't be asked now; ``retry_after`` says when.
            LockTimeout, StorageError: the volume stands in the way.
        """
        cached = self._cached
        try:
            status = os.stat(self._text_path)
        except OSError:
            return self._renewed_token()
        if (
            cached is not None
            and cached is self._judged
            and cached.token is not None
            and cached.identity.modified_ns == status.st_mtime_ns
            and cached.identity.inode == status.st_ino
            and cached.identity.changed_ns == status.st_ctime_ns
            and cached.identity.size == status.st_size
        ):
            now = time.time()
            if now < cached.renew_at or (now < cached.usable_until and time.monotonic() < self._quiet_until):
                return cached.token
        return self._renewed_token()

    def read(self) -> TokenDocument:
        """Return the document as it is, whether or not its access token is valid.

        Raises:
            TokenMissing, TokenCorrupt, StorageError: it can't be had. Nothing is mended by reading.
        """
        return self._load().document

    def snapshot(self) -> Snapshot:
        """Return the document with the generation it belongs to; cheap enough to be called many times a second."""
        cached = self._load()
        return Snapshot(cached.document, self._generation_of(cached), fingerprint(cached.token or ""))

    def status(self) -> Status:
        """Look at the volume without changing anything."""
        return look(self._volume)

    # -- renewing

    def refresh(self, *, force: bool = False, rejected: str | None = None) -> RefreshOutcome:
        """Renew the access token at the provider.

        Args:
            force: renew it although it is fresh. An exchange that another writer finishes while this call waits
                for the lock serves as well: it began after the call or it brought a token that is just as new.
            rejected: an access token that a resource server has refused: renew only if it is still the current one.

        Raises:
            As :meth:`access_token`; here nothing is passed over, even if the old token is still valid.
        """
        already = self._exchanges_now() if force else 0

        def served() -> bool:
            if force:
                return False
            good = self._is_fresh() if rejected is None else self._token_now() not in {None, rejected}
            return good and self._is_settled()

        with self._ledger(self._lock_timeout, given_up=served) as ledger:
            if ledger is None:
                return self._outcome_without_exchange()
            before = report.describe(ledger.document) if ledger.document else None
            document = _required(ledger)
            exchanges = ledger.state.exchanges
            if force:
                wanted = ledger.state.exchanges <= already
            elif rejected is not None:
                wanted = document.token == rejected
            else:
                wanted = not _timing(document, self._path).is_fresh
            if wanted:
                document = self._exchange(ledger, force=force)
            return RefreshOutcome(
                exchanged=ledger.state.exchanges > exchanges,
                generation=ledger.state.generation,
                exchanges=ledger.state.exchanges,
                before=before,
                after=report.describe(document),
            )

    # -- writing

    def replace(
        self,
        document: TokenDocument,
        *,
        expect: int | None = None,
        force: bool = False,
        expires_in: float | None = None,
        rotation: Rotation | None = None,
        reuse_grace: float | None = None,
        dry_run: bool = False,
    ) -> ReplaceOutcome:
        """Put a document into the volume, unless what is there is newer.

        Args:
            document: the new document.
            expect: the generation that may be replaced; anything else there is a conflict. 0 means none.
            force: replace whatever is there, and accept a refresh token that was superseded.
            expires_in: seconds of life of its access token, where another machine's clock wrote its expiry.
            rotation: whether the provider rotates refresh tokens; ``None`` leaves what is known.
            reuse_grace: seconds for which the provider accepts a spent refresh token.
            dry_run: say what would happen and change nothing.

        Raises:
            Conflict: the volume holds a newer document, another grant, or another generation than expected.
            TokenCorrupt: what stands there is no file, which is never replaced: it may be anything.
            StorageError, LockTimeout: nothing was changed.
        """
        if expires_in is not None:
            document = document.with_expires_in(expires_in, time.time())
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            ledger = _replaceable(opened)
            before = report.describe(ledger.document) if ledger.document else None
            same_policy = (rotation is None or rotation == ledger.state.rotation) and (
                reuse_grace is None or reuse_grace == ledger.state.reuse_grace
            )
            verdict = judge(ledger, document, expect=expect, force=force)
            if verdict == "Unchanged" and same_policy:
                return ReplaceOutcome(False, verdict, ledger.state.generation, before, report.describe(document))
            if dry_run:
                generation = ledger.next_generation() if verdict != "Unchanged" else ledger.state.generation
                return ReplaceOutcome(True, verdict, generation, before, report.describe(document))
            if rotation is not None:
                ledger.state.rotation = rotation
            if reuse_grace is not None:
                ledger.state.reuse_grace = reuse_grace
            if verdict == "Unchanged":
                ledger.save()
            else:
                current = ledger.state.identity
                same_grant = current is not None and current.refresh_token == fingerprint(document.refresh_token)
                if not same_grant:
                    ledger.state.grant_expiry = None
                ledger.accept(document, event="Pushed", new_grant=not same_grant)
            return ReplaceOutcome(True, verdict, ledger.state.generation, before, report.describe(document))

    def declare(
        self, *, rotation: Rotation | None = None, reuse_grace: float | None = None, dry_run: bool = False
    ) -> PolicyOutcome:
        """Say what the provider does with refresh tokens; the document and its generation stay as they are.

        Args:
            rotation: whether it gives a new one at each exchange; ``None`` leaves what is known.
            reuse_grace: seconds for which it accepts a spent one; ``None`` leaves what is known.
            dry_run: say what would change and change nothing.

        Raises:
            StorageError, LockTimeout: nothing was changed.
        """
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            ledger = _held(opened)
            before = {"rotation": ledger.state.rotation, "reuse_grace": ledger.state.reuse_grace}
            if rotation is not None:
                ledger.state.rotation = rotation
            if reuse_grace is not None:
                ledger.state.reuse_grace = reuse_grace
            after = {"rotation": ledger.state.rotation, "reuse_grace": ledger.state.reuse_grace}
            if after != before:
                ledger.save()
            return PolicyOutcome(after != before, before, after, ledger.state.generation)

    def clear(self, reason: str = "Cleared", *, dry_run: bool = False) -> ClearOutcome:
        """Take the document away on purpose and leave a tombstone; its history stays for a way back.

        Raises:
            StorageError, LockTimeout: nothing was changed.
        """
        with self._ledger(self._lock_timeout, dry_run=dry_run) as opened:
            ledger = _replaceable(opened)
            before = report.describe(ledger.document) if ledger.document else None
            there = ledger.document is not None or ledger.problem is not None
            if there and not dry_run:
                ledger.remove_document(reason)
            return ClearOutcome(there, ledger.state.generation, before)

    def revoke(self, revocation_uri: str) -> ClearOutcome:
        """Revoke the grant at the provider (RFC 7009), then take the document away and leave a tombstone.

        Raises:
            ProviderUnavailable: the provider did not confirm it, and everything stays as it was.
            TokenMissing, TokenCorrupt: there is nothing to revoke.
        """
        with self._ledger(self._lock_timeout) as opened:
            ledger = _held(opened)
            document = _required(ledger)
            before = report.describe(document)
            revoke_token(revocation_uri, document.refresh_token, deadline=self._exchange_deadline)
            ledger.state.supersede(fingerprint(document.refresh_token))
            ledger.remove_document("Revoked")
            if ledger.state.grant is not None:
                ledger.history.forget(ledger.directory, ledger.state.grant)
            return ClearOutcome(True, ledger.state.generation, before)

    def credentials(self) -> StoreCredentials:
        """Return google-auth credentials that live in this store, for ``googleapiclient.discovery.build``."""
        from token_keeper.credentials import StoreCredentials  # noqa: PLC0415 - google-auth takes 0.2 s to import

        return StoreCredentials(self)

    # -- inside

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
                    volume = DryVolume(self._path)
                    yield Ledger.open(volume, DryEvents(volume, self.service), directory)
                    return
                self._save_unsaved(directory)
                ledger = Ledger.open(self._volume, self._events, directory)
                self._unsaved = None
                yield ledger
            finally:
                # what this process just wrote may share its times with what it replaced
                self._cached = None

    def _save_unsaved(self, directory: int) -> None:
        """Put a reply that the disk did not take into its pending file; opening the ledger then installs it."""
        unsaved = self._unsaved
        if unsaved is None:
            return
        with contextlib.suppress(TokenMissing, TokenCorrupt):
            if self.read().fingerprint == unsaved.document.fingerprint:
                return  # the disk failed after it had been installed
        # raises while the disk still fails: going on without it would lose it
        self._volume.replace(directory, unsaved.pending, unsaved.document.to_json().encode())

    def _renewed_token(self) -> str:
        fresh, usable = self._at_hand()
        if fresh is not None:
            return self._settled_token(fresh)
        try:
            # With a usable token nobody waits: the lock is tried once, and whoever has it renews for all.
            timeout = 0.0 if usable is not None else self._lock_timeout
            with self._ledger(timeout, given_up=self._is_fresh) as ledger:
                if ledger is not None:
                    document = _required(ledger)
                    if not _timing(document, self._path).is_fresh:
                        document = self._exchange(ledger)
                    if document.token is not None:
                        return document.token
            cached = self._load()
            if cached.token is not None and time.time() < cached.usable_until:
                return cached.token
            raise LockTimeout(f"{self._path} changed again while this process waited", remedy="try again")
        except TokenKeeperError as error:
            self._quiet_until = time.monotonic() + _RETRY_PAUSE
            self._judged = self._cached
            if isinstance(error, UnsavedReply) or self._unsaved is not None:
                unsaved = self._unsaved
                if unsaved is not None and unsaved.document.token and unsaved.document.expires_in(time.time()) > 0:
                    return unsaved.document.token
            if usable is not None and not isinstance(error, TokenMissing):
                return usable
            raise

    def _settled_token(self, fresh: str) -> str:
        """Have what a foreign writer left judged at once, if the lock is free: it may have brought old secrets back."""
        with contextlib.suppress(TokenKeeperError):
            if self._generation_of(self._load()) is None:
                with self._ledger(0.0) as ledger:
                    if ledger is not None and ledger.document is not None and ledger.document.token:
                        fresh = ledger.document.token
        with contextlib.suppress(TokenKeeperError):
            self._judged = self._load()
        return fresh

    def _at_hand(self) -> tuple[str | None, str | None]:
        """Return the token if it is fresh, and if it is usable, without the lock."""
        before = self._cached
        try:
            cached = self._load()
        except TokenMissing:
            if not self._is_recoverable():
                raise
            return None, None
        except TokenCorrupt:
            return None, None  # under the lock it may turn out to be mended
        except StorageError:
            # the token that was read before is as good as ever, whatever keeps the file from being read now
            if before is None or before.token is None or time.time() >= before.usable_until:
                raise
            return before.token, before.token
        now = time.time()
        fresh = cached.token if now < cached.renew_at else None
        return fresh, cached.token if now < cached.usable_until else None

    def _exchange(self, ledger: Ledger, *, force: bool = False) -> TokenDocument:
        try:
            exchanges = ledger.state.exchanges
            document = exchange(ledger, force=force, deadline=self._exchange_deadline)
            if ledger.state.exchanges == exchanges and not _timing(document, self._path).is_usable:
                # a foreign writer's document was adopted in place of ours, and it is as old
                document = exchange(ledger, deadline=self._exchange_deadline)
        except UnsavedReply as unsaved:
            self._unsaved = unsaved
            raise
        return document

    def _load(self) -> _Cached:
        """Read the document, or return the parsed one if the file is still the same."""
        cached = self._cached
        if cached is not None:
            with contextlib.suppress(OSError):
                if FileIdentity.of(os.stat(self._text_path)) == cached.identity:
                    return cached
        found = self._volume.read(self._volume.name)
        if found is None:
            raise missing(self._volume, self._state())
        data, status = found
        document = TokenDocument.parse(data, str(self._path))
        timing = _Timing.of(document, status.st_mtime)
        cached = _Cached(FileIdentity.of(status), document, document.token, timing.renew_at, timing.usable_until)
        self._cached = cached
        return cached

    def _state(self) -> State | None:
        with contextlib.suppress(TokenCorrupt):  # a directory in its place is as good as none
            found = self._volume.read(self._volume.state_name, limit=STATE_MAX_BYTES)
            return State.parse(found[0]) if found is not None else None
        return None

    def _generation_of(self, cached: _Cached) -> int | None:
        try:
            identity = FileIdentity.of(os.stat(self._volume.directory / self._volume.state_name))
        except OSError:
            return None
        known = self._generation
        if known is not None and known[0] == cached.identity and known[1] == identity and known[2] is not None:
            return known[2]
        generation = state = None
        with contextlib.suppress(StorageError):
            state = self._state()
        if state is not None and state.identity is not None:
            generation = state.generation if state.identity.document == cached.document.fingerprint else None
        self._generation = (cached.identity, identity, generation)
        return generation

    def _exchanges_now(self) -> int:
        with contextlib.suppress(TokenKeeperError):
            state = self._state()
            return state.exchanges if state is not None else 0
        return 0

    def _is_settled(self) -> bool:
        """Tell whether the state knows of the document that is there, so that its generation can be told."""
        with contextlib.suppress(TokenKeeperError):
            return self._generation_of(self._load()) is not None
        return False

    def _is_recoverable(self) -> bool:
        """Tell whether a document that is missing may come back under the lock: from a reply that waits there."""
        if self._unsaved is not None:
            return True
        with contextlib.suppress(StorageError):
            state = self._state()
            return state is not None and state.journal is not None and state.tombstone is None
        return False

    def _is_fresh(self) -> bool:
        with contextlib.suppress(TokenKeeperError):
            cached = self._load()
            return cached.token is not None and time.time() < cached.renew_at
        return False

    def _token_now(self) -> str | None:
        with contextlib.suppress(TokenKeeperError):
            return self._load().token
        return None

    def _outcome_without_exchange(self) -> RefreshOutcome:
        cached = self._load()
        state = self._state() or State()
        facts = report.describe(cached.document)
        return RefreshOutcome(False, state.generation, state.exchanges, facts, facts)


@dataclasses.dataclass(frozen=True, slots=True)
class _Timing:
    """From when a token is renewed and until when it is used (Unix time).

    A token that lives for a minute only is not renewed 225 s ahead: the window is capped by a share of the life it
    had when its file was written.
    """

    renew_at: float
    usable_until: float

    @classmethod
    def of(cls, document: TokenDocument, written_at: float) -> _Timing:
        if document.token is None or document.expiry is None:
            return cls(float("-inf"), float("-inf"))
        end = document.expiry.timestamp()
        life = max(end - written_at, 0.0)
        window = min(REFRESH_WINDOW, life * _WINDOW_SHARE)
        margin = min(_MARGIN, life * _MARGIN_SHARE)
        return cls(end - window, end - margin)

    @property
    def is_fresh(self) -> bool:
        return time.time() < self.renew_at

    @property
    def is_usable(self) -> bool:
        return time.time() < self.usable_until


def _timing(document: TokenDocument, path: Path) -> _Timing:
    try:
        written_at = path.stat().st_mtime
    except OSError:
        written_at = time.time()
    return _Timing.of(document, written_at)


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
