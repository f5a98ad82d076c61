"""What no fork of this process may cut in two: an import that comes late, and what a lock's bookkeeping changes.

A child that is forked while another thread imports a module inherits the lock of that module, held by nobody, and when
it needs the module itself it waits for ever. A pool of prefork workers forks at any moment, be it to replace one that
died.
"""

from __future__ import annotations

import _thread
import contextlib

# It locks its handlers before a fork, and what is imported asks for loggers. Who registers last is asked first: here
# that is us, so that nobody who waits for an import has locked them already.
import logging  # noqa: F401
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol


class Guarded(Protocol):
    """What has to be whole when the process is forked."""

    def before_fork(self) -> None:
        """Hold still; called after every late import has come to its end."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start afresh."""


_importing: Final = _thread.RLock()
_guarded: Final[list[Guarded]] = []
_held: Final[list[Guarded]] = []
"""Those that hold still for the fork that is under way: one more may be imported, and come, while it waits."""


@contextlib.contextmanager
def unforked() -> Iterator[None]:
    """Hold back every fork of this process; for an import, and nothing that waits for another thread."""
    with _importing:
        yield


def guard(guarded: Guarded) -> None:
    """Have it asked at every fork from now on."""
    _guarded.append(guarded)


def _before() -> None:
    _importing.acquire()
    _held.extend(_guarded)
    for guarded in _held:
        guarded.before_fork()


def _after_in_parent() -> None:
    _go_on(guarded.after_fork_in_parent for guarded in _held)


def _after_in_child() -> None:
    _go_on(guarded.after_fork_in_child for guarded in reversed(_guarded))


def _go_on(each: Iterable[Callable[[], None]]) -> None:
    """Call each, the last first, and let imports go on, whatever fails: a signal may have cut the time before short."""
    with contextlib.ExitStack() as calls:
        calls.callback(_importing.release)
        calls.callback(_held.clear)
        for call in each:
            calls.callback(call)


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
