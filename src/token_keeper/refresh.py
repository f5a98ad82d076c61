"""The refresh protocol: one exchange under the lock, whose reply is never lost.

The order is what matters (see docs/decisions/0002-refresh-protocol.md): space for the reply is reserved and the
intent is journalled before the provider is asked; the reply goes into the reserved file before anything else is
done with it; then history, document, state. A writer that dies at any point leaves enough behind for the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import secrets
import time
from typing import Final

from token_keeper.address import DEADLINE, where
from token_keeper.clock import Instant, Span
from token_keeper.document import TokenDocument, expiry_after
from token_keeper.errors import (
    ClientRejected,
    PolicyDenied,
    ProviderUnavailable,
    ReauthRequired,
    StorageError,
    TokenCorrupt,
    TokenKeeperError,
)
from token_keeper.exchange import TokenReply, prepare, request_token
from token_keeper.history import Entry
from token_keeper.ledger import Ledger, UnsavedReply
from token_keeper.provider import rotation_of
from token_keeper.rotation_record import RotationRecord
from token_keeper.state import Identity, Journal
from token_keeper.volume import Volume

DEFAULT_LIFETIME: Final = 3600.0
"""Seconds of life assumed where the provider does not send ``expires_in`` (only RECOMMENDED by RFC 6749)."""

_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 300.0
_REAUTH_REMEDY: Final = "consent again: run site.yml (or push a document with another grant)"
_TAKE_BACK_ATTEMPTS: Final = 3
_SAVE_ATTEMPTS: Final = 20
_SAVE_PAUSE: Final = 0.25


@dataclasses.dataclass(frozen=True, slots=True)
class ClientChange:
    """Another secret of the document's client, which the provider is to accept.

    Attributes:
        secret: the client's other secret.
        record: the rotation that is noted when it does.
    """

    secret: str = dataclasses.field(repr=False)
    record: RotationRecord


def exchange(
    ledger: Ledger,
    *,
    force: bool = False,
    deadline: float = DEADLINE,
    earlier: Entry | None = None,
    change: ClientChange | None = None,
) -> TokenDocument:
    """Renew the ledger's document at the provider, once.

    Args:
        ledger: holds the document and the lock.
        earlier: an earlier grant that is renewed instead, and put in the document's place if that succeeds.
        change: another secret of the client. Where the provider refuses it, everything stays as it is.
        force: ask the provider although a back-off runs or the grant was declared dead.
        deadline: seconds for the exchange.

    Returns:
        The new document, which is installed; or the document of a foreign writer who was faster.

    Raises:
        ReauthRequired: the grant is dead, or its fate is unknown and must not be tempted.
        ClientRejected, PolicyDenied, ProviderUnavailable: see :mod:`token_keeper.exchange`.
        StorageError: nothing was sent, because the reply could not have been kept.
        UnsavedReply: the reply is there, but the disk failed after the provider had been asked.
    """
    document = earlier.document if earlier is not None else ledger.document
    if document is None:
        raise TokenKeeperError("an exchange needs a document")
    if change is not None:
        # what it is renewed to has the new secret from the first: whoever installs the reply installs it too
        document = document.with_secret(change.secret)
    if earlier is None:
        may_ask(ledger, document, force=force)
    prepare()  # before the journal says that it has begun
    journal = ledger.state.journal
    reply = _Reply(ledger, document, _begin(ledger, document, earlier, change))
    form = {
        "grant_type": "refresh_token",
        "refresh_token": document.refresh_token,
        "client_id": document.client_id,
        "client_secret": document.client_secret,
    }
    try:
        request_token(document.token_uri, form, deadline=deadline, on_reply=reply.keep)
    except ReauthRequired as refusal:
        if earlier is not None:
            _forgotten(ledger, earlier, reply.pending)
            raise
        if change is not None:
            _put_off(ledger, journal, refusal, reply.pending)
            raise
        return _refused(ledger, document, refusal, reply.pending)
    except (ClientRejected, PolicyDenied) as refusal:
        if change is not None:
            _put_off(ledger, journal, refusal, reply.pending)
            raise
        _failed(ledger, refusal, reply.pending, outcome_known=True)
        raise
    except ProviderUnavailable as failure:
        if change is not None and failure.outcome_known:
            _put_off(ledger, journal, failure, reply.pending)
            raise
        _failed(ledger, failure, reply.pending, outcome_known=failure.outcome_known)
        raise
    except StorageError as fault:
        raise reply.unsaved(fault) from fault
    except BaseException as interruption:
        # The caller's own, such as Ctrl-C or a worker's time limit: the exchange is settled, and it goes on its way.
        reply.settle(interruption)
        raise
    return reply.install()


class _Reply:
    """What the provider answers to one exchange, on its way to the disk."""

    def __init__(self, ledger: Ledger, document: TokenDocument, pending: str) -> None:
        self._ledger = ledger
        self._before = document
        self._successor: TokenDocument | None = None
        self._reply: TokenReply | None = None
        self._life: Span | None = None
        self._saved = False
        self.pending = pending

    def keep(self, reply: TokenReply) -> None:
        """Bring the reply to disk, first of all; called in the exchange's thread, it may be after the deadline."""
        self._life = Span(Instant.now(), _lifetime(reply))
        self._successor = _readable(self._before.token_uri, successor_of(self._before, reply))
        self._reply = reply
        _write_reply(self._ledger.volume, self.pending, self._successor)
        self._saved = True

    def install(self) -> TokenDocument:
        """Make what the provider gave the document."""
        reply, successor, state = self._reply, self._successor, self._ledger.state
        if reply is None or successor is None:
            raise TokenKeeperError("there is no reply to install")
        state.renewed_at, state.lifetime = reply.received_at, _lifetime(reply)
        state.clock_skew = round(reply.date - reply.received_at, 1) if reply.date else None
        if reply.refresh_token is not None and reply.refresh_token != self._before.refresh_token:
            state.rotation = "yes"
        state.dead_grant = state.dead_reason = None
        state.end_cooldown()
        try:
            ends = reply.refresh_token_expires_in
            current = self._ledger.take_reply(
                successor,
                self.pending,
                event="Refreshed",
                life=self._life,
                grant_expiry=reply.received_at + ends if ends else None,
            )
            if reply.expires_in is not None and reply.expires_in < _FIRST_BACKOFF:
                # a token without any life would be renewed at each call of each process
                state.begin_cooldown(_FIRST_BACKOFF)
                self._ledger.save()
        except StorageError as failure:
            raise self.unsaved(failure) from failure
        if not reply.is_bearer:
            other = ProviderUnavailable(
                f"{where(successor.token_uri)} answered with a token_type that is not Bearer (RFC 6750)",
                reason="NotBearer",
                remedy="its refresh token is kept; ask the provider why it gives this client another kind of token",
            )
            _failed(self._ledger, other, self.pending, outcome_known=True)
            raise other
        return current or successor

    def settle(self, interruption: BaseException) -> None:
        """Leave things in order for the next one, whatever the exchange came to."""
        if self._saved:
            with contextlib.suppress(TokenKeeperError):  # the next one rolls it forward
                self.install()
        elif self._successor is not None:
            fault = StorageError(f"cannot save the provider's reply in {self._ledger.volume.directory}")
            self.unsaved(fault)
        else:
            # nobody knows how far it came: the next one must not take the refresh token for unspent
            unknown = ProviderUnavailable(
                f"the exchange for {self._ledger.volume.path} broke off ({type(interruption).__name__})",
                reason="NoReply",
                outcome_known=False,
            )
            _failed(self._ledger, unknown, self.pending, outcome_known=False)

    def unsaved(self, cause: StorageError) -> StorageError:
        """Return the error for a reply that the disk did not take, after giving the reply to the ledger's owner."""
        if self._successor is None:
            return cause
        self._ledger.unsaved = UnsavedReply(cause, self._successor, self.pending)
        return self._ledger.unsaved


