"""The files of one token document in its volume: whole reads, durable replacements, nothing half done.

Every write goes to a new file of its own name in the same directory, is flushed, renamed over its target and
made durable with a flush of the directory. A reader therefore sees the whole old file or the whole new one, and
so does the machine that comes up after a power loss.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from token_keeper.document import MAX_BYTES, TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.fingerprint import LENGTH as FINGERPRINT_LENGTH

_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_TEMPORARY: Final = ".tmp-"
_STALE_AFTER: Final = 3600.0

SETTLE: Final = 0.5
"""Seconds that a foreign writer without atomic writes is given to finish, before its torn file is replaced."""

PENDING_BYTES: Final = 16_384
"""Space that is reserved before an exchange, so that a full disk is found before the provider is asked."""


class FileIdentity(NamedTuple):
    """What tells one version of a file from the next. Inode numbers are reused, so the times belong to it."""

    inode: int
    modified_ns: int
    changed_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Take the identity from a ``stat`` result."""
        return cls(status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


class Draft:
    """A file's next content, in a temporary file beside it: see :meth:`Volume.drafted`.

    Attributes:
        temporary: name of the file that holds it.
        descriptor: that file, open.
        published: whether it has taken the file's place.
    """

    def __init__(self, volume: Volume, directory: int, name: str, temporary: str) -> None:
        self._volume, self._directory, self._name = volume, directory, name
        self.temporary = temporary
        self.descriptor = -1
        self.published = False

    def write_out(self) -> None:
        """Have the kernel begin to write it, so that a later flush finds it under way; no more than a hint."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def publish(self, *, flush_directory: bool) -> None:
        """Flush it, and rename it over the file.

        Args:
            flush_directory: whether the new name has to be durable now. Where another replacement in the same folder
                follows at once, its flush serves both.

        Raises:
            StorageError: as :meth:`Volume.replace`.
        """
        try:
            os.fsync(self.descriptor)
            os.rename(self.temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self.published = True
            if flush_directory:
                os.fsync(self._directory)
        except OSError as error:
            raise self._volume.failure("write", self._volume.directory / self._name, error) from error


class Volume:
    """Names and primitives of the files that belong to one document.

    Args:
        path: the document, such as ``/app/tokens/token.json``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.directory = path.parent
        self.name = path.name
        self._text_directory = str(path.parent)
        self.state_name = f".{path.name}.state"
        self.events_name = f".{path.name}.events"
        self.history_name = f".{path.name}.history"
        self.staged_name = f".{path.name}.staged"
        self.client_name = f".{path.name}.client"
        self.consent_name = f".{path.name}.consent"
        self._pending_prefix = f".{path.name}.pending."

    @property
    def replaced_names(self) -> tuple[str, ...]:
        """The names that :meth:`replace` gives in the volume's directory, and makes temporary files for."""
        return (self.name, self.state_name, self.events_name, self.staged_name, self.client_name, self.consent_name)

    def pending_name(self, identifier: str) -> str:
        """Return the name of the file that takes the reply of an exchange.

        Args:
            identifier: names the exchange, and ends with the fingerprint of the refresh token that it sends: so that a
                late reply is known for what it is although the journal has gone on.
        """
        return self._pending_prefix + identifier

    def spent_by(self, name: str) -> str:
        """Return the fingerprint of the refresh token that a pending file's exchange has sent, from the file's name."""
        return name.removeprefix(self._pending_prefix).partition(_TEMPORARY)[0][-FINGERPRINT_LENGTH:]

    def read(self, name: str, *, limit: int = MAX_BYTES) -> tuple[bytes, os.stat_result] | None:
        """Read a side file or the document, whole; ``None`` when there is none.

        Raises:
            TokenCorrupt: a directory or a device stands where the file should be.
            StorageError: it can't be read.
        """
        try:
            descriptor = os.open(
                f"{self._text_directory}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
            )
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise StorageError(
                f"{self.directory} is a file, not a directory",
                reason="NotADirectory",
                remedy="mount the volume's directory (token_data:/app/tokens), never the file alone",
            ) from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _not_a_file(self.directory / name, "a symbolic link") from error
            if error.errno == errno.ENXIO:
                raise _not_a_file(self.directory / name, "a socket") from error
            if error.errno == errno.EACCES and os.access(self.directory, os.W_OK | os.X_OK):
                raise TokenCorrupt(  # the directory is ours: what may not be read can be replaced all the same
                    f"uid {os.geteuid()} may not read {self.directory / name}, which belongs to somebody else",
                    reason="Unreadable",
                    remedy="the next writer puts it right, where the history has the document; else run site.yml",
                ) from error
            raise self.failure("read", self.directory / name, error) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _not_a_file(self.directory / name, "a directory" if stat.S_ISDIR(status.st_mode) else "a device")
            return _read_all(descriptor, limit + 1), status
        except OSError as error:
            raise self.failure("read", self.directory / name, error) from error
        finally:
            _close(descriptor)

    def is_settling(self) -> bool:
        """Tell whether somebody has written the document a moment ago: without atomic writes it may be half done."""
        try:
            return abs(time.time() - os.stat(self.path).st_mtime) < SETTLE
        except OSError:
            return False

    def replace(self, directory: int, name: str, data: bytes) -> None:
        """Replace a file durably; the caller holds the lock.

        Args:
            directory: descriptor of the folder that holds the file, the lock's own or one of :meth:`folder`.
            name: the file's name in it.
            data: all of its new content.

        Raises:
            StorageError: it could not be done, and the old file stands as it was; if only the last step failed, the
                flush of the directory, the new file stands there and may not outlive a power loss. A failed flush is
                not tried again on the same file: the kernel marks its pages clean and the second flush would lie.
        """
        with self.drafted(directory, name, data) as draft:
            draft.publish(flush_directory=True)

    @contextlib.contextmanager
    def drafted(self, directory: int, name: str, data: bytes) -> Iterator[Draft]:
        """Write a file's next content beside it, for :meth:`Draft.publish`; what is not published is gone at the end.

        Where several files are replaced together, all of them are drafted first: a disk that is full is found before
        any of them is touched, and what is flushed first takes the others a part of their way.

        Raises:
            StorageError: it could not be written, and the old file stands as it was.
        """
        draft = Draft(self, directory, name, f"{name}{_TEMPORARY}{os.urandom(8).hex()}")
        try:
            with self._created(directory, draft.temporary) as draft.descriptor:
                _write_all(draft.descriptor, data)
                yield draft
        except OSError as error:
            raise self.failure("write", self.directory / name, error) from error
        finally:
            if not draft.published:
                with contextlib.suppress(OSError):
                    os.unlink(draft.temporary, dir_fd=directory)

    def reserve(self, directory: int, name: str) -> None:
        """Make a file full of newlines that :meth:`fill` can later fill without needing space.

        Its name is durable with the next flush of the directory: the journal's, which follows.
        """
        try:
            with self._created(directory, name) as descriptor:
                _write_all(descriptor, b"\n" * PENDING_BYTES)
                os.fsync(descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory)
            raise self.failure("write", self.directory / name, error) from error

    def probe(self) -> None:
        """Find out whether there is room for a document and what goes with it; takes no lock, and leaves nothing.

        Raises:
            StorageError: nothing can be written there now.
        """
        name = f"{self.name}{_TEMPORARY}{os.urandom(8).hex()}"
        with self.opened() as directory:
            self.reserve(directory, name)
            with contextlib.suppress(OSError):  # what is left is swept
                os.unlink(name, dir_fd=directory)

    def fill(self, directory: int, name: str, data: bytes) -> None:
        """Write into a reserved file, durably. Cut off half way it holds no JSON; done, JSON and newlines."""
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
            try:
                _write_all(descriptor, data)
                os.ftruncate(descriptor, len(data))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self.failure("write", self.directory / name, error) from error

    def promote(self, directory: int, name: str, *, flushed: bool) -> None:
        """Rename a file of the volume onto the document; durable with the next flush of the directory: the state's.

        Args:
            directory: descriptor of the volume's directory.
            name: the file.
            flushed: whether its content is durable. Whoever left it may have died between its write and its flush.
        """
        try:
            if not flushed:
                descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            os.rename(name, self.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            raise self.failure("write", self.path, error) from error

    def remove(self, directory: int, name: str) -> None:
        """Remove a file durably, if it is there."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
                os.fsync(directory)
        except OSError as error:
            raise self.failure("remove", self.directory / name, error) from error

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Open the directory itself, without its lock."""
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self.failure("open", self.directory, error) from error
        try:
            yield descriptor
        finally:
            _close(descriptor)

    @contextlib.contextmanager
    def folder(self, directory: int, name: str) -> Iterator[int]:
        """Open a folder of the volume, made with mode 0700 if it is missing."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                descriptor = os.open(name, flags, dir_fd=directory)
            except FileNotFoundError:
                self._make_folder(directory, name)
                descriptor = os.open(name, flags, dir_fd=directory)
        except OSError as error:
            raise self.failure("open", self.directory / name, error) from error
        try:
            yield descriptor
        finally:
            _close(descriptor)

    @staticmethod
    def _make_folder(directory: int, name: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, _FOLDER_MODE, dir_fd=directory)
            if os.geteuid() == 0:
                owner = os.fstat(directory)
                os.chown(name, owner.st_uid, owner.st_gid, dir_fd=directory)
            os.fsync(directory)

    def sweep(self, directory: int) -> None:
        """Remove temporary files of writers that died; called under the lock, so none of them is in use.

        Pending files are not touched: each may hold a reply that exists nowhere else.
        """
        mine = self.replaced_names
        for entry in self._names(directory):
            name, _, suffix = entry.rpartition(_TEMPORARY)
            if suffix and name in mine:
                with contextlib.suppress(OSError):
                    os.unlink(entry, dir_fd=directory)
        with contextlib.suppress(OSError):
            for path in (self.directory / self.history_name).iterdir():
                if _TEMPORARY in path.name:
                    path.unlink()

    def pendings(self, directory: int) -> list[str]:
        """Return the names of all pending files."""
        return [name for name in self._names(directory) if name.startswith(self._pending_prefix)]

    def _names(self, directory: int) -> list[str]:
        try:
            return os.listdir(directory)
        except OSError as error:
            raise self.failure("list", self.directory, error) from error

    def sweep_pending(self, directory: int) -> None:
        """Remove pending files without a whole reply in them that nobody can be filling any more."""
        for name in self.pendings(directory):
            with contextlib.suppress(OSError, StorageError, TokenCorrupt):
                found = self.read(name)
                if found is None or time.time() - found[1].st_mtime <= _STALE_AFTER:
                    continue
                try:
                    TokenDocument.parse(found[0], name)
                except TokenCorrupt:
                    os.unlink(name, dir_fd=directory)

    @contextlib.contextmanager
    def _created(self, directory: int, name: str) -> Iterator[int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(name, flags, _FILE_MODE, dir_fd=directory)
        try:
            if os.geteuid() == 0:
                # root writes for the app (docker exec -u 0, a root-run image): the file still belongs to the app
                owner = os.fstat(directory)
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            yield descriptor
        finally:
            os.close(descriptor)

    def failure(self, verb: str, path: Path, error: OSError) -> StorageError:
        """Return the error that says what could not be done with a path, why, and what to do."""
        number = error.errno or 0
        reason, remedy = _CAUSES.get(number, ("InputOutput", "look at the host's disk and kernel log"))
        return StorageError(
            f"cannot {verb} {path} as uid {os.geteuid()}: {os.strerror(number)}", reason=reason, remedy=remedy
        )


_OWNER_REMEDY: Final = (
    "the directory has to belong to the app's uid: run site.yml, which sets token_volume_uid and token_volume_gid"
)
_SPACE_REMEDY: Final = "free space on the disk that holds the volume; the token that was there is untouched"
_CAUSES: Final = {
    errno.EACCES: ("WrongOwner", _OWNER_REMEDY),
    errno.EPERM: ("WrongOwner", _OWNER_REMEDY),
    errno.EROFS: ("ReadOnly", "mount the volume read-write in every container that may refresh"),
    errno.ENOSPC: ("NoSpace", _SPACE_REMEDY),
    errno.EDQUOT: ("NoSpace", _SPACE_REMEDY),
    errno.EBUSY: (
        "FileMounted",
        "mount the volume's directory (token_data:/app/tokens), never the file alone: a mounted file can't be replaced",
    ),
    errno.EISDIR: ("NotAFile", "a directory stands where the file should be: move it away"),
    errno.ENOTDIR: ("NotADirectory", "a file stands where the directory should be: move it away"),
    errno.ENOTEMPTY: ("NotAFile", "a directory stands where the file should be: move it away"),
}


def _not_a_file(path: Path, what: str) -> TokenCorrupt:
    return TokenCorrupt(
        f"{path} is {what}, not a file",
        reason="NotAFile",
        remedy="move it away, then run site.yml; Docker makes a directory when a bind mount's source is missing",
    )


def _close(descriptor: int) -> None:
    """Close what was only read, or a folder: whatever the file system says to that, nothing can be lost by it."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_all(descriptor: int, limit: int) -> bytes:
    data = b""
    while len(data) < limit and (part := os.read(descriptor, limit - len(data))):
        data += part
    return data
