"""A new file that its owner alone may read, there whole or not at all: where a document leaves the volume."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from token_keeper.errors import StorageError


class PrivateFile(NamedTuple):
    """A place for a secret, in which nothing is overwritten unless that is asked for.

    Attributes:
        target: the file.
        force: replace what is there.
        named_by: the option that names the file, for what a message tells to do.
        forced_by: the option that asks to replace it.
        if_lost: what to do when the disk fails while it is written.
    """

    target: Path
    force: bool
    named_by: str
    forced_by: str
    if_lost: str

    def require(self) -> None:
        """Find out before anything is made, or anybody is bothered, that it would find no place.

        Raises:
            StorageError: ``NotAFile``, ``FileExists``, ``NotWritable``, ``InputOutput``, or ``NotPrivate`` for a file
                system that would let others read it.
        """
        target = self.target
        if target.is_dir():
            raise StorageError(
                f"{target} is a directory", reason="NotAFile", remedy=f"name a file with {self.named_by}"
            )
        if not self.force and os.path.lexists(target):
            raise self._exists()
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise StorageError(
                f"{target.parent} is not a directory in which this user may make files",
                reason="NotWritable",
                remedy=f"name another file with {self.named_by}",
            )
        try:
            descriptor = _new(temporary := self._beside())
            try:
                private = not os.fstat(descriptor).st_mode & 0o077
            finally:
                os.close(descriptor)
                os.unlink(temporary)
        except OSError as error:
            raise StorageError(
                f"cannot write {target}: {error.strerror}",
                reason="InputOutput",
                remedy=f"name another file with {self.named_by}",
            ) from None
        if not private:
            raise StorageError(
                f"the file system of {target.parent} lets others read what only its owner may",
                reason="NotPrivate",
                remedy=f"name a file on another one with {self.named_by}",
            )

    def write(self, data: bytes) -> None:
        """Make it with mode 0600, durably.

        Raises:
            StorageError: ``FileExists`` or ``InputOutput``.
        """
        target, temporary = self.target, self._beside()
        try:
            descriptor = _new(temporary)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data + b"\n")
                    file.flush()
                    os.fsync(descriptor)
                self._place(temporary)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except FileExistsError:
            raise self._exists() from None
        except OSError as error:
            raise StorageError(
                f"cannot write {target}: {error.strerror}", reason="InputOutput", remedy=self.if_lost
            ) from None

    def _beside(self) -> Path:
        return self.target.with_name(f".{self.target.name}.tmp-{secrets.token_hex(8)}")

    def _place(self, temporary: Path) -> None:
        if self.force:
            os.replace(temporary, self.target)
            return
        try:
            os.link(temporary, self.target)  # which fails where a file is, even one that was made a moment ago
        except FileExistsError:
            raise
        except OSError:
            # a file system without hard links: the document is worth more than the moment between these two calls
            if os.path.lexists(self.target):
                raise FileExistsError from None
            os.rename(temporary, self.target)

    def _exists(self) -> StorageError:
        return StorageError(
            f"{self.target} exists already, and was left as it is",
            reason="FileExists",
            remedy=f"name another file, or replace it with {self.forced_by}",
        )


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
