"""What writers that died have left: temporary files and pending replies, and who takes them away."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding, Level
from token_keeper.document import TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.staging import Staged
from token_keeper.volume import Volume

_STALE: Final = 3600.0
_WRITTEN: Final = 60.0
"""Seconds after which nobody is writing a file any more: it has come to its end, or never will."""

_FORGOTTEN: Final = 86_400.0
"""Seconds after which a staged document is one that nobody will promote any more."""

_FOREIGN: Final = r"\.?{name}(\.(tmp|temp|bak|old|orig|new|part|swp)[^/]*|~)"
_SHOWN: Final = 3


def examine_leftovers(volume: Volume) -> list[Finding]:
    """Judge temporary files, the kit's own and those of others, and the files of exchanges."""
    names = sorted(path.name for path in volume.directory.iterdir())
    found = [*_temporary(volume, names), *_foreign(volume, names), *_pending(volume, names), *_staged(volume)]
    return found or [Finding("Leftovers", "ok", "no temporary files")]


def _temporary(volume: Volume, names: Iterable[str]) -> Iterator[Finding]:
    """Those that the kit's writers make; the next exchange sweeps them."""
    stale = [str(path.relative_to(volume.directory)) for path in stale_temporaries(volume, names)]
    if stale:
        yield Finding(
            "Leftovers",
            "warning",
            f"{len(stale)} stale temporary files: {_some(stale)}",
            "nothing: the next exchange sweeps them",
            "StaleTemporaryFiles",
            "they are removed, under the lock",
        )


def stale_temporaries(volume: Volume, names: Iterable[str]) -> list[Path]:
    """Return the temporary files that a writer of the kit has left for more than an hour, by their names alone.

    Args:
        volume: the document's files.
        names: what is in its directory.
    """
    mine = volume.replaced_names
    paths = [volume.directory / name for name in names if name.rpartition(".tmp-")[0] in mine]
    with contextlib.suppress(OSError):  # no history, or not ours: that is told elsewhere
        paths += [path for path in (volume.directory / volume.history_name).iterdir() if ".tmp-" in path.name]
    return [path for path in paths if _age(path) > _STALE]


def _foreign(volume: Volume, names: Iterable[str]) -> Iterator[Finding]:
    """Copies of the document that other programs make, such as a temporary file of one fixed name."""
    pattern = re.compile(_FOREIGN.format(name=re.escape(volume.name)))
    found = [
        name
        for name in names
        if pattern.fullmatch(name) and ".tmp-" not in name and _age(volume.directory / name) > _WRITTEN
    ]
    if found:
        yield Finding(
            "Leftovers",
            "warning",
            f"{len(found)} files beside {volume.name} that are not Token Keeper's: {_some(found)}",
            f"they may hold the refresh token, and nobody sweeps them: rm them in {volume.directory}, or have the "
            "program that makes them write elsewhere",
            "ForeignFiles",
        )


def _pending(volume: Volume, names: Iterable[str]) -> Iterator[Finding]:
    """The files that take replies: each may hold one that exists nowhere else."""
    whole, half, empty = [], [], []
    for name in names:
        if not name.startswith(volume.pending_name("")):
            continue
        with contextlib.suppress(StorageError, TokenCorrupt):  # which the check of owners tells
            found = volume.read(name)
            if found is None:
                continue
            age = time.time() - found[1].st_mtime
            if not found[0].strip():
                empty += [name] if age > _STALE else []
            elif _is_reply(found[0], name):
                whole.append(name)
            elif age > _WRITTEN:
                half.append(name)
    if half:
        yield Finding(
            "Leftovers",
            "warning",
            f"{len(half)} pending files hold no whole reply, their writer died: {_some(half)}",
            "nothing: no writer can use them, and an exchange sweeps them an hour later; Conditions tells of the grant",
            "HalfReply",
        )
    if empty:
        yield Finding(
            "Leftovers",
            "warning",
            f"{len(empty)} pending files that no reply came into: {_some(empty)}",
            "nothing: the next exchange sweeps them",
            "EmptyPending",
        )
    if whole:
        yield Finding(
            "Leftovers",
            "info",
            f"{len(whole)} replies wait in pending files for the next writer: {_some(whole)}",
            "nothing: the next writer rolls it forward; never delete one, it exists nowhere else",
            "PendingReply",
            "the reply is rolled forward, under the lock",
        )


def _staged(volume: Volume) -> Iterator[Finding]:
    """A document that a rotation has left waiting: it holds a refresh token that nobody uses."""
    try:
        staged = Staged.read(volume)
    except TokenCorrupt as error:
        yield Finding("Leftovers", "error", error.message, error.remedy, error.reason)
        return
    except StorageError:
        return  # which the check of owners tells
    if staged is None:
        return
    waiting = time.time() - staged.record.started
    remedy = "go on with the rotation: `token-keeper promote`, or forget it: `token-keeper unstage`"
    level: Level = "warning" if waiting > _FORGOTTEN else "info"
    yield Finding("Leftovers", level, f"a staged document waits for {waiting / 3600:.1f} h", remedy, "Staged")


def _is_reply(data: bytes, name: str) -> bool:
    try:
        TokenDocument.parse(data, name)
    except TokenCorrupt:
        return False
    return True


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0  # a writer was faster


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(sorted(names)[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
