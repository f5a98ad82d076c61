"""The lock of a token volume: an exclusive ``flock`` on its directory.

The directory itself is what is locked: there is no lock file that somebody could unlink or own wrongly, and the
kernel frees the lock when its holder dies, however it dies. It excludes other containers too, as they all open
the same inode.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import fcntl
import os
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from token_keeper.errors import LockTimeout, StorageError
from token_keeper.forks import guard

_FIRST_PAUSE: Final = 0.040
"""Seconds before a waiter asks to be woken. Where many come at once, that work would keep the holder from its own; and
an exchange takes longer."""

_PAUSE: Final = 0.020
"""Seconds between two tries of a waiter that can't be woken, or that was woken and came too late."""

_LOOK_EVERY: Final = 1.0
"""Seconds after which a waiter looks again, although nobody has let go of the lock: its holder may have been stopped
after it wrote what everybody waits for, a foreign writer takes no lock, and the directory may be another one by now."""


class _Release:
    """The moment at which the holder lets go of the lock; several threads may wait for it.

    A bare lock and no Event: that makes one more for each who waits, and dozens of processes do so at once.
    """

    def __init__(self) -> None:
        self._gate = _thread.allocate_lock()
        self._gate.acquire()

    def wait(self, timeout: float) -> bool:
        """Wait that many seconds at most; returns whether it has come."""
        come = self._gate.acquire(timeout=timeout)
        if come:
            self._gate.release()  # for the next one
        return come

    def come(self) -> None:
        """Wake all who wait."""
        self._gate.release()