def _readable(token_uri: str, document: TokenDocument) -> TokenDocument:
    """Return the document if it can be read back; what can't be kept is no reply."""
    try:
        TokenDocument.parse(document.to_json())
    except TokenCorrupt as problem:
        raise ProviderUnavailable(
            f"{token_uri} answered with a token that can't be kept: {problem.message}",
            reason="NoReply",
            outcome_known=False,
        ) from None
    return document


def successor_of(document: TokenDocument, reply: TokenReply) -> TokenDocument:
    """Return the document that a reply turns the old one into."""
    return document.renewed(
        token=reply.access_token if reply.is_bearer else None,
        refresh_token=reply.refresh_token,
        scopes=reply.scope,
        expiry=expiry_after(_lifetime(reply), reply.received_at),
    )


def _lifetime(reply: TokenReply) -> float:
    return reply.expires_in if reply.expires_in is not None else DEFAULT_LIFETIME


def may_ask(ledger: Ledger, document: TokenDocument, *, force: bool) -> None:
    """Raise unless the provider may be asked now."""
    state, now = ledger.state, time.time()
    path = ledger.volume.path
    if state.dead_grant == document.grant_fingerprint and not force:
        raise ReauthRequired(
            f"the provider has refused the grant in {path}",
            reason=state.dead_reason or "InvalidGrant",
            remedy=_REAUTH_REMEDY,
        )
    wait = state.cooldown_left()
    if wait > 0 and not force:
        raise ProviderUnavailable(
            f"the last exchange for {path} failed; the next one is due in {wait:.0f} s",
            reason="BackOff",
            remedy="nothing has to be done; `token-keeper refresh --force` asks at once",
            retry_after=wait,
        )
    journal = state.journal
    if journal is None or journal.refresh_token != Identity.of(document).refresh_token:
        return
    rotation = rotation_of(state, document)
    if rotation == "no" or _within_grace(ledger, journal):
        return
    if journal.outcome == "server_error":
        # The provider answered with a fault: most likely nothing happened, and asking again heals it. If it did
        # carry the exchange out and rotates, asking again may end the whole grant, so as long as the old access token
        # is given out there is nothing to win. Where nobody knows whether it rotates, apps that renew by themselves
        # would ask before long, and go on asking.
        if rotation == "unknown":
            return
        timing = ledger.timing()
        if not timing.is_usable or force:
            return
        raise ProviderUnavailable(
            f"the provider failed during the last exchange for {path}; the next one waits for the old token's end",
            reason="OutcomeUncertain",
            remedy="nothing has to be done; declare a reuse grace (token_volume_reuse_grace) if the provider has one",
            retry_after=timing.left - timing.margin(),
        )
    if force and journal.replayed is False and journal.outcome == "no_reply" and ledger.timing().left <= 0:
        return
    error = ReauthRequired(
        f"the provider's reply to the last exchange for {path} was lost, and its refresh token may be spent",
        reason="ExchangeOutcomeUnknown",
        remedy=_REAUTH_REMEDY,
    )
    if state.conditions.get("ReauthRequired") is None or state.conditions["ReauthRequired"].status != "True":
        state.set_condition("ReauthRequired", "True", error.reason, error.message, now)
        ledger.save()
        ledger.events.record(ledger.directory, "ReauthRequired", reason=error.reason)
    raise error


