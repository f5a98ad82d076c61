"""Whether the volume is where the lock locks, renames are whole and flushes last, and where there is room to write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.filesystem import filesystem_of, is_shared

_OWN_LAYER: Final = {"overlay", "aufs"}
_MEMORY: Final = {"tmpfs", "ramfs"}
_REMEDY: Final = "use a named volume of the local driver on this host's own disk (ext4, xfs, btrfs)"
_NEEDED: Final = 128 * 1024
"""Bytes that an exchange may need at once: a pending file, and drafts of history, document, state and events."""

_NEEDED_INODES: Final = 8
_LITTLE: Final = 64 * 1024 * 1024
_LITTLE_SHARE: Final = 0.01
_FEW_INODES: Final = 1000


def examine_filesystem(directory: Path) -> Finding:
    """Judge the file system that the volume is on."""
    kind = filesystem_of(directory)
    if kind is None:
        why = f"the file system of {directory} can't be told"
        return Finding("FileSystem", "warning", why, _REMEDY, "UnknownFileSystem")
    if is_shared(kind):
        return Finding(
            "FileSystem",
            "error",
            f"{directory} is on {kind}: locks and renames on it don't hold between hosts, or not at all",
            _REMEDY,
            "SharedFileSystem",
        )
    if kind in _OWN_LAYER:
        return Finding(
            "FileSystem",
            "error",
            f"{directory} is in this container's own layer ({kind}): no other container sees it, and it goes with it",
            "mount the token volume there (token_data:/app/tokens)",
            "OwnLayer",
        )
    if kind in _MEMORY:
        return Finding(
            "FileSystem", "warning", f"{directory} is in memory ({kind}): a reboot takes it away", _REMEDY, "InMemory"
        )
    return Finding("FileSystem", "ok", f"{directory} is on {kind}")


def examine_space(directory: Path) -> Finding:
    """Judge the room that is left for this user, in bytes and in inodes; nothing is written to find out."""
    found = os.statvfs(directory)
    room, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    inodes = found.f_favail if found.f_files else None  # btrfs makes them as it needs them
    left = f"{room // 1024} KiB" + (f" and {inodes} inodes" if inodes is not None else "")
    remedy = "free space on the disk that holds the volume: `docker system df`, then old images and logs"
    if room < _NEEDED:
        why = f"the disk of {directory} is full ({left} left): nothing can be renewed, and no exchange is made"
        return Finding("Space", "error", why, remedy, "NoSpace")
    if inodes is not None and inodes < _NEEDED_INODES:
        why = f"the disk of {directory} has no inodes left ({left}): nothing can be renewed, and no exchange is made"
        return Finding(
            "Space", "error", why, "remove files on the disk that holds the volume: many small ones", "NoInodes"
        )
    if room < min(_LITTLE, size * _LITTLE_SHARE) or (
        inodes is not None and inodes < min(_FEW_INODES, found.f_files / 10)
    ):
        return Finding(
            "Space", "warning", f"the disk of {directory} is nearly full ({left} left)", remedy, "LittleSpace"
        )
    return Finding("Space", "ok", f"{left} left")
