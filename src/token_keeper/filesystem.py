"""Which file system a directory is on, and whether its locks and renames can be trusted."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final, TextIO

_SHARED: Final = {
    "9p", "afs", "ceph", "cifs", "fakeowner", "gfs2", "glusterfs", "grpcfuse", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
}  # fmt: skip
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
"""A blank, tab, line feed or backslash in the mount table (proc_pid_mountinfo(5)); everything else is as it is."""


def filesystem_of(directory: Path) -> str | None:
    """Name the file system that a directory is on, from the kernel's mount table; ``None`` where it does not tell.

    Raises:
        OSError: the directory can't be looked at.
    """
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    real = os.path.realpath(directory)
    best: tuple[int, str] | None = None
    with contextlib.suppress(OSError, ValueError), _mount_table() as table:
        for line in table:
            fields = line.split(" ")
            point, kind = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[4]), fields[fields.index("-") + 1]
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            # btrfs gives its subvolumes devices of their own, so the mount point decides where the device does not
            rank = (1_000_000 if fields[2] == wanted else 0) + (len(point) if inside else -1)
            if rank >= 0 and (inside or fields[2] == wanted) and (best is None or rank >= best[0]):
                best = (rank, kind)
    return best[1] if best else None


def _mount_table() -> TextIO:
    return open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape")


def is_shared(kind: str) -> bool:
    """Tell whether a file system is reached by other hosts, or through a layer that may not pass locks on."""
    return kind in _SHARED or kind == "fuse" or kind.startswith("fuse.")
