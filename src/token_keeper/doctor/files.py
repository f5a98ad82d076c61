"""The directory, the document and the state: owner, mode, kind and content."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.doctor.owners import empty_folder, is_open_to, mend_for_folder, owner_of, remedy_for
from token_keeper.doctor.remembered import can_be_restored
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.history import History
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import State
from token_keeper.status import Status
from token_keeper.volume import Volume

_OWNER_REMEDY: Final = "run site.yml, which sets token_volume_uid and token_volume_gid"
_PUT_BACK: Final = "the last sound document is put back from the history, under the lock"
_TAKEN_OVER: Final = "a writer takes the lock and settles it: nothing is asked of the provider"
_UNDER_WAY: Final = 60.0
"""Seconds after which an exchange that is open is one whose writer died, or whose reply was lost."""


def examine_directory(directory: Path) -> Finding:
    """Judge the directory's owner and whether this process can write to it."""
    status, me = directory.stat(), os.geteuid()
    owner = owner_of(status)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        remedy = "mount the volume read-write in every container that may refresh" if read_only else _OWNER_REMEDY
        reason = "ReadOnly" if read_only else "WrongOwner"
        return Finding("Directory", "error", f"uid {me} can't write to {directory} ({owner})", remedy, reason)
    if me not in {0, status.st_uid}:
        why = f"{directory} belongs to {owner}, and this process is uid {me}"
        return Finding("Directory", "warning", why, _OWNER_REMEDY, "WrongOwner")
    return Finding("Directory", "ok", f"{directory} belongs to {owner}")


def examine_document(volume: Volume, status: Status) -> list[Finding]:
    """Judge the document, by what a look at the volume has found."""
    document, path = status.document, Path(status.path)
    if document["state"] == "unreadable":
        return [_document(document["message"], _remedy_for_unreadable(path), "WrongOwner")]
    if document["state"] == "missing":
        return [_missing(volume, status)]
    if document["state"] != "sound":
        return [_unsound(volume, status)]
    file, directory = path.stat(), path.parent.stat()
    if not is_open_to(directory.st_uid, directory.st_gid, file):
        why = f"{path} belongs to {owner_of(file)}, and uid {directory.st_uid}, the directory's owner, can't read it"
        return [_document(why, remedy_for(path, directory, file), "WrongOwner")]
    found = [*_lineage(volume, status)]
    if not status.healthy:
        why = f"the document in {status.path} is sound, but it can't be renewed"
        found.append(_document(why, "see Conditions", "NotRenewable"))
    if file.st_uid != directory.st_uid or stat.S_IMODE(file.st_mode) != 0o600:
        found.append(
            Finding(
                "Document",
                "warning",
                f"{path} belongs to {owner_of(file)}",
                "`token-keeper refresh` mends it, as the next exchange of anybody does",
                "WrongMode" if file.st_uid == directory.st_uid else "WrongOwner",
                "the document is written anew with its owner and mode, under the lock",
            )
        )
    return found or [Finding("Document", "ok", f"{status.path} is sound, generation {status.generation}")]


def _document(message: str, remedy: str, reason: str, mend: str = "") -> Finding:
    return Finding("Document", "error", message, remedy, reason, mend)


def _missing(volume: Volume, status: Status) -> Finding:
    """Tell a volume that was never used from one that a document was taken out of, on purpose or not."""
    reason = status.document["reason"]
    if reason != "NoDocument":
        why = f"{status.path} was taken away on purpose ({reason})"
        remedy = "nothing, if that was meant; ansible-playbook site.yml obtains a new one"
        return Finding("Document", "warning", why, remedy, "TakenAway")
    if not status.generation and not can_be_restored(volume):
        why = f"the volume is empty: there is no {volume.name} in {volume.directory}, and there never was"
        return _document(why, "ansible-playbook site.yml obtains a token and puts it there", "EmptyVolume")
    mend = _PUT_BACK if can_be_restored(volume) else ""
    where = status.document.get("message", f"there is no sound document in {status.path}")
    return _document(
        f"{where}, although generation {status.generation} was", "run site.yml to obtain one", "NoDocument", mend
    )


