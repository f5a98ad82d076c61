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
from token_keeper.exchange import DEADLINE, TokenReply, prepare, request_token
from token_keeper.ledger import Ledger
from token_keeper.provider import rotation_of
from token_keeper.state import Identity, Journal
from token_keeper.volume import Volume

DEFAULT_LIFETIME: Final = 3600.0
"""Seconds of life assumed where the provider does not send ``expires_in`` (only RECOMMENDED by RFC 6749)."""

_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 300.0
_REAUTH_REMEDY: Final = "consent again: run site.yml (or push a document with another grant)"
_SAVE_ATTEMPTS: Final = 20
_SAVE_PAUSE: Final = 0.25


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


def exchange(ledger: Ledger, *, force: bool = False, deadline: float = DEADLINE) -> TokenDocument:
    """Renew the ledger's document at the provider, once.

    Args:
        ledger: holds the document and the lock.
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
    document = ledger.document
    if document is None:
        raise TokenKeeperError("an exchange needs a document")
    _may_ask(ledger, document, force=force)
    prepare()  # before the journal says that it has begun
    pending = _begin(ledger, document)
    renewed: list[TokenDocument] = []
    lives: list[Span] = []

    def keep(reply: TokenReply) -> None:
        lives.append(Span(Instant.now(), _lifetime(reply)))
        successor = _readable(document.token_uri, successor_of(document, reply))
        renewed.append(successor)
        _write_reply(ledger.volume, pending, successor)
        ledger.state.clock_skew = round(reply.date - reply.received_at, 1) if reply.date else None
        if reply.refresh_token_expires_in:
            ledger.state.grant_expiry = reply.received_at + reply.refresh_token_expires_in

    form = {
        "grant_type": "refresh_token",
        "refresh_token": document.refresh_token,
        "client_id": document.client_id,
        "client_secret": document.client_secret,
    }
    try:
        reply = request_token(document.token_uri, form, deadline=deadline, on_reply=keep)
    except ReauthRequired as refusal:
        return _refused(ledger, document, refusal, pending)
    except (ClientRejected, PolicyDenied) as refusal:
        _failed(ledger, refusal, pending, outcome_known=True)
        raise
    except ProviderUnavailable as failure:
        _failed(ledger, failure, pending, outcome_known=failure.outcome_known)
        raise
    except Exception as fault:
        if renewed:
            raise UnsavedReply(_storage_error(fault, ledger.volume), renewed[0], pending) from fault
        # nobody knows how far it came: the next one must not take the refresh token for unspent
        unknown = ProviderUnavailable(
            f"the exchange for {ledger.volume.path} broke off ({type(fault).__name__})",
            reason="NoReply",
            outcome_known=False,
        )
        _failed(ledger, unknown, pending, outcome_known=False)
        raise unknown from fault
    state = ledger.state
    if reply.refresh_token is not None and reply.refresh_token != document.refresh_token:
        state.rotation = "yes"
    state.dead_grant = state.dead_reason = None
    state.end_cooldown()
    try:
        current = ledger.take_reply(renewed[0], pending, event="Refreshed", life=lives[0])
        if reply.expires_in is not None and reply.expires_in < _FIRST_BACKOFF:
            # a token without any life would be renewed at each call of each process
            state.begin_cooldown(_FIRST_BACKOFF)
            ledger.save()
    except StorageError as failure:
        raise UnsavedReply(failure, renewed[0], pending) from failure
    return current or renewed[0]


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


def _storage_error(fault: Exception, volume: Volume) -> StorageError:
    if isinstance(fault, StorageError):
        return fault
    return StorageError(
        f"cannot save the provider's reply in {volume.directory} ({type(fault).__name__})", reason="InputOutput"
    )


def successor_of(document: TokenDocument, reply: TokenReply) -> TokenDocument:
    """Return the document that a reply turns the old one into."""
    return document.renewed(
        token=reply.access_token,
        refresh_token=reply.refresh_token,
        scopes=reply.scope,
        expiry=expiry_after(_lifetime(reply), reply.received_at),
    )


def _lifetime(reply: TokenReply) -> float:
    return reply.expires_in if reply.expires_in is not None else DEFAULT_LIFETIME


def _may_ask(ledger: Ledger, document: TokenDocument, *, force: bool) -> None:
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
    if rotation_of(state, document) == "no" or _within_grace(ledger, journal):
        return
    if journal.outcome == "server_error":
        # The provider answered with a fault: most likely nothing happened, and asking again heals it. If it did
        # carry the exchange out, asking again may end the whole grant, so as long as the old access token lives
        # there is nothing to win.
        left = ledger.timing().left
        if left <= 0 or force:
            return
        raise ProviderUnavailable(
            f"the provider failed during the last exchange for {path}; the next one waits for the old token's end",
            reason="OutcomeUncertain",
            remedy="nothing has to be done; declare a reuse grace (token_volume_reuse_grace) if the provider has one",
            retry_after=left,
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


def _begin(ledger: Ledger, document: TokenDocument) -> str:
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
        document=identity.document,
        refresh_token=identity.refresh_token,
        generation=generation,
        replayed=before is not None and before.refresh_token == identity.refresh_token,
    )
    state.set_condition("Refreshing", "True", "ExchangeStarted", f"exchange {identifier}", now)
    try:
        ledger.save()
    except StorageError as error:
        # If only the flush failed it stands there, and the next writer would take it for sent: it is taken back.
        state.journal = before
        state.set_condition("Refreshing", "False", error.reason, error.message, now)
        for take_back in (ledger.save, lambda: ledger.volume.remove(ledger.directory, name)):
            with contextlib.suppress(StorageError):
                take_back()
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
