"""Owner and mode of what is in the volume: every file belongs to the directory's owner, and to nobody else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding, Level
from token_keeper.volume import Volume

_FILE: Final = 0o600
_FOLDER: Final = 0o700


def examine_owners(volume: Volume) -> list[Finding]:
    """Judge owner and mode of the side files, one finding for each that is not as it should be."""
    directory = volume.directory.stat()
    spare = {volume.events_name, f".{volume.name}.keeper"}
    found = []
    for path in _side_files(volume):
        wrong = _judged(path, directory, folder=path.name == volume.history_name, spare=path.name in spare)
        if wrong is not None:
            found.append(wrong)
    return found or [Finding("Files", "ok", "the side files belong to the directory's owner, and to nobody else")]


def owner_of(status: os.stat_result) -> str:
    """Return owner and mode as a text."""
    return f"{status.st_uid}:{status.st_gid}, mode {stat.S_IMODE(status.st_mode):04o}"


def is_open_to(uid: int, gid: int, status: os.stat_result) -> bool:
    """Tell whether a user can read a file."""
    if uid in {0, status.st_uid}:
        return uid == 0 or bool(status.st_mode & stat.S_IRUSR)
    return bool(status.st_mode & (stat.S_IRGRP if gid == status.st_gid else stat.S_IROTH))


def remedy_for(path: Path, directory: os.stat_result, status: os.stat_result) -> str:
    """Say how a file is given to the directory's owner, with the mode that its kind should have."""
    mode = right_mode(status)
    if status.st_uid == directory.st_uid:
        return f"chmod {mode:04o} {path}"
    return f"as root: chown {directory.st_uid}:{directory.st_gid} {path} && chmod {mode:04o} {path}"


def _judged(path: Path, directory: os.stat_result, *, folder: bool, spare: bool) -> Finding | None:
    """Judge one file.

    Args:
        path: the file.
        directory: the volume's, whose owner it should have.
        folder: whether it should be a folder.
        spare: whether everybody gets along without it.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None  # a writer was faster
    if not (stat.S_ISDIR(status.st_mode) if folder else stat.S_ISREG(status.st_mode)):
        what = "folder" if folder else "file"
        level: Level = "warning" if spare else "error"
        mend = mend_for_folder(path) if empty_folder(path) else ""
        return Finding("Files", level, f"{path} is no {what}", "move it away", "NotAFile", mend, str(path))
    if status.st_uid == directory.st_uid and stat.S_IMODE(status.st_mode) == (_FOLDER if folder else _FILE):
        return None
    locked_out = not is_open_to(directory.st_uid, directory.st_gid, status)
    level = "error" if locked_out and not spare else "warning"
    why = f", which uid {directory.st_uid}, the directory's owner, can't read" if locked_out else ""
    remedy, mine = remedy_for(path, directory, status), status.st_uid == directory.st_uid
    reason, mend = ("WrongMode", remedy) if mine else ("WrongOwner", "")
    return Finding("Files", level, f"{path} belongs to {owner_of(status)}{why}", remedy, reason, mend, str(path))


def right_mode(status: os.stat_result) -> int:
    """Return the mode that a file of its kind should have."""
    return _FOLDER if stat.S_ISDIR(status.st_mode) else _FILE


def empty_folder(path: Path) -> bool:
    """Tell whether a directory stands there with nothing in it, so that nothing is lost with it."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode) and not any(path.iterdir())
    except OSError:
        return False


def mend_for_folder(path: Path) -> str:
    """Say what is done about an empty directory in a file's place."""
    return f"the empty directory {path} is removed"


def _side_files(volume: Volume) -> Iterator[Path]:
    """Return the side files of the document, the history's folder before what is in it."""
    for entry in sorted(volume.directory.iterdir()):
        if not entry.name.startswith(f".{volume.name}."):
            continue
        yield entry
        if entry.name == volume.history_name and entry.is_dir() and os.access(entry, os.R_OK | os.X_OK):
            yield from sorted(entry.iterdir())