def _unsound(volume: Volume, status: Status) -> Finding:
    document, path = status.document, Path(status.path)
    where, reason = document.get("message", f"there is no sound document in {path}"), document.get("reason", "Corrupt")
    if reason == "NotAFile":
        remedy = "move it away, then run site.yml; Docker makes a directory when a bind mount's source is missing"
        return _document(where, remedy, reason, mend_for_folder(path) if empty_folder(path) else "")
    if can_be_restored(volume):
        remedy = "`token-keeper verify` puts the last sound document back; if there is none, run site.yml"
        return _document(where, remedy, reason, _PUT_BACK)
    return _document(where, "run site.yml to obtain one: the history has nothing to put back", reason)


def _lineage(volume: Volume, status: Status) -> list[Finding]:
    """Judge a document that another program wrote: whoever takes the lock next takes it over, or refuses it."""
    document, lineage = status.document, status.lineage or {}
    if document.get("refresh_token_fingerprint") in lineage.get("superseded", ()):
        spent = document["refresh_token_fingerprint"]
        return [
            _document(
                f"{status.path} holds a refresh token that was superseded ({spent}): a program with old credentials in "
                "memory has written it back, and whoever sends it may end the grant",
                "restart the program that wrote it; `token-keeper verify` puts the current document back",
                "SupersededRefreshToken",
                _PUT_BACK if can_be_restored(volume) else "",
            )
        ]
    if status.generation and not document.get("settled", True):
        why = f"{status.path} was written by another program since generation {status.generation}"
        remedy = "nothing: the next writer takes it over, or puts the better one back"
        return [Finding("Document", "info", why, remedy, "ForeignWrite", _TAKEN_OVER)]
    return []


def _remedy_for_unreadable(path: Path) -> str:
    try:
        file, directory = path.lstat(), path.parent.stat()
    except OSError:
        return _OWNER_REMEDY
    return remedy_for(path, directory, file)


def examine_state(volume: Volume, status: Status) -> list[Finding]:
    """Judge the state with its journal, and the history."""
    if status.document["state"] == "missing" and not status.generation and not can_be_restored(volume):
        return [Finding("State", "ok", "there is nothing to know of a volume that was never used")]
    found = []
    sound = status.document["state"] == "sound"
    path = volume.directory / volume.state_name
    try:
        text = volume.read(volume.state_name, limit=STATE_MAX_BYTES)
        state = State.parse(text[0]) if text is not None else None
        if state is None:
            missing = "is missing" if text is None else "can't be trusted"
            why = f"{volume.state_name} {missing}: the document's lineage is unknown"
            reason, remedy = (
                "StateMissing" if text is None else "StateCorrupt",
                "nothing: the next writer seeds it anew",
            )
            mend = "the state is seeded anew, above all generations that are remembered" if sound else ""
            found.append(Finding("State", "warning", why, remedy, reason, mend))
        else:
            found.append(_journal(state))
    except TokenCorrupt as error:
        mend = mend_for_folder(path) if empty_folder(path) else ""
        found.append(Finding("State", "error", error.message, error.remedy, error.reason, mend, str(path)))
    except StorageError as error:
        found.append(Finding("State", "error", error.message, _remedy_for_unreadable(path), error.reason))
    try:
        grants = len(History(volume).entries())
        message = f"{grants} grants in the history"
        found.append(
            Finding("History", "ok", message) if grants else Finding("History", "warning", message, reason="NoHistory")
        )
    except StorageError as error:
        remedy = _remedy_for_unreadable(volume.directory / volume.history_name)
        found.append(Finding("History", "error", error.message, remedy, error.reason))
    return found


def _journal(state: State) -> Finding:
    journal = state.journal
    if journal is None:
        return Finding("State", "ok", f"generation {state.generation}, no exchange is open")
    age = journal.started.age()
    under_way = journal.outcome == "open" and age < _UNDER_WAY
    return Finding(
        "State",
        "info" if under_way else "warning",
        f"an exchange that began {age:.0f} s ago has not come to its end ({journal.outcome})",
        "nothing: it is under way, or the next writer finishes what can be finished",
        "ExchangeOpen",
    )
