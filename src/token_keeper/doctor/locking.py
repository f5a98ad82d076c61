"""Whether the lock locks, and who has it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.errors import LockTimeout, TokenKeeperError
from token_keeper.lock import DirectoryLock

_TRY: Final = """
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(7)
"""
_REFUSED: Final = 7
_PATIENCE: Final = 10.0
_CONTAINER: Final = re.compile(r"[0-9a-f]{64}")


def examine_lock(directory: Path, trace: Sequence[str] = ()) -> list[Finding]:
    """Judge the lock: can it be had, does it keep another process out, who could keep it from everybody.

    Args:
        directory: what carries the lock.
        trace: what the volume tells of who works on it, for a holder in another container.
    """
    try:
        with DirectoryLock(directory).hold(_PATIENCE):
            findings = [_exclusion(directory)]
    except LockTimeout:
        holders = holders_of(directory)
        who = ", ".join(holders) or "; ".join(["a process that can't be seen from here", *trace])
        findings = [
            Finding(
                "Lock",
                "error",
                f"the lock of {directory} is held for more than {_PATIENCE:g} s by {who}",
                "look at that container (docker top, docker logs); the lock ends with the process that holds it",
                "LockHeld",
            )
        ]
    except TokenKeeperError as error:
        return [Finding("Lock", "error", error.message, error.remedy, error.reason)]
    return findings + _access(directory)


def holders_of(directory: Path) -> list[str]:
    """Name the processes that hold the directory's lock, as far as this PID namespace shows them."""
    wanted = name_of_lock(directory)
    found = []
    with contextlib.suppress(OSError), open("/proc/locks", encoding="utf-8") as table:
        for line in table:
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted:
                found.append(_named(int(fields[4])))
    return found


def name_of_lock(directory: Path) -> str:
    """Return what the kernel's table of locks (/proc/locks) calls the directory, here and on the Docker host.

    Raises:
        OSError: the directory can't be looked at.
    """
    status = directory.stat()
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def hold(directory: Path, seconds: float) -> None:
    """Hold the lock for a while, so that another container can be asked whether it is kept out.

    Raises:
        LockTimeout, StorageError: it can't be had.
    """
    with DirectoryLock(directory).hold(_PATIENCE):
        time.sleep(seconds)


def _exclusion(directory: Path) -> Finding:
    """Have another process try the lock that this one holds."""
    unknown = Finding(
        "Lock", "warning", "another process could not try the lock", "look whether python3 runs here", "LockUntried"
    )
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, with a text of our own
            [sys.executable, "-S", "-c", _TRY, str(directory)], capture_output=True, check=False, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return unknown
    if done.returncode == _REFUSED:
        return Finding("Lock", "ok", "the lock keeps other processes out")
    if done.returncode == 0:
        return Finding(
            "Lock",
            "error",
            f"two processes have the lock of {directory} at the same time: this file system does not lock",
            "use a named volume of the local driver on this host's own disk (ext4, xfs, btrfs)",
            "LockDoesNotLock",
        )
    return unknown


def _access(directory: Path) -> list[Finding]:
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o044:
        return [
            Finding(
                "LockAccess",
                "warning",
                f"{directory} has mode {mode:04o}: whoever may open it may hold its lock, and so keep writers waiting, "
                "even from a read-only mount",
                "run site.yml, which sets token_volume_mode (0700 by default)",
                "LockOpen",
            )
        ]
    return [Finding("LockAccess", "ok", f"only the owner may open {directory}")]


def _named(pid: int) -> str:
    name = container = ""
    with contextlib.suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        found = _CONTAINER.search(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
        container = f" in container {found[0][:12]}" if found else ""
    return f"process {pid}" + (f" ({name})" if name else "") + container
