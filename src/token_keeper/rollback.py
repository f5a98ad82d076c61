"""The way back: to an earlier grant that is still alive, never to a refresh token that was spent."""

from __future__ import annotations

import contextlib

from token_keeper.document import TokenDocument
from token_keeper.errors import Conflict, ReauthRequired, StorageError, TokenKeeperError
from token_keeper.fingerprint import fingerprint
from token_keeper.ledger import Ledger
from token_keeper.provider import rotation_of
from token_keeper.refresh import exchange
from token_keeper.staging import Staged
from token_keeper.state import Journal


def roll_back(ledger: Ledger, *, deadline: float, grant: str | None = None) -> TokenDocument:
    """Put the newest earlier grant in the document's place that the provider still accepts.

    Whether a grant lives is known when it has been used, so each one is renewed by one exchange, and what the provider
    answers becomes the document. Until then everything stays as it is; grants that turn out to be dead are forgotten.

    Args:
        ledger: holds the lock.
        deadline: seconds for each exchange.
        grant: name of the one to go back to; ``None`` tries them all.

    Raises:
        Conflict: there is no earlier grant in the history, or none whose refresh token is surely unspent.
        ReauthRequired: there were some, and all of them are dead.
        ProviderUnavailable: one could not be tried; nothing has changed.
    """
    state, document = ledger.state, ledger.document
    current = fingerprint(document.refresh_token) if document is not None else None
    staged = Staged.peek(ledger.volume)
    waiting = staged.record.grant_after if staged is not None else None
    entries = [
        entry
        for entry in ledger.history.entries()
        # The history has the last refresh token of each grant: what was spent inside a grant is not among them.
        if (document is None or entry.grant != state.grant)
        and (grant is None or entry.grant == grant)
        # a promotion that was cut short has left it here: it was never the document
        and entry.grant != waiting
        and fingerprint(entry.document.refresh_token) != current
        and not (entry.maybe_spent and rotation_of(state, entry.document) != "no")
    ]
    if not entries:
        which = f"earlier grant {grant}" if grant else "earlier grant"
        raise Conflict(
            f"{ledger.volume.path} has no {which} in its history that is safe to try",
            reason="NoEarlierGrant",
            remedy="consent anew: run site.yml, or rotate_token.yml with mode=reconsent",
        )
    journal = state.journal
    for entry in entries:
        try:
            return exchange(ledger, deadline=deadline, earlier=entry)
        except ReauthRequired:
            _go_on_with(ledger, journal)
        except TokenKeeperError:
            _go_on_with(ledger, journal)
            raise
    raise ReauthRequired(
        f"none of the {len(entries)} earlier grants of {ledger.volume.path} is alive any more",
        reason="EarlierGrantsDead",
        remedy="the document stays as it was; consent anew: run site.yml",
    )


def _go_on_with(ledger: Ledger, journal: Journal | None) -> None:
    """Remember what was open before: the current refresh token may be spent, whatever became of the earlier one."""
    if journal is not None and ledger.unsaved is None:
        ledger.state.journal = journal
        with contextlib.suppress(StorageError):  # the reason why there is no way back is the one to tell
            ledger.save()
