"""One person answers one question at a time, whatever the strategy of a play."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "token-keeper-consent.lock"


@contextmanager
def turn(folder: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the run's one place in front of the person.

    The task keyword ``throttle`` would have hosts wait that ask nobody. And it doesn't do it under ``strategy: free``:
    there each host gets its own copy of a task that was included, and copies are not counted together.

    Args:
        folder: a folder that all hosts of a run share, on the controller.
        wait: called before waiting, if another host's turn it is.
    """
    # each caller's own descriptor: forks of Ansible would share a lock on an inherited one
    with (folder / _LOCK).open("w") as place:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
