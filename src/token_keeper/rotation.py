"""Replacing a grant or a client in steps, each of which may be cut short: stage, check, promote, retire, or forget.

See docs/decisions/0007-staged-document.md for what stands where in between.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from typing import Any, NamedTuple

from token_keeper import report
from token_keeper.address import where
from token_keeper.document import TokenDocument
from token_keeper.errors import Conflict, PolicyDenied, ReauthRequired, TokenCorrupt
from token_keeper.exchange import present_token, revoke_token
from token_keeper.fingerprint import fingerprint
from token_keeper.history import Entry
from token_keeper.ledger import Ledger
from token_keeper.reclient import change_client
from token_keeper.rotation_record import GONE_LIVE, Mode, RotationRecord
from token_keeper.rotation_rules import (
    Semantics,
    judge_promotion,
    judge_retirement,
    judge_revocation,
    judge_stage,
)
from token_keeper.staging import Staged, promoted, settle
from token_keeper.writer import Writer, with_life_left


class RotationOutcome(NamedTuple):
    """What a step came to.

    Attributes:
        changed: whether this call has changed anything.
        reason: a CamelCase word: what it did, or why there was nothing to do.
        generation: the generation that is current now.
        before: facts of the current document before, ``None`` if there was none.
        after: facts of the document that the step is about, ``None`` where it is about none.
        staged: what is staged now, in fingerprints.
        rotation_record: the rotation as it stands now.
    """

    changed: bool
    reason: str
    generation: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    staged: dict[str, Any] | None
    rotation_record: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        return self._asdict()


class Rotator:
    """The steps of a rotation; :attr:`token_keeper.TokenStore.rotation`.

    Every step takes the lock, finishes what one before it had begun, and may be called again.

    Args:
        writer: holds lock and files of the document.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def stage(
        self,
        document: TokenDocument,
        mode: Mode = "reconsent",
        *,
        expires_in: float | None = None,
        force: bool = False,
        dry_run: bool = False,
    ) -> RotationOutcome:
        """Keep a document that is to replace the current one, durably, beside it.

        Args:
            document: what a new consent has brought.
            mode: ``reconsent``, or ``client`` where the consent was given to another client.
            expires_in: seconds of life of its access token, where another machine's clock wrote its expiry.
            force: put it in the place of another one that is staged, or stage it anew against what is current now.
            dry_run: say what would happen and change nothing.

        Raises:
            Conflict: another document is staged, its refresh token was superseded, or it is of the current grant.
            StorageError, LockTimeout: nothing was changed.
        """
        document = with_life_left(document, expires_in)
        with self._writer.held(dry_run=dry_run) as ledger:
            staged = _staged(ledger, patient=force)
            current = ledger.document
            if current is not None and current.grant_fingerprint == document.grant_fingerprint:
                return _outcome(ledger, False, "Current", staged, document)
            judge_stage(ledger, document)
            if staged is not None and not force:
                if staged.document.grant_fingerprint == document.grant_fingerprint and staged.record.mode == mode:
                    return _outcome(ledger, False, "Unchanged", staged, staged.document)
                raise Conflict(
                    f"a document that was staged by {staged.record.by} waits in {ledger.volume.directory}",
                    reason="AnotherStaged",
                    remedy="promote it, forget it with `token-keeper unstage`, or replace it with --force",
                )
            record = RotationRecord(
                id=secrets.token_hex(8),
                mode=mode,
                phase="staged",
                started=time.time(),
                by=self._writer.service,
                grant_before=ledger.state.grant,
                grant_after=secrets.token_hex(8),
                client_after=document.client_fingerprint,
            )
            made = Staged(record, document, ledger.state.generation, ledger.state.tombstone)
            if staged is not None:
                _forget_cut_short(ledger, staged)
            made.write(ledger.volume, ledger.directory)
            _note(ledger, "Staged", record, refresh_token=fingerprint(document.refresh_token))
            return _outcome(ledger, True, "Staged" if staged is None else "Restaged", made, document)

    def check(self, url: str, *, as_form: bool = False) -> RotationOutcome:
        """Show the staged access token to a server that has to know it; the lock is not held meanwhile.

        Args:
            url: what only a good token can GET, such as the calendar API or the provider's userinfo.
            as_form: POST it as the form field ``access_token`` instead, as Google's tokeninfo takes it.

        Raises:
            ReauthRequired, PolicyDenied: it was refused, which is noted beside the document.
            ProviderUnavailable: nothing was found out; an earlier result stays.
            Conflict: nothing is staged, nor live and still to be watched; its access token is over; or another one was
                staged meanwhile.
        """
        with self._writer.held() as ledger:
            found = _staged(ledger)
            record = ledger.state.rotation_record
            if found is None and record is not None and record.phase == "promoted" and _is_current(ledger, record):
                # by a promotion that was cut short: what was to be checked is live, and is watched from here on
                return _outcome(ledger, False, "AlreadyPromoted", None, ledger.document)
            staged = _required(ledger, found)
        token = staged.document.token
        if token is None or staged.document.expires_in(time.time()) <= 0:
            raise Conflict(
                f"the access token of the document that is staged in {self._writer.volume.directory} is over",
                reason="StagedExpired",
                remedy="consent anew and stage that; `token-keeper promote --unchecked` goes on without a check",
            )
        refusal: ReauthRequired | PolicyDenied | None = None
        try:
            present_token(url, token, as_form=as_form, deadline=self._writer.exchange_deadline)
        except (ReauthRequired, PolicyDenied) as refused:
            refusal = refused
        with self._writer.held() as ledger:
            now = _staged(ledger)
            if now is None or now.record.id != staged.record.id:
                raise Conflict(
                    f"what was staged in {ledger.volume.directory} is not staged any more",
                    reason="StagedChanged",
                    remedy="look with `token-keeper status`, then check again",
                )
            good = refusal is None
            result = dataclasses.replace(
                now,
                record=now.record.at("checked" if good else "staged"),
                checked_at=time.time() if good else None,
                refusal=refusal.message if refusal is not None else None,
            )
            result.write(ledger.volume, ledger.directory)
            _note(ledger, "StagedChecked" if good else "StagedRefused", result.record, url=where(url))
            if refusal is not None:
                raise refusal
            return _outcome(ledger, True, "Checked", result, result.document)

    def promote(self, *, force: bool = False, unchecked: bool = False, dry_run: bool = False) -> RotationOutcome:
        """Make the staged document the document; the grant before it stays in the history as the way back.

        Args:
            force: although another grant is current by now than when it was staged.
            unchecked: although no server was shown its access token.
            dry_run: say what would happen and change nothing.

        Raises:
            Conflict: nothing is staged, or it must not go live; nothing was changed.
            StorageError, LockTimeout: call it again: it finishes what was begun.
        """
        with self._writer.held(dry_run=dry_run) as ledger:
            staged = _staged(ledger)
            state = ledger.state
            if staged is None:
                record = state.rotation_record
                if record is not None and record.phase in GONE_LIVE and _is_current(ledger, record):
                    return _outcome(ledger, False, "AlreadyPromoted", None, ledger.document)
                raise _nothing_staged(ledger)
            judge_promotion(ledger, staged, force=force, unchecked=unchecked)
            before = report.describe(ledger.document) if ledger.document is not None else None
            if dry_run:
                return _outcome(ledger, True, "Promoted", staged, staged.document, before=before)
            # in the state before the document is there: one write makes both known
            state.rotation_record = promoted(staged, ledger)
            ledger.accept(staged.document, event="Promoted", new_grant=True, named=staged.record.grant_after)
            ledger.volume.remove(ledger.directory, ledger.volume.staged_name)
            return _outcome(ledger, True, "Promoted", None, staged.document, before=before)

    def unstage(
        self, *, revocation_uri: str | None = None, semantics: Semantics = "grant", dry_run: bool = False
    ) -> RotationOutcome:
        """Forget what is staged.

        Args:
            revocation_uri: also end its grant at the provider (RFC 7009).
            semantics: what that would end there.
            dry_run: say what would happen and change nothing, here or there.

        Raises:
            Conflict: the revocation would take the current grant along; nothing was changed.
            ProviderUnavailable: the provider did not confirm it; the document is staged still.
        """
        with self._writer.held(dry_run=dry_run) as ledger:
            broken = False
            try:
                staged = settle(ledger)
            except TokenCorrupt:
                staged, broken = None, True
            if staged is None and not broken:
                return _outcome(ledger, False, "NothingStaged", None, None)
            if staged is not None and revocation_uri is not None:
                judge_revocation(ledger, staged.document, semantics)
                if not dry_run:
                    self._revoke(revocation_uri, staged.document)
            if staged is not None and not dry_run:
                _forget_cut_short(ledger, staged)
            ledger.volume.remove(ledger.directory, ledger.volume.staged_name)
            if staged is not None:
                _note(ledger, "Unstaged", staged.record, revoked=revocation_uri is not None)
            return _outcome(ledger, True, "Unstaged", None, staged.document if staged is not None else None)

    def converged(self) -> RotationOutcome:
        """Note that every consumer uses what was promoted.

        Raises:
            Conflict: nothing was promoted, or it is not current any more.
        """
        with self._writer.held() as ledger:
            record = _live_record(ledger)
            if record.phase != "promoted":
                return _outcome(ledger, False, "AlreadyConverged", None, ledger.document)
            ledger.state.rotation_record = record.at("converged")
            ledger.save()
            _note(ledger, "Converged", record)
            return _outcome(ledger, True, "Converged", None, ledger.document)

    def retire(
        self,
        *,
        revocation_uri: str | None = None,
        semantics: Semantics = "grant",
        force: bool = False,
        dry_run: bool = False,
    ) -> RotationOutcome:
        """End the grant that was there before the promotion, or forget the client's earlier secret.

        Args:
            revocation_uri: also end it at the provider (RFC 7009); without it, it is only forgotten here.
            semantics: what that would end there.
            force: although consumers were not seen to converge, or a program has written it back since, or may have.
            dry_run: say what would happen and change nothing, here or there.

        Raises:
            Conflict: it would take the current grant along, or somebody may still use it; nothing was changed.
            ProviderUnavailable: the provider did not confirm it, and the way back is still there.
        """
        with self._writer.held(dry_run=dry_run) as ledger:
            staged = _staged(ledger)
            record = _live_record(ledger)
            if record.phase == "retired":
                return _outcome(ledger, False, "AlreadyRetired", staged, None)
            if record.phase != "converged" and not force:
                raise Conflict(
                    f"nobody has seen every consumer of {ledger.volume.path} use the new {record.mode}",
                    reason="NotConverged",
                    remedy="watch them, then say `token-keeper converged`; or use --force",
                )
            earlier = _earlier(ledger, record)
            judge_retirement(ledger, record, earlier, revokes=revocation_uri is not None, force=force)
            if earlier is not None and revocation_uri is not None:
                judge_revocation(ledger, earlier.document, semantics)
            if not dry_run:
                if earlier is not None:
                    if revocation_uri is not None:
                        self._revoke(revocation_uri, earlier.document)
                    ledger.state.supersede(fingerprint(earlier.document.refresh_token))
                    ledger.history.forget(ledger.directory, earlier.grant)
                ledger.volume.remove(ledger.directory, ledger.volume.client_name)
                ledger.state.rotation_record = record.at("retired")
                ledger.save()
                _note(ledger, "Retired", record, revoked=earlier is not None and revocation_uri is not None)
            return _outcome(ledger, True, "Retired", staged, earlier.document if earlier is not None else None)

    def reclient(
        self, secret: str | None, client_id: str | None = None, *, force: bool = False, dry_run: bool = False
    ) -> RotationOutcome:
        """Give the document another secret of its client, which one exchange proves good.

        Args:
            secret: the new secret; ``None`` goes back to the one before.
            client_id: the client that it belongs to, where the caller knows: a refresh token is bound to its client.
            force: do not wait for a back-off.
            dry_run: say whether the provider would be asked, and do not ask it.

        Raises:
            ClientRejected: the provider does not accept the secret. The document stays as it was, nothing is spent.
            Conflict: it is another client's, or no earlier secret is kept.
            ReauthRequired, PolicyDenied, ProviderUnavailable: as with a refresh.
        """
        with self._writer.held(dry_run=dry_run) as ledger:
            before = report.describe(ledger.document) if ledger.document is not None else None
            reason = change_client(
                ledger,
                secret,
                client_id,
                by=self._writer.service,
                force=force,
                dry_run=dry_run,
                deadline=self._writer.exchange_deadline,
            )
            changed = reason != "Unchanged"
            return _outcome(ledger, changed, reason, Staged.peek(ledger.volume), ledger.document, before=before)

    def _revoke(self, revocation_uri: str, document: TokenDocument) -> None:
        revoke_token(
            revocation_uri,
            document.refresh_token,
            client_id=document.client_id,
            client_secret=document.client_secret,
            deadline=self._writer.exchange_deadline,
        )


