"""Reading the document without a lock, and parsing it once for each of its versions."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Final, NamedTuple

from token_keeper.clock import Span, uptime
from token_keeper.document import REQUIRED, TokenDocument, parse_expiry
from token_keeper.errors import ReauthRequired, StorageError, TokenCorrupt, TokenKeeperError, TokenMissing
from token_keeper.fingerprint import fingerprint
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import REVOKED, Glimpse, State
from token_keeper.volume import FileIdentity, Volume

REFRESH_WINDOW: Final = 225.0
"""Seconds before its end from which a token is renewed: google-auth's own threshold, so that both agree."""

_WINDOW_SHARE: Final = 0.25
_MARGIN: Final = 10.0
_MARGIN_SHARE: Final = 0.1


class Timing(NamedTuple):
    """How long an access token is used, and from when it is renewed ahead.

    Attributes:
        left: seconds until it ends; negative when it is over or was never told.
        life: seconds of life that it had when it came.
    """

    left: float
    life: float

    @classmethod
    def of(cls, document: TokenDocument, written_at: float, span: Span | None) -> Timing:
        """Take the timing from what this host has seen, or else from the document's expiry and the wall clock.

        Args:
            document: the document.
            written_at: Unix time at which its file was written.
            span: the life of exactly this access token, where the state knows it.
        """
        if document.token is None or document.expiry is None:
            return cls(float("-inf"), 0.0)
        if span is not None:
            return cls(span.left(), span.seconds)
        return cls(document.expires_in(time.time()), max(document.expiry.timestamp() - written_at, 0.0))

    def window(self, spread: float = 0.0) -> float:
        """Return the seconds before the end from which the token is renewed.

        A token that lives for a minute only is not renewed 225 s ahead: the window is capped by a share of its life.

        Args:
            spread: 0 to 1, this process's own place in a tenth of the window, so that not all of them come at once.
        """
        return min(REFRESH_WINDOW, self.life * _WINDOW_SHARE) * (1.0 + 0.1 * spread)

    def margin(self) -> float:
        """Return the seconds before the end from which the token is not given out: a request takes a while."""
        return min(_MARGIN, self.life * _MARGIN_SHARE)

    @property
    def is_fresh(self) -> bool:
        """Tell whether it need not be renewed yet."""
        return self.left > self.window()

    @property
    def is_usable(self) -> bool:
        """Tell whether it may still be given out."""
        return self.left > self.margin()


class Reading(NamedTuple):
    """A parsed document, and until when which use of it is right, on the boot clock (:func:`clock.uptime`).

    Attributes:
        identity: the version of the file.
        settled: whether the state knew of it; a foreign writer's document is not yet judged.
    """

    identity: FileIdentity
    document: TokenDocument
    token: str | None
    settled: bool
    renew_at: float
    usable_until: float
    ends_at: float

    def is_fresh(self) -> bool:
        """Tell whether its token need not be renewed yet."""
        return self.token is not None and uptime() < self.renew_at

    def is_usable(self) -> bool:
        """Tell whether its token may still be given out."""
        return self.token is not None and uptime() < self.usable_until

    def is_valid(self) -> bool:
        """Tell whether its token has not ended, be it about to."""
        return self.token is not None and uptime() < self.ends_at


class _Glance(NamedTuple):
    """What a glance at a document shows: its version, its access token, and how long that lives by the wall clock."""

    identity: FileIdentity
    token: str
    timing: Timing

    def is_fresh(self, spread: float) -> bool:
        return self.timing.left > self.timing.window(spread)


