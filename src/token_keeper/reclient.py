"""Another secret of the document's client: proved by one exchange, which is journalled like any other."""

from __future__ import annotations

import contextlib
import time

from token_keeper.document import TokenDocument
from token_keeper.errors import (
    ClientRejected,
    Conflict,
    PolicyDenied,
    ProviderUnavailable,
    ReauthRequired,
    StorageError,
)
from token_keeper.fingerprint import fingerprint
from token_keeper.ledger import Ledger
from token_keeper.reading import missing
from token_keeper.refresh import ClientChange, exchange, may_ask
from token_keeper.rotation_record import RotationRecord
from token_keeper.staging import EarlierClient


def change_client(
    ledger: Ledger, secret: str | None, client_id: str | None, *, by: str, force: bool, dry_run: bool, deadline: float
) -> str:
    """Give the document another secret of its client; see :meth:`token_keeper.rotation.Rotator.reclient`.

    The secret that is replaced is kept until the rotation is retired: the only way back to it is another exchange.

    Returns:
        ``ClientChanged``, ``ClientRolledBack`` or ``Unchanged``.
    """
    document = ledger.document
    if document is None:
        raise ledger.problem or missing(ledger.volume, ledger.state)
    volume, state = ledger.volume, ledger.state
    back = secret is None
    if secret is None:
        kept = EarlierClient.read(volume)
        if kept is None:
            record = state.rotation_record
            if record is not None and record.mode == "client" and record.phase == "rolled_back":
                return "Unchanged"
            raise Conflict(
                f"no earlier secret of the client is kept beside {volume.path}",
                reason="NoEarlierClient",
                remedy="give the secret on stdin: it works if the provider still accepts it",
            )
        secret, client_id = kept.client_secret, kept.client_id
    if client_id is not None and client_id != document.client_id:
        raise Conflict(
            f"{volume.path} is of the client {fingerprint(document.client_id)}, not {fingerprint(client_id)}: "
            "a refresh token is bound to its client",
            reason="OtherClient",
            remedy="consent anew with the other client, and stage what that brings",
        )
    if secret == document.client_secret:
        if back:
            volume.remove(ledger.directory, volume.client_name)
        return "Unchanged"
    reason = "ClientRolledBack" if back else "ClientChanged"
    # a back-off that the old secret has earned says nothing of the new one
    refreshing = state.conditions.get("Refreshing")
    insists = force or (refreshing is not None and refreshing.reason == "InvalidClient")
    if dry_run:
        may_ask(ledger, document, force=insists)
        return reason
    kept = EarlierClient.read(volume)
    if not back:
        EarlierClient(document.client_id, document.client_secret).write(volume, ledger.directory)
    change = ClientChange(secret, _record(ledger, document, secret, by))
    try:
        exchange(ledger, force=insists, deadline=deadline, change=change)
    except (ClientRejected, PolicyDenied, ReauthRequired, ProviderUnavailable):
        if not back and ledger.document == document and state.rotation_begun is None:
            _keep_again(ledger, kept)  # nothing came of it: the way back of the change before is still the one
        raise
    if back:
        volume.remove(ledger.directory, volume.client_name)
    return reason


def _keep_again(ledger: Ledger, kept: EarlierClient | None) -> None:
    with contextlib.suppress(StorageError):  # why the provider refused is the one to tell
        if kept is None:
            ledger.volume.remove(ledger.directory, ledger.volume.client_name)
        else:
            kept.write(ledger.volume, ledger.directory)


def _record(ledger: Ledger, document: TokenDocument, secret: str, by: str) -> RotationRecord:
    return RotationRecord(
        id="",  # the exchange's own
        mode="client",
        phase="staged",
        started=time.time(),
        by=by,
        grant_before=ledger.state.grant,
        grant_after=ledger.state.grant or "unnamed",
        refresh_token_before=fingerprint(document.refresh_token),
        client_before=document.client_fingerprint,
        client_after=document.with_secret(secret).client_fingerprint,
    )
