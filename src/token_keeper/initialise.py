"""The first owner and mode of a token volume, set before any consumer exists.

Docker hands an empty volume to whoever mounts it first: it is filled from that image and takes its owner. One run of a
helper, as root with CAP_CHOWN and nothing else, decides this instead; afterwards nobody needs root again.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

from token_keeper.errors import Conflict, StorageError
from token_keeper.filesystem import filesystem_of, is_shared

_MARKER: Final = ".token-keeper"
_OURS: Final = re.compile(r"\.json(\.|$)|^lost\+found$")


class InitOutcome(NamedTuple):
    """Owner and mode before and after; ``mode`` as four octal digits."""

    changed: bool
    before: dict[str, Any]
    after: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        return self._asdict()


def initialise(
    directory: Path, *, name: str, uid: int, gid: int, mode: int, force: bool = False, dry_run: bool = False
) -> InitOutcome:
    """Give a volume's directory and everything in it to the app's user.

    A first file is left in it, because an empty volume would be filled and chowned anew by the next container that
    mounts it without ``nocopy``.

    Args:
        directory: where the volume is mounted.
        name: file name of the token document, which is ours whatever it looks like.
        uid: user that every consumer runs as.
        gid: group of the same.
        mode: the directory's mode, such as ``0o700``.
        force: take over a volume that holds something else than token documents.
        dry_run: say what would change and change nothing.

    Raises:
        Conflict: the volume was never ours and holds other things, such as somebody's database.
        StorageError: not permitted, not a directory, or on a file system that other hosts share.
    """
    try:
        status = directory.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise StorageError(
                f"{directory} is a file, not a directory",
                reason="NotADirectory",
                remedy="mount the volume's directory (token_data:/app/tokens), never the file alone",
            )
        kind = filesystem_of(directory)
        if kind is not None and is_shared(kind) and not force:
            raise StorageError(
                f"{directory} is on {kind}, where the lock does not hold between hosts or not at all",
                reason="SharedFileSystem",
                remedy="use a named volume of the local driver; --force takes it all the same, at the token's risk",
            )
        before = {"uid": status.st_uid, "gid": status.st_gid, "mode": f"{stat.S_IMODE(status.st_mode):04o}"}
        after = {"uid": uid, "gid": gid, "mode": f"{mode:04o}"}
        changed = _Taking(directory, name, uid, gid, force=force, dry_run=dry_run).take(mode)
    except OSError as error:
        raise StorageError(
            f"cannot prepare {directory} as uid {os.geteuid()}: {error.strerror}",
            reason="ReadOnly" if error.errno == errno.EROFS else "WrongOwner",
            remedy="run it as root with CAP_CHOWN, on a volume that is mounted read-write",
        ) from error
    return InitOutcome(changed, before, after)


class _Taking:
    """Gives a directory and what is in it to a user, with no more than CAP_CHOWN.

    Root without CAP_DAC_OVERRIDE and CAP_FOWNER may do to a file only what its owner may, so it owns one for a moment
    where it must. Consumers that are at work keep their access meanwhile, through the group.
    """

    def __init__(self, directory: Path, name: str, uid: int, gid: int, *, force: bool, dry_run: bool) -> None:
        self._directory = directory
        self._name = name
        self._force = force
        self._owner = (uid, gid)
        self._dry_run = dry_run
        self._me = os.geteuid()
        self._changed = False

    def take(self, mode: int) -> bool:
        """Do it, and return whether anything was or would be changed."""
        status = self._directory.stat()
        self._changed = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (*self._owner, mode)
        entered = self._enter(self._directory)
        if self._is_open(self._directory):
            if strangers := self._strangers():
                if entered:
                    self._directory.chmod(stat.S_IMODE(status.st_mode))
                    os.chown(self._directory, status.st_uid, status.st_gid)
                raise Conflict(
                    f"{self._directory} holds other things than token documents: {', '.join(strangers)}",
                    reason="ForeignContent",
                    remedy="name a volume of its own for the token; --force takes over this one with all that is in it",
                )
            self._leave_marker()
            for path in sorted(self._directory.iterdir()):
                self._put_right(path)
        if not self._dry_run and (self._changed or entered):
            if stat.S_IMODE(self._directory.stat().st_mode) != mode:
                os.chown(self._directory, self._me, -1)
                self._directory.chmod(mode)
            os.chown(self._directory, *self._owner)
        return self._changed

    def _enter(self, folder: Path) -> bool:
        """Open a folder that is closed to this process; return whether it has to be closed again."""
        if self._dry_run or self._is_open(folder):
            return False
        os.chown(folder, self._me, self._owner[1])
        folder.chmod(0o770)
        return True

    def _is_open(self, folder: Path) -> bool:
        # a dry run only looks, and may have been given the right to look everywhere (CAP_DAC_READ_SEARCH)
        needed = os.R_OK | os.X_OK | (0 if self._dry_run else os.W_OK)
        return os.access(folder, needed, effective_ids=True)

    def _strangers(self) -> list[str]:
        """Name the first entries that no app of the kind would have put there, in a volume that was never ours."""
        if self._force or (self._directory / _MARKER).exists():
            return []
        ours = (self._name, f".{self._name}.")
        names = (path.name for path in self._directory.iterdir())
        return sorted(name for name in names if not (_OURS.search(name) or name.startswith(ours)))[:5]

    def _leave_marker(self) -> None:
        marker = self._directory / _MARKER
        if not marker.exists():
            self._changed = True
            if not self._dry_run:
                marker.touch(mode=0o600)

    def _put_right(self, path: Path) -> None:
        found = path.lstat()
        wrong = (found.st_uid, found.st_gid) != self._owner
        self._changed |= wrong
        if stat.S_ISDIR(found.st_mode):
            entered = self._enter(path)
            if self._is_open(path):
                for child in sorted(path.iterdir()):
                    self._put_right(child)
            if entered:
                path.chmod(stat.S_IMODE(found.st_mode) | 0o700)
                os.chown(path, *self._owner)
        elif wrong and not self._dry_run and stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != 0o600:
            os.chown(path, self._me, -1, follow_symlinks=False)
            path.chmod(0o600)
        if wrong and not self._dry_run:
            os.chown(path, *self._owner, follow_symlinks=False)
