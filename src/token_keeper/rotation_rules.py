"""When a step of a rotation must not be taken."""

from __future__ import annotations

from typing import Any, Final, Literal

from token_keeper.document import TokenDocument
from token_keeper.errors import Conflict
from token_keeper.fingerprint import fingerprint
from token_keeper.history import Entry
from token_keeper.ledger import Ledger
from token_keeper.rotation_record import RotationRecord
from token_keeper.staging import Staged

Semantics = Literal["token", "grant"]
"""What a revocation at the provider ends: the grant of that token, or all that the account has allowed the client."""

_EVENTS_ASKED: Final = 500
_FOREIGN: Final = ("Adopted", "Salvaged")
"""Events of a document that a program without the lock has written."""


def judge_stage(ledger: Ledger, document: TokenDocument) -> None:
    """Raise Conflict where a document can not replace the current one later."""
    current, theirs = ledger.document, fingerprint(document.refresh_token)
    if current is not None and current.refresh_token == document.refresh_token:
        raise Conflict(
            f"the document on stdin is of the grant that is current in {ledger.volume.path}, with another client",
            reason="SameGrant",
            remedy="give the document its client's new secret with `token-keeper reclient`",
        )
    if theirs in ledger.state.superseded:
        raise Conflict(
            f"the refresh token {theirs} was superseded or revoked in {ledger.volume.path}",
            reason="Superseded",
            remedy="consent anew and stage that",
        )


def judge_promotion(ledger: Ledger, staged: Staged, *, force: bool, unchecked: bool) -> None:
    """Raise Conflict where a staged document must not go live."""
    state, path = ledger.state, ledger.volume.path
    if fingerprint(staged.document.refresh_token) in state.superseded:
        raise Conflict(
            f"the refresh token of the document that is staged for {path} was superseded or revoked",
            reason="Superseded",
            remedy="forget it with `token-keeper unstage`, consent anew and stage that",
        )
    if (state.grant, state.tombstone) != (staged.record.grant_before, staged.tombstone) and not force:
        what = f"it was {state.tombstone.lower()}" if state.tombstone else "another grant is current by now"
        raise Conflict(
            f"{path} is not what the staged document was to replace: {what}",
            reason="GrantChanged",
            remedy="look with `token-keeper status`; --force promotes it all the same, `unstage` forgets it",
        )
    if staged.checked_at is None and not unchecked:
        why = f"the last check was answered: {staged.refusal}" if staged.refusal else "nobody has checked it"
        raise Conflict(
            f"the document that is staged for {path} is not known to be good: {why}",
            reason="Unchecked",
            remedy="check it with `token-keeper check-staged --url`, or promote it with --unchecked",
        )


def judge_revocation(ledger: Ledger, document: TokenDocument, semantics: Semantics) -> None:
    """Raise Conflict where a revocation would take the current grant along."""
    if semantics != "token":
        raise Conflict(
            "a revocation at this provider ends all that the account has allowed the client, the current grant of "
            f"{ledger.volume.path} too",
            reason="RevokesWholeGrant",
            remedy="leave out --revoke: the earlier grant is then forgotten here; or say --revocation token, where the "
            "provider ends the one grant only",
        )
    current = ledger.document
    if current is not None and current.refresh_token == document.refresh_token:
        raise Conflict(
            f"its refresh token is the one that is current in {ledger.volume.path}",
            reason="CurrentGrant",
            remedy="nothing has to be revoked; `token-keeper revoke` ends the current grant",
        )


def judge_retirement(
    ledger: Ledger, record: RotationRecord, earlier: Entry | None, *, revokes: bool, force: bool
) -> None:
    """Raise Conflict where the earlier grant may still be in use."""
    current = ledger.document
    if earlier is not None and current is not None and earlier.document.refresh_token == current.refresh_token:
        raise Conflict(
            f"the earlier grant of {ledger.volume.path} has the refresh token of the current one",
            reason="CurrentGrant",
            remedy="nothing has to be retired",
        )
    writer = _written_since(ledger, record)
    if writer is not None and not force:
        raise Conflict(
            f"a program wrote what was there before the rotation back into {ledger.volume.path}, "
            f"seen at {writer['time']} by {writer['service']}",
            reason="ForeignWriter",
            remedy="find and restart the program that holds the old credentials in memory, then use --force",
        )
    writer = _brought_since(ledger, record) if revokes and earlier is not None else None
    if writer is not None and not force:
        raise Conflict(
            f"a program has brought a refresh token of its own into {ledger.volume.path}, seen at {writer['time']} by "
            f"{writer['service']}: it may be of the earlier grant, and would end with that",
            reason="ForeignWriter",
            remedy="leave out --revoke: the earlier grant is then forgotten here; or use --force, if it surely is not",
        )


def _written_since(ledger: Ledger, record: RotationRecord) -> dict[str, Any] | None:
    """Return the event that tells of a program that still holds what was replaced, ``None`` where none does."""
    for event in ledger.events.newest(_EVENTS_ASKED):
        generation = event.get("generation")
        if not isinstance(generation, int) or generation < (record.generation or 0):
            continue
        if record.mode == "client" and record.grant_before == record.grant_after:
            theirs = event.get("event") == "OldClientWritten" and event.get("client") == record.client_before
        else:
            refused = event.get("event") == "ForeignWriteRefused" and event.get("refused") is not None
            theirs = refused and event.get("refused") == record.refresh_token_before
        if theirs:
            return {"time": event.get("time"), "service": event.get("service")}
    return None


def _brought_since(ledger: Ledger, record: RotationRecord) -> dict[str, Any] | None:
    """Return the event of a refresh token that no exchange of the kit has brought, ``None`` where there is none.

    A program that renews without the lock at a provider that rotates leaves such a one, be it of either grant.
    """
    since = [
        event
        for event in ledger.events.newest(_EVENTS_ASKED)
        if isinstance(event.get("generation"), int) and event["generation"] >= (record.generation or 0)
    ]
    ours = {event.get("refresh_token") for event in since if event.get("event") not in _FOREIGN}
    for event in since:
        if event.get("event") in _FOREIGN and event.get("refresh_token") not in ours:
            return {"time": event.get("time"), "service": event.get("service")}
    return None
