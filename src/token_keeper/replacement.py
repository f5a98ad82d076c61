"""Whether a pushed document may replace the one that is there: never regress, never by accident."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final, Literal

from token_keeper.document import TokenDocument
from token_keeper.errors import Conflict
from token_keeper.fingerprint import fingerprint
from token_keeper.ledger import Ledger
from token_keeper.state import Identity

Verdict = Literal["Created", "Replaced", "Unchanged", "NewerThere"]

_CLOCK_NOISE: Final = 30.0
"""Seconds by which two tellings of one access token's end may differ: it is told in remaining seconds, some later."""


def judge(
    ledger: Ledger,
    document: TokenDocument,
    *,
    expect: int | None,
    force: bool,
    same_account: bool = False,
    adopt: bool = False,
) -> Verdict:
    """Decide what a push does; called under the lock.

    Without ``expect`` and ``force`` a push may fill a volume that has no sound document, replace a grant that the
    provider has declared dead, or bring a longer-lived access token of the same grant. Everything else could undo
    what somebody else did, so the caller has to say that it is meant. An older access token of the same grant is what
    every play pushes that ran before the last renewal: there is nothing to do for it. With ``same_account`` another
    grant may be replaced, dead or alive, if it is for the same account and client. With ``adopt`` it may be if its
    access token lives longer, too: that is what an app leaves in a file of its own that has renewed there, where a
    provider rotates refresh tokens.

    Raises:
        Conflict: it would.
    """
    theirs, ours = Identity.of(document), ledger.state.identity
    current = ledger.document
    if current is not None and ledger.state.tombstone is None and is_same(current, document, exactly=force):
        return "Unchanged"
    if force:
        return "Created" if current is None else "Replaced"
    path, generation = ledger.volume.path, ledger.state.generation
    there = generation if current is not None else 0
    if expect is not None and expect != there:
        raise Conflict(
            f"{path} is at generation {there}, not {expect}: another writer was faster",
            reason="GenerationChanged",
            remedy="look with `token-keeper status`, then push again with --expect",
        )
    if theirs.refresh_token in ledger.state.superseded:
        raise Conflict(
            f"the refresh token {theirs.refresh_token} was superseded or revoked; {path} is at generation {generation}",
            reason="Superseded",
            remedy="consent anew, or use --force if the provider surely still accepts it",
        )
    if current is None or expect is not None:
        return "Created" if current is None else "Replaced"
    mine = Identity.of(current)
    if mine.grant == theirs.grant:
        return "Replaced" if (theirs.expiry or 0.0) > (mine.expiry or 0.0) else "NewerThere"
    if same_account or (adopt and (theirs.expiry or 0.0) > (mine.expiry or 0.0)):
        same_owner(current, document, path)
        return "Replaced"
    if ours is not None and ledger.state.dead_grant == mine.grant:
        return "Replaced"
    raise Conflict(
        f"{path} holds a sound document of another grant or client (generation {generation})",
        reason="DifferentGrant",
        remedy=f"pass --expect {generation} to replace exactly that one, or --force to replace any",
    )


def same_owner(current: TokenDocument, theirs: TokenDocument, path: Path) -> None:
    """Check that a document is for the account and the client of the one that is there; an account may be unknown.

    Raises:
        Conflict: it isn't.
    """
    mine, other = current.account, theirs.account
    if mine and other and mine.casefold() != other.casefold():
        raise Conflict(
            f"{path} holds a token of the account {mine}, and the document is for {other}; nothing was changed",
            reason="DifferentAccount",
            remedy="name the right file, or use --force if the account is meant to change",
        )
    if current.client_id != theirs.client_id:
        raise Conflict(
            f"{path} holds a token of the client {fingerprint(current.client_id)}, and the document is for the client "
            f"{fingerprint(theirs.client_id)}; nothing was changed",
            reason="DifferentClient",
            remedy="name the right file, or use --force if the client is meant to change",
        )


def is_same(current: TokenDocument, theirs: TokenDocument, *, exactly: bool) -> bool:
    """Tell whether both are one document, whose expiry may be told a little differently unless ``exactly`` is set."""
    if current.fingerprint == theirs.fingerprint:
        return True
    if exactly or current.token is None or current.expiry is None or theirs.expiry is None:
        return False
    noise = abs((current.expiry - theirs.expiry).total_seconds())
    return (
        noise <= _CLOCK_NOISE and dataclasses.replace(theirs, expiry=current.expiry).fingerprint == current.fingerprint
    )