def _within_grace(ledger: Ledger, journal: Journal) -> bool:
    """Tell whether the one replay that the provider's reuse grace allows is still to be had."""
    return not journal.replayed and 0 <= journal.started.age() < ledger.state.reuse_grace


def _begin(ledger: Ledger, document: TokenDocument, earlier: Entry | None, change: ClientChange | None) -> str:
    """Reserve space for the reply and journal the intent; return the pending file's name."""
    state = ledger.state
    before = state.journal
    identity = Identity.of(document)
    identifier = secrets.token_hex(8) + identity.refresh_token
    name = ledger.volume.pending_name(identifier)
    ledger.sweep()
    ledger.volume.reserve(ledger.directory, name)
    now = time.time()
    generation = ledger.next_generation()
    state.journal = Journal(
        id=identifier,
        started=Instant.now(),
        document=(ledger.document or document).fingerprint,
        refresh_token=identity.refresh_token,
        generation=generation,
        replayed=before is not None and before.refresh_token == identity.refresh_token,
        grant=earlier.grant if earlier is not None else None,
    )
    state.rotation_begun = dataclasses.replace(change.record, id=identifier) if change is not None else None
    state.set_condition("Refreshing", "True", "ExchangeStarted", f"exchange {identifier}", now)
    try:
        ledger.save()
    except BaseException as error:
        # If only the flush failed, or a signal's exception (Ctrl-C, a worker's time limit) came then, it stands there,
        # and the next writer would take it for sent: it is taken back. Another signal meanwhile changes nothing.
        reason, message = (
            (error.reason, error.message) if isinstance(error, StorageError) else ("Interrupted", type(error).__name__)
        )
        state.journal, state.rotation_begun = before, None
        state.set_condition("Refreshing", "False", reason, message, now)
        for _ in range(_TAKE_BACK_ATTEMPTS):
            with contextlib.suppress(BaseException):
                ledger.save()
                break
        with contextlib.suppress(BaseException):
            ledger.volume.remove(ledger.directory, name)
        raise
    return name


