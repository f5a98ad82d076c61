"""Imports that come late, and that no fork may cut in two.

A child that is forked while another thread imports a module inherits the lock of that module, held by nobody, and when
it needs the module itself it waits for ever. A pool of prefork workers forks at any moment, be it to replace one that
died.
"""

from __future__ import annotations

import _thread
import contextlib
import os
from collections.abc import Iterator
from typing import Final

_importing: Final = _thread.RLock()
_asked: Final[list[bool]] = []


@contextlib.contextmanager
def unforked() -> Iterator[None]:
    """Hold back every fork of this process; for an import, and nothing that waits for another thread."""
    _be_asked()
    with _importing:
        yield


def _be_asked() -> None:
    """Have every fork from now on wait for the import that is under way."""
    if _asked:
        return
    # It locks its handlers before a fork, and what is imported asks for loggers. Who registers last is asked first, so
    # that nobody who waits here has locked it already.
    import logging  # noqa: F401, PLC0415

    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
    )
    _asked.append(True)
