"""Waiting for a change in the token volume, at no cost while there is none."""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path
from typing import Final

from inotify_simple import INotify, flags  # type: ignore[import-untyped]

_MASK: Final = flags.MOVED_TO | flags.DELETE
"""What the store does to a document: it renames another one over it, or takes it away."""

_SETTLE: Final = 0.05
"""Seconds from the first of a writer's renames to the look: the second one, of the state, follows at once."""

_LOOK_EVERY: Final = 0.2
"""Seconds after which to look where the kernel does not tell."""


class Changes:
    """Ends a wait when something in a directory has changed.

    A writer that rewrites its file in place, as an unmodified app does, is not noticed here: look now and then as well.

    Args:
        directory: what to watch. Where that can't be watched (no directory, no more inotify instances for this user),
            every wait is short.
    """

    def __init__(self, directory: Path | None) -> None:
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._watch: INotify | None = None
        if directory is not None:
            with contextlib.suppress(OSError):
                watch = INotify()
                try:
                    watch.add_watch(directory, _MASK)
                except OSError:
                    watch.close()
                    raise
                self._poll.register(watch.fileno(), select.POLLIN)
                self._watch = watch

    def wait(self, seconds: float) -> None:
        """Wait for the next change, or for :meth:`wake`; no longer than that."""
        unseen = self._watch is None
        ready = self._poll.poll(max(min(seconds, _LOOK_EVERY) if unseen else seconds, 0.0) * 1000)
        if self._watch is not None and any(descriptor == self._watch.fileno() for descriptor, _ in ready):
            time.sleep(_SETTLE)
            if any(event.mask & flags.IGNORED for event in self._watch.read(timeout=0)):
                self._unwatch()  # the directory is gone: the kernel has nothing more to tell

    def wake(self) -> None:
        """End the wait of the thread that waits, and every later one at once; after :meth:`close` there is none."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Give the descriptors back; nobody may wait any more."""
        if self._bell >= 0:
            bell, self._bell = self._bell, -1
            os.close(bell)
        self._unwatch()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._poll.unregister(self._watch.fileno())
            self._watch.close()
            self._watch = None