def _staged(ledger: Ledger, *, patient: bool = False) -> Staged | None:
    try:
        return settle(ledger)
    except TokenCorrupt:
        if not patient:
            raise
        return None


def _required(ledger: Ledger, staged: Staged | None) -> Staged:
    if staged is None:
        raise _nothing_staged(ledger)
    return staged


def _nothing_staged(ledger: Ledger) -> Conflict:
    return Conflict(
        f"nothing is staged in {ledger.volume.directory}",
        reason="NothingStaged",
        remedy="stage a document first: `token-keeper stage` takes it on stdin",
    )


def _live_record(ledger: Ledger) -> RotationRecord:
    record = ledger.state.rotation_record
    if record is None or record.phase not in GONE_LIVE:
        raise Conflict(
            f"no rotation of {ledger.volume.path} has gone live, or it was rolled back",
            reason="NothingPromoted",
            remedy="look with `token-keeper status`",
        )
    if not _is_current(ledger, record):
        raise Conflict(
            f"the grant that was promoted in {ledger.volume.path} is not the current one any more",
            reason="GrantChanged",
            remedy="look with `token-keeper status`: somebody has pushed or rolled back since",
        )
    return record


def _is_current(ledger: Ledger, record: RotationRecord) -> bool:
    return record.grant_after == ledger.state.grant


