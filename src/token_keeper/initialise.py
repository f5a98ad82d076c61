"""The first owner and mode of a token volume, set before any consumer exists.

Docker hands an empty volume to whoever mounts it first: it is filled from that image and takes its owner. One run of a
helper, as root with CAP_CHOWN and nothing else, decides this instead; afterwards nobody needs root again.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path
from typing import Any

from token_keeper.errors import StorageError

_MARKER = ".token-keeper"


@dataclasses.dataclass(frozen=True, slots=True)
class InitOutcome:
    """Owner and mode before and after; ``mode`` as four octal digits."""

    changed: bool
    before: dict[str, Any]
    after: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        return dataclasses.asdict(self)


def initialise(directory: Path, *, uid: int, gid: int, mode: int, dry_run: bool = False) -> InitOutcome:
    """Give a volume's directory and everything in it to the app's user.

    A first file is left in it, because an empty volume would be filled and chowned anew by the next container that
    mounts it without ``nocopy``.

    Args:
        directory: where the volume is mounted.
        uid: user that every consumer runs as.
        gid: group of the same.
        mode: the directory's mode, such as ``0o700``.
        dry_run: say what would change and change nothing.

    Raises:
        StorageError: not permitted, or not a directory.
    """
    try:
        status = directory.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise StorageError(
                f"{directory} is a file, not a directory",
                reason="NotADirectory",
                remedy="mount the volume's directory (token_data:/app/tokens), never the file alone",
            )
        before = {"uid": status.st_uid, "gid": status.st_gid, "mode": f"{stat.S_IMODE(status.st_mode):04o}"}
        after = {"uid": uid, "gid": gid, "mode": f"{mode:04o}"}
        if dry_run:
            return InitOutcome(before != after, before, after)
        changed = _take(directory, status, uid=uid, gid=gid, mode=mode)
    except OSError as error:
        raise StorageError(
            f"cannot prepare {directory} as uid {os.geteuid()}: {error.strerror}",
            reason="ReadOnly" if error.errno == 30 else "WrongOwner",
            remedy="run it as root with CAP_CHOWN, on a volume that is mounted read-write",
        ) from error
    return InitOutcome(changed, before, after)


def _take(directory: Path, status: os.stat_result, *, uid: int, gid: int, mode: int) -> bool:
    changed = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (uid, gid, mode)
    me = os.geteuid()
    # Root without CAP_DAC_OVERRIDE or CAP_FOWNER may do to a file only what its owner may: so it owns it for a moment.
    os.chown(directory, me, -1)
    directory.chmod(0o700)
    marker = directory / _MARKER
    if not marker.exists():
        marker.touch(mode=0o600)
        changed = True
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(folder) / name
            found = path.lstat()
            if (found.st_uid, found.st_gid) == (uid, gid):
                continue
            if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != 0o600:
                os.chown(path, me, -1, follow_symlinks=False)
                path.chmod(0o600)
            os.chown(path, uid, gid, follow_symlinks=False)
            changed = True
    directory.chmod(mode)
    os.chown(directory, uid, gid)
    return changed
