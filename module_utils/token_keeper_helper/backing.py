"""Backups of a token on the controller, the way back, and a document from the controller in a token's place.

This runs on the controller, and needs the ``token_keeper`` package there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from token_keeper import report
from token_keeper.backup import Backup
from token_keeper.document import TokenDocument
from token_keeper.errors import TokenKeeperError

from . import backup_files
from .backup_files import BackupFiles
from .engine_errors import no_volume
from .failure import ModuleFailure
from .helper import Helper
from .outcome import Outcome
from .vault_passwords import VaultPasswords
from .volume import prepare

_RECONSENT = "ansible-playbook site.yml -e oauth_token_reconsent=true"
_WAYS_OUT = {
    "RotatedAway": "restore a newer backup, or leave the document that is there; or have somebody consent anew: "
    f"{_RECONSENT}. Where the provider surely still accepts that token, -e force=true restores it all the same",
    "Revoked": f"have somebody consent anew: {_RECONSENT}. -e force=true restores it all the same",
    "Superseded": "give a newer document, or leave the one that is there. Where the provider surely still accepts that "
    "token, -e force=true takes it all the same",
    "DifferentGrant": "leave the document that is there; -e force=true restores this one all the same, and the other "
    "grant stays in the history (token-keeper rollback)",
    "DifferentAccount": "name the right file; if the account is meant to change, -e force=true takes it all the same",
    "DifferentClient": "name the right file; if the client is meant to change, -e force=true takes it all the same",
}


@dataclasses.dataclass(frozen=True)
class Kept:
    """A backup that is on the controller: its file, and what is in it."""

    path: Path
    backup: Backup


def taken(
    helper: Helper, files: BackupFiles, passwords: VaultPasswords, *, keep: int, always: bool, check_mode: bool
) -> dict[str, Any]:
    """Take a backup, unless the newest one has the very document; then let those go that are too many.

    Args:
        helper: reaches the volume.
        files: where backups of this document are.
        passwords: what they are encrypted with, and opened.
        keep: how many stay; only those count that can be opened.
        always: take one although nothing has changed.
        check_mode: change nothing.

    Raises:
        ModuleFailure: there is nothing to back up, or the backup could not be read back. Older ones are all there then.
    """
    label, password = passwords.to_encrypt_with()
    if helper.engine.volume(helper.volume) is None:
        raise no_volume(helper.volume)
    there, warnings = _kept(files, passwords)
    newest = there[0] if there and files.all()[0] == there[0].path else None
    options = [f"--host={files.host}", f"--volume={helper.volume}"]
    if label != "default":
        options.append(f"--vault-id={label}")
    if newest is not None and not always:
        options.append(f"--known={newest.backup.document.fingerprint}")
    reply = helper.run(
        "backup", *options, *(["--dry-run"] if check_mode else []), stdin=None if check_mode else password
    )
    path = newest.path if newest is not None else None
    made = reply["changed"] and not check_mode
    if made:
        path = files.write(reply["vault"], datetime.now(UTC), _same_as(reply["document"], passwords))
    # in check mode the one that would be made counts as well
    surplus = there[max(keep - (1 if reply["changed"] else 0), 0) :]
    if not check_mode:
        files.remove([each.path for each in surplus])
    before = report.describe(newest.backup.document) if newest is not None else None
    outcome = Outcome(
        changed=bool(reply["changed"] or surplus),
        reason=reply["reason"],
        header=f"newest backup of {helper.file} in volume {helper.volume} of {files.host}",
        before=before,
        after=reply["document"],
        generation=reply["generation"],
        more={
            "path": str(path) if path is not None else None,
            "removed": [each.path.name for each in surplus],
            "kept": len(there) - len(surplus) + (1 if reply["changed"] else 0),
            "warnings": [*warnings, *files.warnings()],
        },
    )
    return outcome.as_result()


def restored(helper: Helper, mode: str, kept: Kept, *, host: str, force: bool, check_mode: bool) -> dict[str, Any]:
    """Put a backup's document into an initialised volume.

    Args:
        helper: reaches the volume.
        mode: the volume's mode.
        kept: the backup.
        host: the host, as the inventory names it.
        force: overrule what a Conflict says.
        check_mode: change nothing.

    Raises:
        ModuleFailure: ``Conflict`` with the way out, or as :func:`~.volume.prepare`.
    """
    plain = kept.backup.to_json().encode()
    outcome = _put(helper, mode, ["restore"], plain, kept.backup.document, force=force, check_mode=check_mode)
    backup = kept.backup
    foreign = (backup.host, backup.volume) not in {(host, helper.volume), ("", "")}
    warnings = []
    if outcome.changed and foreign and backup.rotation == "yes":
        warnings = [
            f"the provider gives a new refresh token at each exchange, and this backup is of volume {backup.volume} on "
            f"{backup.host}: where that one is still in use, one of the two ends the grant of both"
        ]
    more = {"backup": {"path": str(kept.path), **backup.facts()}, "warnings": warnings}
    return dataclasses.replace(outcome, more=more).as_result()


def replaced(helper: Helper, mode: str, text: bytes, where: str, *, force: bool, check_mode: bool) -> dict[str, Any]:
    """Put a document from the controller into an initialised volume, in the place of one of the same account.

    Args:
        helper: reaches the volume.
        mode: the volume's mode.
        text: the document's JSON.
        where: where it is from, for messages.
        force: overrule what a Conflict says.
        check_mode: change nothing.

    Raises:
        ModuleFailure: it is no token document, ``Conflict`` with the way out, or as :func:`~.volume.prepare`.
    """
    try:
        document = TokenDocument.parse(text, where)
    except TokenKeeperError as error:
        remedy = "give a document as google-auth writes it, such as `token-keeper login` makes; nothing was changed"
        raise ModuleFailure(type(error).__name__, error.reason, error.message, remedy) from None
    verb, plain = ["push", "--same-account"], document.to_json().encode()
    return _put(helper, mode, verb, plain, document, force=force, check_mode=check_mode).as_result()


def _put(
    helper: Helper,
    mode: str,
    verb: Sequence[str],
    plain: bytes,
    document: TokenDocument,
    *,
    force: bool,
    check_mode: bool,
) -> Outcome:
    volume = prepare(helper, mode, check_mode=check_mode)
    owner: dict[str, Any] = {"owner_before": volume.owner_before, "owner_after": volume.owner_after}
    header = f"{helper.file} in volume {helper.volume}"
    if volume.status is None or (check_mode and volume.changed):
        # nobody can write there before the volume is initialised, not even to try
        return Outcome(True, "Created", header, None, report.describe(document), None, **owner)
    options = [option for option, wanted in (("--force", force), ("--dry-run", check_mode)) if wanted]
    try:
        reply = helper.run(*verb, *options, stdin=plain)
    except ModuleFailure as failure:
        raise ModuleFailure(
            failure.kind, failure.reason, failure.message, _WAYS_OUT.get(failure.reason, failure.remedy)
        ) from None
    return Outcome(
        volume.changed or reply["changed"],
        reply["reason"],
        header,
        reply["before"],
        reply["after"],
        reply["generation"],
        **owner,
    )


def to_restore(files: BackupFiles, name: str, passwords: VaultPasswords) -> Kept:
    """Open the backup that is named, or the newest one of the document.

    Args:
        files: where backups of this document are.
        name: a path on the controller, or a file's name in their folder; empty for the newest.
        passwords: what opens it.

    Raises:
        ModuleFailure: there is none, or it is none that can be restored.
    """
    if not name:
        paths = files.all()
        if not paths:
            raise ModuleFailure(
                "BackupError",
                "NoBackup",
                f"there is no backup of {files.file} in volume {files.volume} of {files.host} in {files.folder}",
                "name one of another host or volume with -e restore_file=..., or take one: ansible-playbook "
                "playbooks/backup_token.yml",
            )
        return _opened(paths[0], passwords)
    path = backup_files.on_controller(name)
    if not path.is_absolute() and not path.exists():
        path = files.folder / path
    return _opened(path, passwords)


def _kept(files: BackupFiles, passwords: VaultPasswords) -> tuple[list[Kept], list[str]]:
    """Return the backups that can be opened, the newest first, and what is to be said of the others."""
    there, closed = [], []
    for path in files.all():
        try:
            there.append(_opened(path, passwords))
        except ModuleFailure:
            closed.append(path.name)
    if not closed:
        return there, []
    return there, [
        f"{len(closed)} files in {files.folder} are no backups that the vault password opens, so they are neither "
        f"counted nor removed: {', '.join(closed[:3])}{', ...' if len(closed) > 3 else ''}"
    ]


def _opened(path: Path, passwords: VaultPasswords) -> Kept:
    return Kept(path, _parsed(backup_files.read(path), str(path), passwords))


def _parsed(text: bytes, where: str, passwords: VaultPasswords) -> Backup:
    try:
        return Backup.parse(passwords.opened(text, where), where)
    except TokenKeeperError as error:
        remedy = f"{error.remedy}; nothing was changed"
        raise ModuleFailure(type(error).__name__, error.reason, error.message, remedy) from None


def _same_as(document: Mapping[str, Any], passwords: VaultPasswords) -> Callable[[bytes, str], None]:
    """Return a check that a file holds the backup of a document: one that can't be opened is none."""

    def check(text: bytes, where: str) -> None:
        if _parsed(text, where, passwords).document.fingerprint != document["fingerprint"]:
            raise ModuleFailure(
                "BackupError",
                "NotReadBack",
                f"what was read back of {where} is another document than was backed up",
                "look at the disk of the controller; older backups are all there",
            )

    return check