def _earlier(ledger: Ledger, record: RotationRecord) -> Entry | None:
    if record.grant_before in {None, ledger.state.grant}:
        return None
    return next((entry for entry in ledger.history.entries() if entry.grant == record.grant_before), None)


def _forget_cut_short(ledger: Ledger, staged: Staged) -> None:
    """Take out of the history what a promotion that was cut short before its swap has left there."""
    if staged.record.grant_after != ledger.state.grant:
        ledger.history.forget(ledger.directory, staged.record.grant_after)


def _note(ledger: Ledger, event: str, record: RotationRecord, **facts: Any) -> None:
    ledger.events.record(
        ledger.directory, event, generation=ledger.state.generation, rotation=record.id, mode=record.mode, **facts
    )


def _outcome(
    ledger: Ledger,
    changed: bool,
    reason: str,
    staged: Staged | None,
    document: TokenDocument | None,
    *,
    before: dict[str, Any] | None = None,
) -> RotationOutcome:
    state = ledger.state
    record = staged.record if staged is not None else state.rotation_record
    current = report.describe(ledger.document) if ledger.document is not None else None
    return RotationOutcome(
        changed=changed,
        reason=reason,
        generation=state.generation,
        before=before or current,
        after=report.describe(document) if document is not None else None,
        staged=staged.describe() if staged is not None else None,
        rotation_record=report.describe_rotation(record) if record is not None else None,
    )