class Reader:
    """Reads one document; what did not change is not parsed again.

    Args:
        volume: the document's files.
    """

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._seed = int.from_bytes(os.urandom(4), "big") / 2**32
        self._text_path = str(volume.path)
        self._generation: tuple[FileIdentity, FileIdentity, int | None] | None = None
        self._ended: FileIdentity | None = None
        self.latest: Reading | None = None

    def load(self) -> Reading:
        """Return the document as it is now.

        Raises:
            TokenMissing, TokenCorrupt, StorageError: it can't be had.
            ReauthRequired: it was revoked.
        """
        latest = self.latest
        if latest is not None and latest.settled:
            with contextlib.suppress(OSError):
                if FileIdentity.of(os.stat(self._text_path)) == latest.identity:
                    return latest
        found = self._volume.read(self._volume.name)
        if found is None:
            raise missing(self._volume, self.state())
        data, status = found
        identity = FileIdentity.of(status)
        document = latest.document if latest is not None and latest.identity == identity else self._parsed(data)
        span, settled = self._known(document)
        if latest is not None and latest.identity == identity and not settled:
            return latest  # its end was told by the wall clock once, and is not told anew
        timing, now = Timing.of(document, status.st_mtime, span), uptime()
        end = now + timing.left
        self.latest = Reading(
            identity, document, document.token, settled, end - timing.window(self._spread()), end - timing.margin(), end
        )
        return self.latest

    def _parsed(self, data: bytes) -> TokenDocument:
        try:
            return TokenDocument.parse(data, str(self._volume.path))
        except TokenCorrupt as problem:
            remedy = (
                "whoever needs a token next puts the last sound one back, where the history has it: "
                f"`token-keeper verify` does so now; else {problem.remedy}"
            )
            raise TokenCorrupt(problem.message, reason=problem.reason, remedy=remedy) from None

    def forget(self) -> None:
        """Read anew next time: what this process has just written may share its times with what it replaced."""
        self.latest = None

    def state(self) -> State | None:
        """Return the state, ``None`` where there is none that can be trusted.

        Raises:
            StorageError: it can't be read.
        """
        with contextlib.suppress(TokenCorrupt):  # a directory in its place is as good as none
            found = self._volume.read(self._volume.state_name, limit=STATE_MAX_BYTES)
            return State.parse(found[0]) if found is not None else None
        return None

    def generation(self, reading: Reading) -> int | None:
        """Return the generation of a document that was read, ``None`` until the state knows of it."""
        try:
            identity = FileIdentity.of(os.stat(self._volume.directory / self._volume.state_name))
        except OSError:
            return None
        last = self._generation
        if last is not None and last[0] == reading.identity and last[1] == identity and last[2] is not None:
            return last[2]
        seen = self._glimpse()
        known = seen is not None and seen.document == reading.document.fingerprint
        generation = seen.generation if seen is not None and known else None
        self._generation = (reading.identity, identity, generation)
        return generation

    def exchanges(self) -> int:
        """Return how many exchanges the volume has seen, 0 where that can't be told."""
        with contextlib.suppress(TokenKeeperError):
            state = self.state()
            return state.exchanges if state is not None else 0
        return 0

    def is_settled(self) -> bool:
        """Tell whether the state knows of the document that is there, so that its generation can be told."""
        with contextlib.suppress(TokenKeeperError):
            return self.generation(self.load()) is not None
        return False

    def fresh_token(self) -> str | None:
        """Return an access token that need not be renewed yet, if there is one; waiters ask again and again."""
        latest = self.latest
        try:
            identity = FileIdentity.of(os.stat(self._text_path))
            if latest is not None and identity == latest.identity:
                return latest.token if latest.is_fresh() else None
            glance = self._glance() if identity != self._ended else None
        except (OSError, TokenKeeperError):
            return None
        return glance.token if glance is not None and glance.is_fresh(self._spread()) else None

    def usable_token(self) -> str | None:
        """Return an access token that may be given out, if there is one, by all that is known of it."""
        fresh = self.fresh_token()
        if fresh is None:
            with contextlib.suppress(TokenKeeperError):
                reading = self.load()
                # what the state does not know of is for the one who has the lock to judge
                return reading.token if reading.settled and reading.is_usable() else None
        return fresh

    def has_ended(self) -> bool:
        """Tell whether a document has come since the last reading whose access token has ended, at a glance.

        Dozens of processes find that out at the same moment, and only the one that gets the lock has to know more. The
        wall clock may be wrong: who does not get the lock asks for :meth:`usable_token` before long.
        """
        with contextlib.suppress(OSError, TokenKeeperError):
            if self.latest is None or FileIdentity.of(os.stat(self._text_path)) != self.latest.identity:
                glance = self._glance()
                # said of each version once: what a wrong clock made of it is put right by the reading that comes next
                if glance is not None and glance.timing.left <= 0 and glance.identity != self._ended:
                    self._ended = glance.identity
                    return True
        return False

    def _glance(self) -> _Glance | None:
        """Look at token and expiry of a document that has just come, and judge nothing else.

        Its expiry was told by the clock a moment ago, and the next reading makes good what is left out here.
        """
        found = self._volume.read(self._volume.name)
        with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
            if found is not None:
                fields = json.loads(found[0])
                token, expiry = fields["token"], parse_expiry(fields["expiry"]).timestamp()
                if isinstance(token, str) and token.isprintable() and token and all(fields[name] for name in REQUIRED):
                    timing = Timing(expiry - time.time(), expiry - found[1].st_mtime)
                    return _Glance(FileIdentity.of(found[1]), token, timing)
        return None

    def left(self) -> float:
        """Return the seconds of life that the token which is there has left; negative where there is none."""
        with contextlib.suppress(TokenKeeperError):
            return self.load().ends_at - uptime()
        return float("-inf")

    def token(self) -> str | None:
        """Return the access token that is there, if any, whether or not it is valid."""
        with contextlib.suppress(TokenKeeperError):
            return self.load().token
        return None

    def is_recoverable(self) -> bool:
        """Tell whether a document that is missing may come back under the lock: from a reply that waits there."""
        with contextlib.suppress(StorageError):
            state = self.state()
            return state is not None and state.journal is not None and state.tombstone is None
        return False

    def is_taken_away(self) -> bool:
        """Tell whether the document was taken away on purpose."""
        with contextlib.suppress(StorageError):
            state = self.state()
            return state is not None and state.tombstone is not None
        return False

    def taken_away(self, document: TokenDocument) -> TokenKeeperError | None:
        """Return the error to raise where a document was taken away on purpose and somebody has written it back.

        One with another refresh token is not meant: it is what comes after, and its writer is about to note it.
        """
        with contextlib.suppress(StorageError):
            state = self.state()
            identity = state.identity if state is not None and state.tombstone is not None else None
            if identity is not None and identity.refresh_token == fingerprint(document.refresh_token):
                return missing(self._volume, state)
        return None

    def _spread(self) -> float:
        """Return this process's own place; children that were forked from one reader have different ones."""
        return (self._seed + os.getpid() * 0.618034) % 1.0

    def _known(self, document: TokenDocument) -> tuple[Span | None, bool]:
        seen = self._glimpse()
        if seen is not None and seen.document == document.fingerprint:
            return seen.token_life, True
        return None, False

    def _glimpse(self) -> Glimpse | None:
        with contextlib.suppress(TokenCorrupt, StorageError):
            found = self._volume.read(self._volume.state_name, limit=STATE_MAX_BYTES)
            return Glimpse.parse(found[0]) if found is not None else None
        return None


def missing(volume: Volume, state: State | None) -> TokenKeeperError:
    """Return the error that says why there is no document."""
    if not volume.directory.is_dir():
        return StorageError(
            f"the directory {volume.directory} does not exist", reason="NoVolume", remedy="mount the token volume there"
        )
    reason = state.tombstone if state is not None and state.tombstone else "NoDocument"
    if reason == REVOKED:
        return ReauthRequired(
            f"the grant in {volume.path} was revoked on purpose, and its document was taken away",
            reason=reason,
            remedy="consent again: run site.yml, or push a document with another grant",
        )
    return TokenMissing(
        f"there is no token in {volume.path}" + ("" if reason == "NoDocument" else f": it was {reason.lower()}"),
        reason=reason,
        remedy="run site.yml to obtain one, or push one with `token-keeper push`",
    )