class _Process:
    """What this process holds; a forked child starts with nothing."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        self.held: set[int] = set()
        self.mutexes: dict[str, threading.Lock] = {}
        self.releases: dict[str, _Release] = {}
        # taken around every fork, so that no descriptor is open and not yet (or no longer) listed in ``held``
        self.guard = threading.RLock()

    def mutex(self, directory: str) -> threading.Lock:
        with self.guard:
            return self.mutexes.setdefault(directory, threading.Lock())

    def open(self, directory: Path) -> int:
        with self.guard:
            descriptor = _open(directory)
            self.held.add(descriptor)
            return descriptor

    def close(self, descriptor: int) -> None:
        with self.guard:
            if descriptor in self.held:
                self.held.discard(descriptor)
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    def release(self, descriptor: int) -> None:
        self._unlock(descriptor)
        self.close(descriptor)

    @staticmethod
    def _unlock(descriptor: int) -> None:
        # explicitly, and not by closing alone: a child forked a moment ago may not have closed its copy yet
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def next_release(self, name: str, directory: Path) -> _Release | None:
        """Return what comes when the holder lets go of the lock, ``None`` where that can't be awaited.

        One thread waits for all waiters of this process, in a shared ``flock``: the kernel grants those of all
        processes at the same moment, and each lets go at once.
        """
        if _is_green():
            return None  # one that is blocked in the kernel would block all of them
        with self.guard:
            release = self.releases.get(name)
            if release is not None:
                return release
            release, descriptor = _Release(), self.open(directory)
            try:
                # a bare thread: what threading does at its end, all processes would do at the moment when all are woken
                _thread.start_new_thread(self._await_release, (name, descriptor, release))
            except RuntimeError:  # no more threads, or the interpreter ends
                self.close(descriptor)
                return None
            self.releases[name] = release  # which the thread takes away again, as soon as it gets the guard
            return release

    def _await_release(self, name: str, descriptor: int, release: _Release) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        self._unlock(descriptor)
        release.come()  # what is left to do here is not what anybody waits for
        with self.guard:
            self.releases.pop(name, None)
        self.close(descriptor)

    def before_fork(self) -> None:
        self.guard.acquire()

    def after_fork_in_parent(self) -> None:
        self.guard.release()

    def after_fork_in_child(self) -> None:
        """Drop what a forked child inherited: an open copy would keep the lock alive after its holder's death.

        The copies are closed and never unlocked, since unlocking a copy would free the parent's lock.
        """
        for descriptor in self.held:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.start_afresh()


_process = _Process()
guard(_process)


class DirectoryLock:
    """Exclusive lock on a directory, among processes, containers and the threads of this process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Names what threads share a mutex by. A link that is set anew later can't do harm: the descriptors of two
        # threads exclude each other as well.
        self._real = os.path.realpath(directory)

    @contextlib.contextmanager
    def hold(self, timeout: float, *, given_up: Callable[[], bool] = lambda: False) -> Iterator[int | None]:
        """Hold the lock.

        Args:
            timeout: seconds to wait; 0 tries once.
            given_up: asked between tries; when it says true the waiter leaves the queue without the lock.

        Yields:
            A descriptor of the directory, or ``None`` when the waiter gave up by its own wish.

        Raises:
            LockTimeout: another writer kept the lock for all that time.
            StorageError: the directory is missing, not a directory, not ours, or on a file system without flock.
        """
        deadline = time.monotonic() + timeout
        mutex = _process.mutex(self._real)
        pause, to_be_woken = _FIRST_PAUSE, False
        while True:
            # the mutex keeps the threads of one process from competing with each other in the file system
            if mutex.acquire(blocking=False):
                try:
                    descriptor = self._try()
                    if descriptor is not None:
                        owner = os.getpid()
                        try:
                            yield descriptor
                        finally:
                            # a child that was forked inside has no copy any more, and the number may be another file's
                            if os.getpid() == owner:
                                _process.release(descriptor)
                        return
                finally:
                    mutex.release()
            if given_up():
                yield None
                return
            release = _process.next_release(self._real, self._directory) if to_be_woken else None
            if release is None:
                time.sleep(self._left(deadline, timeout, pause * _spread()))
                pause, to_be_woken = _PAUSE, True
            else:
                # who is woken and does not get it lets the others of his kind go by, who hold it for a moment as he did
                to_be_woken = not release.wait(self._left(deadline, timeout, _LOOK_EVERY))
            if given_up():  # before the next try: who needs the lock no more must not keep it from others
                yield None
                return

    def _left(self, deadline: float, timeout: float, most: float) -> float:
        """Return the seconds until the deadline (monotonic), ``most`` at most.

        Raises:
            LockTimeout: it has come.
        """
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockTimeout(
                f"another writer holds the lock of {self._directory} for more than {timeout:g} s",
                remedy="`token-keeper doctor` says who holds it, or wrote last: a stopped or hung container may",
            )
        return min(left, most)

    def _try(self) -> int | None:
        """Return a locked descriptor of the directory, or None when somebody else has the lock."""
        descriptor = _process.open(self._directory)
        locked = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # a volume that was removed and made anew meanwhile has another directory under the same name
            locked = os.path.samestat(os.fstat(descriptor), self._directory.stat())
        except BlockingIOError:
            return None
        except OSError as error:
            raise _not_lockable(self._directory, error) from error
        finally:
            if not locked:
                _process.close(descriptor)
        return descriptor if locked else None


def _is_green() -> bool:
    """Tell whether threads are greenlets here, of gevent or eventlet."""
    return not isinstance(_thread.start_new_thread, types.BuiltinFunctionType)


def _spread() -> float:
    """Return a number from 0.5 to 1 that is this process's own at this moment, so that waiters don't come at once."""
    return 0.5 + (os.getpid() * 0.618034 + time.monotonic()) % 0.5


def _open(directory: Path) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise StorageError(
            f"the directory {directory} does not exist",
            reason="NoVolume",
            remedy="mount the token volume there",
        ) from error
    except NotADirectoryError as error:
        raise StorageError(
            f"{directory} is a file, not a directory",
            reason="NotADirectory",
            remedy="mount the volume's directory (token_data:/app/tokens), never the file alone",
        ) from error
    except PermissionError as error:
        raise StorageError(
            f"uid {os.geteuid()} may not open the directory {directory}",
            reason="WrongOwner",
            remedy="run as the volume's owner, or let site.yml set the owner (token_volume_uid, token_volume_gid)",
        ) from error
    except OSError as error:
        raise _not_lockable(directory, error) from error


def _not_lockable(directory: Path, error: OSError) -> StorageError:
    if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
        return StorageError(
            f"the file system of {directory} has no flock ({os.strerror(error.errno)})",
            reason="NoLocks",
            remedy="keep the volume on a local file system such as ext4 or xfs",
        )
    return StorageError(f"{directory} cannot be locked: {os.strerror(error.errno or 0)}", reason="NotLockable")
