"""Whether the volume is on a file system on which the lock locks, renames are whole and flushes last."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.filesystem import filesystem_of, is_shared

_OWN_LAYER: Final = {"overlay", "aufs"}
_MEMORY: Final = {"tmpfs", "ramfs"}
_REMEDY: Final = "use a named volume of the local driver on this host's own disk (ext4, xfs, btrfs)"


def examine_filesystem(directory: Path) -> Finding:
    """Judge the file system that the volume is on."""
    kind = filesystem_of(directory)
    if kind is None:
        return Finding("FileSystem", "warning", f"the file system of {directory} can't be told", _REMEDY)
    if is_shared(kind):
        return Finding(
            "FileSystem",
            "problem",
            f"{directory} is on {kind}: locks and renames on it don't hold between hosts, or not at all",
            _REMEDY,
        )
    if kind in _OWN_LAYER:
        return Finding(
            "FileSystem",
            "problem",
            f"{directory} is in this container's own layer ({kind}): no other container sees it, and it goes with it",
            "mount the token volume there (token_data:/app/tokens)",
        )
    if kind in _MEMORY:
        return Finding("FileSystem", "warning", f"{directory} is in memory ({kind}): a reboot takes it away", _REMEDY)
    return Finding("FileSystem", "ok", f"{directory} is on {kind}")