def _write_reply(volume: Volume, pending: str, document: TokenDocument) -> None:
    """Bring the reply to disk. It exists nowhere else: while the lock is held, it is tried again and again."""
    data = document.to_json().encode()
    for attempt in range(_SAVE_ATTEMPTS):
        try:
            # A descriptor of its own: a late reply is written when the lock's is closed already.
            with volume.opened() as directory:
                if attempt == 0:
                    volume.fill(directory, pending, data)
                else:
                    # a file whose flush failed can't be trusted any more: a new one takes the name
                    volume.replace(directory, pending, data)
        except StorageError:
            if attempt + 1 == _SAVE_ATTEMPTS:
                raise
            time.sleep(_SAVE_PAUSE)
        else:
            return


def _refused(ledger: Ledger, document: TokenDocument, refusal: ReauthRequired, pending: str) -> TokenDocument:
    """The provider says ``invalid_grant``: believe it once, unless somebody has changed the grant meanwhile."""
    fresh = ledger.reread()
    if fresh is not None and fresh.refresh_token != document.refresh_token:
        ledger.volume.remove(ledger.directory, pending)
        ledger.state.journal = None
        ledger.accept(fresh, event="Adopted")
        return fresh
    replayed = ledger.state.journal is not None and ledger.state.journal.replayed
    unknown = replayed and rotation_of(ledger.state, document) != "no"
    reason = "ExchangeOutcomeUnknown" if unknown else refusal.reason
    ledger.state.dead_grant, ledger.state.dead_reason = document.grant_fingerprint, reason
    ledger.state.set_condition("ReauthRequired", "True", reason, refusal.message, time.time())
    _failed(ledger, refusal, pending, outcome_known=True)
    raise ReauthRequired(refusal.message, reason=reason, remedy=_REAUTH_REMEDY)


def _forgotten(ledger: Ledger, earlier: Entry, pending: str) -> None:
    """An earlier grant is dead: that says nothing of the current one, whose document and state stay as they are."""
    ledger.state.journal = None
    ledger.state.set_condition("Refreshing", "False", "Idle", "no exchange is under way", time.time())
    ledger.history.forget(ledger.directory, earlier.grant)
    ledger.save()
    ledger.volume.remove(ledger.directory, pending)
    ledger.events.record(ledger.directory, "EarlierGrantDead", grant=earlier.grant)


def _put_off(ledger: Ledger, journal: Journal | None, error: TokenKeeperError, pending: str) -> None:
    """Another secret is not accepted, or not now: the one that is used has nothing to do with it."""
    state = ledger.state
    state.journal, state.rotation_begun = journal, None
    state.set_condition("Refreshing", "False", "Idle", "no exchange is under way", time.time())
    with contextlib.suppress(StorageError):  # the provider's error is the one to tell
        ledger.save()
        ledger.volume.remove(ledger.directory, pending)
    ledger.events.record(ledger.directory, "ClientRefused", generation=state.generation, reason=error.reason)


def _failed(ledger: Ledger, error: TokenKeeperError, pending: str, *, outcome_known: bool) -> None:
    """Record an exchange that brought nothing, and the back-off that every process keeps to."""
    state, now = ledger.state, time.time()
    state.failures += 1
    asked = error.retry_after if isinstance(error, ProviderUnavailable) else None
    backoff = min(_FIRST_BACKOFF * 2 ** min(state.failures - 1, 12), _LONGEST_BACKOFF) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
    state.begin_cooldown(max(backoff, asked or 0.0))
    if outcome_known:
        state.journal = None
    elif state.journal is not None:
        state.journal = dataclasses.replace(
            state.journal, outcome="no_reply" if error.reason == "NoReply" else "server_error"
        )
    state.set_condition("Refreshing", "False", error.reason, error.message, now)
    with contextlib.suppress(StorageError):  # the provider's error is the one to tell; a back-off can be forgotten
        ledger.save()
    ledger.events.record(
        ledger.directory, "ExchangeFailed", generation=state.generation, reason=error.reason, failures=state.failures
    )
    if outcome_known:
        with contextlib.suppress(StorageError):
            ledger.volume.remove(ledger.directory, pending)
