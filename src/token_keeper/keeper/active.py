"""Which of several keepers of one volume is the active one.

It is a matter of economy, not of safety: two that were active at once would still renew one after the other, under the
volume's lock. The active one holds an exclusive ``flock`` on a side file of its own for as long as it lives; the kernel
hands the role on when it dies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os

from token_keeper.errors import StorageError
from token_keeper.volume import Volume


class ActiveRole:
    """The role of the active keeper of one document."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._path = volume.directory / f".{volume.name}.keeper"
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Take the role if nobody has it, or go on having it; tells whether it is ours.

        Raises:
            StorageError: the side file can't be made or locked, so that nobody knows who has the role.
        """
        if self._descriptor is not None and self._is_still_there():
            return True
        self.release()
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise StorageError(
                f"cannot lock {self._path}: {error.strerror}",
                reason="NoLocks",
                remedy="keep the volume on a local file system such as ext4 or xfs",
            ) from error
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the role up."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        descriptor: int | None = None
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o600)
            if os.geteuid() == 0:
                # a keeper that was once run as root must not lock out the next one, which runs as the app
                owner = self._volume.directory.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except OSError as error:
            if descriptor is not None:
                os.close(descriptor)
            if error.errno == errno.ENOENT:
                raise StorageError(
                    f"the directory {self._volume.directory} does not exist",
                    reason="NoVolume",
                    remedy="mount the token volume there",
                ) from error
            raise StorageError(
                f"cannot open {self._path} as uid {os.geteuid()}: {error.strerror}",
                reason="ReadOnly" if error.errno == errno.EROFS else "WrongOwner",
                remedy="mount the volume read-write and run the keeper as the volume's owner; the file itself holds "
                "nothing, and may be deleted if it belongs to somebody else",
            ) from error
        return descriptor

    def _is_still_there(self) -> bool:
        """Tell whether the file that is locked is the one that others would lock: somebody may have deleted it."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except OSError:
            return False
