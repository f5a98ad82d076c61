"""The directory, the document and the state: owner, mode, kind and content."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.doctor.owners import is_open_to, owner_of, remedy_for
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.history import History
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import State
from token_keeper.status import Status
from token_keeper.volume import Volume

_OWNER_REMEDY: Final = "run site.yml, which sets token_volume_uid and token_volume_gid"


def examine_directory(directory: Path) -> Finding:
    """Judge the directory's owner and whether this process can write to it."""
    status, me = directory.stat(), os.geteuid()
    owner = owner_of(status)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        remedy = "mount the volume read-write in every container that may refresh" if read_only else _OWNER_REMEDY
        return Finding("Directory", "problem", f"uid {me} can't write to {directory} ({owner})", remedy)
    if me not in {0, status.st_uid}:
        return Finding(
            "Directory", "warning", f"{directory} belongs to {owner}, and this process is uid {me}", _OWNER_REMEDY
        )
    return Finding("Directory", "ok", f"{directory} belongs to {owner}")


def examine_document(status: Status) -> Finding:
    """Judge the document, by what a look at the volume has found."""
    document, path = status.document, Path(status.path)
    if document["state"] == "unreadable":
        return Finding("Document", "problem", document["message"], _remedy_for_unreadable(path))
    if document["state"] != "sound":
        where = document.get("message", f"there is no sound document in {status.path}")
        remedy = "run site.yml to obtain one"
        if document.get("reason") == "NotAFile":
            remedy = "move it away, then run site.yml; Docker makes a directory when a bind mount's source is missing"
        elif status.generation and document["state"] == "corrupt":
            remedy = "`token-keeper verify` puts the last sound document back; if there is none, run site.yml"
        return Finding("Document", "problem", where, remedy)
    file, directory = path.stat(), path.parent.stat()
    if not is_open_to(directory.st_uid, directory.st_gid, file):
        why = f"{path} belongs to {owner_of(file)}, and uid {directory.st_uid}, the directory's owner, can't read it"
        return Finding("Document", "problem", why, remedy_for(path, directory, file))
    if not status.healthy:
        return Finding(
            "Document", "problem", f"the document in {status.path} is sound, but it can't be renewed", "see Conditions"
        )
    if file.st_uid != directory.st_uid or stat.S_IMODE(file.st_mode) != 0o600:
        return Finding(
            "Document",
            "warning",
            f"{path} belongs to {owner_of(file)}",
            "`token-keeper refresh` mends it, as the next exchange of anybody does",
        )
    return Finding("Document", "ok", f"{status.path} is sound, generation {status.generation}")


def _remedy_for_unreadable(path: Path) -> str:
    try:
        file, directory = path.lstat(), path.parent.stat()
    except OSError:
        return _OWNER_REMEDY
    return remedy_for(path, directory, file)


def examine_state(volume: Volume) -> list[Finding]:
    """Judge the state with its journal, and the history."""
    found = []
    try:
        text = volume.read(volume.state_name, limit=STATE_MAX_BYTES)
        state = State.parse(text[0]) if text is not None else None
        if state is None:
            missing = "is missing" if text is None else "can't be trusted"
            found.append(
                Finding("State", "warning", f"{volume.state_name} {missing}", "nothing: the next writer seeds it anew")
            )
        else:
            found.append(_journal(state))
    except TokenCorrupt as error:
        found.append(Finding("State", "problem", error.message, error.remedy))
    except StorageError as error:
        remedy = _remedy_for_unreadable(volume.directory / volume.state_name)
        found.append(Finding("State", "problem", error.message, remedy))
    try:
        grants = len(History(volume).entries())
        found.append(Finding("History", "ok" if grants else "warning", f"{grants} grants in the history"))
    except StorageError as error:
        remedy = _remedy_for_unreadable(volume.directory / volume.history_name)
        found.append(Finding("History", "problem", error.message, remedy))
    return found


def _journal(state: State) -> Finding:
    journal = state.journal
    if journal is None:
        return Finding("State", "ok", f"generation {state.generation}, no exchange is open")
    return Finding(
        "State",
        "warning",
        f"an exchange that began {journal.started.age():.0f} s ago has not come to its end ({journal.outcome})",
        "nothing: it is under way, or the next writer finishes what can be finished",
    )
