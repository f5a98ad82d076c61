"""Whether and how a backup goes back into a volume: never behind what has come since, never over another's token."""

from __future__ import annotations

from token_keeper import report
from token_keeper.backup import Backup
from token_keeper.document import TokenDocument
from token_keeper.errors import Conflict
from token_keeper.fingerprint import fingerprint
from token_keeper.ledger import Ledger
from token_keeper.replacement import Verdict, is_same, same_owner
from token_keeper.report import ReplaceOutcome
from token_keeper.state import REVOKED, Identity

_SURE = "consent anew (site.yml), or force it if the provider surely still accepts that token"


def restore(ledger: Ledger, backup: Backup, *, force: bool, dry_run: bool) -> ReplaceOutcome:
    """Put a backup's document into the volume, with its lineage; called under the lock.

    Its generation ranks above that of the backup and above all that the volume has seen. Of what was declared of the
    provider, the volume's own word counts, where it has one.

    Raises:
        Conflict: see :func:`judge`.
    """
    document, state = backup.document, ledger.state
    before = report.describe(ledger.document) if ledger.document else None
    verdict = judge(ledger, backup, force=force)
    if verdict in {"Unchanged", "NewerThere"}:
        return ReplaceOutcome(False, verdict, state.generation, before, before or report.describe(document))
    same_token = ledger.document is not None and ledger.document.refresh_token == document.refresh_token
    known = _known_by(ledger, backup)
    new_grant = not (same_token or (known and backup.grant == state.grant))
    _take_lineage(ledger, backup)
    if dry_run:
        return ReplaceOutcome(True, verdict, ledger.next_generation(), before, report.describe(document))
    ledger.accept(
        document,
        event="Restored",
        new_grant=new_grant,
        grant=backup.grant if known else None,
        # a name that the volume has given to another document stays that one's: what is replaced can be gone back to
        named=None if _is_taken(ledger, backup) else backup.grant,
        granted_at=backup.granted_at,
        grant_expiry=backup.grant_expiry,
    )
    return ReplaceOutcome(True, verdict, state.generation, before, report.describe(document))


def judge(ledger: Ledger, backup: Backup, *, force: bool) -> Verdict:
    """Decide what a restore does.

    A newer access token of the same grant stays, whether or not it is forced: the older one could do nothing better.

    Raises:
        Conflict: the refresh token was rotated away or revoked since (``RotatedAway``, ``Revoked``), the volume holds
            the token of another account or client (``DifferentAccount``, ``DifferentClient``), or another grant of the
            same (``DifferentGrant``); ``force`` overrules all of them.
    """
    document, state, current = backup.document, ledger.state, ledger.document
    theirs = Identity.of(document)
    if current is not None:
        if is_same(current, document, exactly=False):
            return "Unchanged"
        if current.grant_fingerprint == theirs.grant:
            return "Replaced" if (theirs.expiry or 0.0) > (Identity.of(current).expiry or 0.0) else "NewerThere"
    if force:
        return "Created" if current is None else "Replaced"
    path, generation = ledger.volume.path, state.generation
    if theirs.refresh_token in state.superseded:
        raise _gone(ledger, backup)
    ours = state.identity
    is_successor = ours is not None and ours.refresh_token in backup.superseded
    same_grant = backup.grant is not None and backup.grant == state.grant
    if same_grant and ours is not None and not is_successor and ours.refresh_token != theirs.refresh_token:
        # whatever has fallen out of the list of superseded ones: the grant has gone on
        raise _gone(ledger, backup)
    if current is None:
        return "Created"
    same_owner(current, document, path)
    if is_successor or state.dead_grant == current.grant_fingerprint:
        return "Replaced"
    raise Conflict(
        f"{path} holds a sound document of another grant (generation {generation}) than the backup",
        reason="DifferentGrant",
        remedy="leave it, or force the restore if the backup's grant is the one that you want; "
        "the other one stays in the history",
    )


def _gone(ledger: Ledger, backup: Backup) -> Conflict:
    token, state = fingerprint(backup.document.refresh_token), ledger.state
    if state.tombstone == REVOKED and state.identity is not None and state.identity.refresh_token == token:
        return Conflict(
            f"the grant of this backup was revoked on purpose in {ledger.volume.path}",
            reason="Revoked",
            remedy=_SURE,
        )
    return Conflict(
        f"the backup of generation {backup.generation} holds the refresh token {token}, which was rotated away or "
        f"replaced since: {ledger.volume.path} is at generation {state.generation}",
        reason="RotatedAway",
        remedy=f"restore a newer backup, or leave the document that is there; else {_SURE}",
    )


def _known_by(ledger: Ledger, backup: Backup) -> bool:
    """Tell whether the volume's history has the very grant, by its name, with this refresh token or an earlier one.

    An earlier one is spent: it has to give its place up, or a rollback would try it.
    """
    tokens = {*backup.superseded, fingerprint(backup.document.refresh_token)}
    return any(
        entry.grant == backup.grant and fingerprint(entry.document.refresh_token) in tokens
        for entry in ledger.history.entries()
    )


def _is_taken(ledger: Ledger, backup: Backup) -> bool:
    return backup.grant == ledger.state.grant or any(entry.grant == backup.grant for entry in ledger.history.entries())


def _take_lineage(ledger: Ledger, backup: Backup) -> None:
    """Let the state rank above the backup, and know what the backup knows; it is written with the document."""
    state = ledger.state
    state.generation = max(state.generation, backup.generation)
    keep = {fingerprint(backup.document.refresh_token), *_refresh_token(ledger.document), *state.superseded}
    ours, state.superseded = state.superseded, [token for token in backup.superseded if token not in keep]
    for token in ours:
        state.supersede(token)
    if state.rotation == "unknown":
        state.declare(backup.rotation, backup.reuse_grace, None)
    if state.publishing == "unknown":
        state.declare(None, None, backup.publishing)


def _refresh_token(document: TokenDocument | None) -> set[str]:
    return {fingerprint(document.refresh_token)} if document is not None else set()
