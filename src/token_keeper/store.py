"""The store: one token document, used by many processes of many containers as if each were alone.

Reading takes no lock. A reader whose token is fresh makes one ``stat`` call. Whoever finds it stale takes the
volume's lock, looks again, and only then asks the provider; everybody else leaves the queue as soon as the new
document is there.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from token_keeper.address import DEADLINE
from token_keeper.clock import uptime
from token_keeper.document import TokenDocument
from token_keeper.errors import (
    ReauthRequired,
    StorageError,
    TokenCorrupt,
    TokenKeeperError,
    TokenMissing,
)
from token_keeper.fingerprint import fingerprint
from token_keeper.forks import unforked
from token_keeper.reading import Reader, Reading
from token_keeper.state import REVOKED
from token_keeper.volume import Volume

if TYPE_CHECKING:
    from token_keeper.backup import Backup
    from token_keeper.credentials import StoreCredentials
    from token_keeper.report import ClearOutcome, PolicyOutcome, RefreshOutcome, ReplaceOutcome, RevokeOutcome
    from token_keeper.rotation import Rotator
    from token_keeper.state import Publishing, Rotation, State
    from token_keeper.status import Status
    from token_keeper.writer import Writer

DEFAULT_PATH: Final = "/app/tokens/token.json"

_RETRY_PAUSE: Final = 1.0
_JUDGE_AGAIN: Final = 0.05


class Snapshot(NamedTuple):
    """The document as it is now.

    Attributes:
        document: the document.
        generation: its generation, ``None`` for the moment between a write and the note of it in the state.
        fingerprint: fingerprint of the access token.
    """

    document: TokenDocument
    generation: int | None
    fingerprint: str


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
        self.service = service or os.environ.get("TOKEN_KEEPER_SERVICE") or os.uname().nodename
        self._lock_timeout = lock_timeout
        self._exchange_deadline = exchange_deadline
        self._volume = Volume(self._path)
        self._reader = Reader(self._volume)
        self._writing: Writer | None = None
        self._judged: Reading | None = None
        self._judge_again_at = float("inf")
        self._quiet_until = 0.0

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
            ReauthRequired: the grant is dead or was revoked; of a revoked one the provider is not asked.
            ClientRejected, PolicyDenied: the provider won't give a token any more.
            ProviderUnavailable: it can't be asked now; ``retry_after`` says when.
            LockTimeout, StorageError: the volume stands in the way.
        """
        reading = self._judged
        try:
            status = os.stat(self._text_path)
        except OSError:
            return self._renewed_token()
        if (
            reading is not None
            and reading.token is not None
            and reading.identity.modified_ns == status.st_mtime_ns
            and reading.identity.inode == status.st_ino
            and reading.identity.changed_ns == status.st_ctime_ns
            and reading.identity.size == status.st_size
        ):
            now = uptime()
            if now < self._judge_again_at and (
                now < reading.renew_at or (now < reading.usable_until and now < self._quiet_until)
            ):
                return reading.token
        return self._renewed_token()

    def read(self) -> TokenDocument:
        """Return the document as it is, whether or not its access token is valid.

        Raises:
            TokenMissing, TokenCorrupt, StorageError: it can't be had. Nothing is mended by reading.
            ReauthRequired: it was revoked.
        """
        return self._reader.load().document

    def snapshot(self) -> Snapshot:
        """Return the document with the generation it belongs to; cheap enough to be called many times a second."""
        reading = self._reader.load()
        return Snapshot(reading.document, self._reader.generation(reading), fingerprint(reading.token or ""))

    def seconds_left(self) -> float:
        """Return the seconds of life that the access token has left, by what this host has seen; negative if none."""
        return self._reader.left()

    def state(self) -> State | None:
        """Return what is known of the document besides its text; ``None`` where nothing can be trusted."""
        return self._reader.state()

    def status(self) -> Status:
        """Look at the volume without changing anything."""
        with unforked():
            from token_keeper.status import look  # noqa: PLC0415 - see _writer

        return look(self._volume)

    # -- renewing

    def refresh(
        self,
        *,
        force: bool = False,
        rejected: str | None = None,
        min_valid: float | None = None,
        dry_run: bool = False,
    ) -> RefreshOutcome:
        """Renew the access token at the provider.

        Args:
            force: renew it although it is fresh. An exchange that another writer finishes while this call waits
                for the lock serves as well: it began after the call or it brought a token that is just as new.
            rejected: an access token that a resource server has refused: renew only if it is still the current one.
            min_valid: renew it if it has fewer seconds than that left, instead of at the usual window.
            dry_run: say whether the provider would be asked, and do not ask it.

        Raises:
            As :meth:`access_token`; here nothing is passed over, even if the old token is still valid.
        """
        return self._writer.refresh(force=force, rejected=rejected, min_valid=min_valid, dry_run=dry_run)

    def rollback(self, grant: str | None = None) -> RefreshOutcome:
        """Go back to the newest earlier grant that the provider still accepts, by one exchange for each that is tried.

        Args:
            grant: name of the one to go back to, such as ``grant_before`` of a rotation's record; where it is the
                current one already, nothing is done.

        Raises:
            Conflict: there is no earlier grant.
            ReauthRequired: all of them are dead; the document stays as it was.
            ProviderUnavailable, StorageError, LockTimeout: nothing was changed.
        """
        return self._writer.roll_back(grant)

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
        publishing: Publishing | None = None,
        same_account: bool = False,
        adopt: bool = False,
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
            publishing: whether the app's consent screen is published.
            same_account: replace another grant too, if it is of the same account and client.
            adopt: it is what an app has made of its own copy; another refresh token of the same account and client is
                taken for the next one of the grant, where its access token lives longer.
            dry_run: say what would happen and change nothing.

        Raises:
            Conflict: the volume holds a newer document, another grant, or another generation than expected.
            TokenCorrupt: what stands there is no file, which is never replaced: it may be anything.
            StorageError, LockTimeout: nothing was changed.
        """
        return self._writer.replace(
            document,
            expect=expect,
            force=force,
            expires_in=expires_in,
            rotation=rotation,
            reuse_grace=reuse_grace,
            publishing=publishing,
            same_account=same_account,
            adopt=adopt,
            dry_run=dry_run,
        )

    def backup(self, *, host: str = "", volume: str = "") -> Backup:
        """Take a backup of the document with its lineage; nothing is changed.

        An exchange that is under way is waited for. The backup holds every secret of the document: encrypt it before it
        goes anywhere (:mod:`token_keeper.vaulttext`).

        Args:
            host: name of the host, which a backup is found by.
            volume: name of the volume, likewise.

        Raises:
            TokenMissing, TokenCorrupt, ReauthRequired: there is no document to back up.
            StorageError, LockTimeout: the volume can't be read now.
        """
        return self._writer.backup(host=host, volume=volume)

    def restore(self, backup: Backup, *, force: bool = False, dry_run: bool = False) -> ReplaceOutcome:
        """Put a backup's document into the volume, unless what is there is newer.

        Args:
            backup: what :meth:`backup` has returned, here or on another host.
            force: overrule a Conflict: another account, client or grant, or a refresh token that was rotated away.
            dry_run: say what would happen and change nothing.

        Raises:
            Conflict: it would go behind what has come since, or over somebody else's token; the reason says which.
            TokenCorrupt: what stands there is no file, which is never replaced: it may be anything.
            StorageError, LockTimeout: nothing was changed.
        """
        return self._writer.restore(backup, force=force, dry_run=dry_run)

    def declare(
        self,
        *,
        rotation: Rotation | None = None,
        reuse_grace: float | None = None,
        publishing: Publishing | None = None,
        dry_run: bool = False,
    ) -> PolicyOutcome:
        """Say what the provider does with refresh tokens; the document and its generation stay as they are.

        Args:
            rotation: whether it gives a new one at each exchange; ``None`` leaves what is known, as below.
            reuse_grace: seconds for which it accepts a spent one.
            publishing: whether the app's consent screen is published; Google ends a grant of one in testing in a week.
            dry_run: say what would change and change nothing.

        Raises:
            StorageError, LockTimeout: nothing was changed.
        """
        return self._writer.declare(rotation=rotation, reuse_grace=reuse_grace, publishing=publishing, dry_run=dry_run)

    def clear(self, reason: str = "Cleared", *, dry_run: bool = False) -> ClearOutcome:
        """Take the document away on purpose and leave a tombstone; its history stays for a way back.

        Raises:
            StorageError, LockTimeout: nothing was changed.
        """
        return self._writer.clear(reason, dry_run=dry_run)

    def revoke(self, revocation_uri: str | None, *, dry_run: bool = False) -> RevokeOutcome:
        """Revoke the grant at the provider (RFC 7009), then take the document away and leave a tombstone.

        From then on every consumer says ReauthRequired (reason ``Revoked``) without asking the provider.

        Args:
            revocation_uri: the provider's endpoint; ``None`` where it has none: the grant then lives on there.
            dry_run: say what would happen and change nothing, here or there.

        Raises:
            ProviderUnavailable: the provider did not confirm it, and everything stays as it was.
            TokenMissing, TokenCorrupt: there is nothing to revoke.
        """
        return self._writer.revoke(revocation_uri, dry_run=dry_run)

    def credentials(self) -> StoreCredentials:
        """Return google-auth credentials that live in this store, for ``googleapiclient.discovery.build``."""
        with unforked():
            from token_keeper.credentials import StoreCredentials  # noqa: PLC0415 - google-auth takes 0.2 s to import

        return StoreCredentials(self)

    @property
    def rotation(self) -> Rotator:
        """What replaces a grant or a client in steps: stage, check, promote, retire."""
        with unforked():
            from token_keeper.rotation import Rotator  # noqa: PLC0415 - see _writer

        return Rotator(self._writer)

    # -- inside

    @property
    def _writer(self) -> Writer:
        """What works under the lock; imported when it is needed, because a process that only reads starts faster."""
        if self._writing is None:
            with unforked():
                from token_keeper.writer import Writer  # noqa: PLC0415

            # among threads that come here at once, the first one's is used by all
            self._writing = self.__dict__.setdefault(
                "_shared_writer",
                Writer(
                    self._volume,
                    self._reader,
                    service=self.service,
                    lock_timeout=self._lock_timeout,
                    exchange_deadline=self._exchange_deadline,
                ),
            )
        return self._writing

    def _renewed_token(self) -> str:
        before = self._reader.latest
        held = before.token if before is not None and before.is_usable() else None
        if held is None and self._reader.has_ended():
            return self._next_token()
        try:
            reading = self._at_hand()
        except (StorageError, TokenMissing) as error:
            # What was read before is as good as ever, whatever keeps the file from being read now. It may be gone for a
            # moment too, as under `docker cp`; but not on purpose.
            if held is None or (isinstance(error, TokenMissing) and self._reader.is_taken_away()):
                raise
            return held
        if reading is None:
            if held is not None and self._volume.is_settling():
                return held  # somebody is writing it in place: it is mended when that has come to nothing
        elif reading.token is not None and reading.is_fresh():
            return self._settled_token(reading.token)
        try:
            # With a usable token nobody waits: the lock is tried once, and whoever has it renews for all.
            usable = held is not None if reading is None else reading.is_usable()
            return self._writer.renewed_token(wait=not usable)
        except TokenKeeperError as error:
            self._quiet_until = uptime() + _RETRY_PAUSE
            self._judge(reading)
            return self._last_resort(error, before if reading is None else reading)

    def _next_token(self) -> str:
        """Return the token that comes after one that has ended."""
        try:
            return self._writer.renewed_token(wait=True)
        except TokenKeeperError as error:
            self._quiet_until = uptime() + _RETRY_PAUSE
            last = None
            with contextlib.suppress(TokenKeeperError):
                last = self._reader.load()
            gone = self._reader.taken_away(last.document) if last is not None else None
            if gone is not None:
                raise gone from error  # a stock app has written it back meanwhile
            self._judge(last)
            return self._last_resort(error, last)

    def _last_resort(self, error: TokenKeeperError, last: Reading | None) -> str:
        """Return a token that works in spite of the error, or raise it."""
        unsaved = self._writer.unsaved_token()
        if unsaved is not None and error.reason != REVOKED:
            return unsaved
        # better the last seconds of the old one than none
        if last is None or last.token is None or not last.is_valid() or _is_on_purpose(error):
            raise error
        return last.token

    def _settled_token(self, fresh: str) -> str:
        """Have what a foreign writer left judged at once, if the lock is free."""
        try:
            if not self._reader.load().settled:
                fresh = self._writer.judged_token() or fresh
        except TokenKeeperError as error:
            if _is_on_purpose(error):
                raise  # whoever wrote it back did not know
            gone = self._reader.latest and self._reader.taken_away(self._reader.latest.document)
            if gone:
                raise gone from error  # the lock is busy, and it goes all the same
        with contextlib.suppress(TokenKeeperError):
            self._judge(self._reader.load())
        return fresh

    def _judge(self, reading: Reading | None) -> None:
        self._judged = reading
        # whoever holds the lock is about to note what he wrote, or it is foreign and not yet judged
        unsettled = reading is not None and not reading.settled
        self._judge_again_at = uptime() + _JUDGE_AGAIN if unsettled else float("inf")

    def _at_hand(self) -> Reading | None:
        """Return what is there, or ``None`` where it may turn out under the lock that there is something after all."""
        try:
            return self._reader.load()
        except TokenMissing:
            recoverable = self._writing is not None and self._writing.has_unsaved
            if not (recoverable or self._reader.is_recoverable()):
                raise
        except TokenCorrupt:
            pass  # it may be mended
        return None


def _is_on_purpose(error: TokenKeeperError) -> bool:
    """Tell whether there is no token because somebody wants it so."""
    return isinstance(error, TokenMissing) or (isinstance(error, ReauthRequired) and error.reason == REVOKED)
