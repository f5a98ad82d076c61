"""Folders for archives on their way: gone with the run that made them, or with the next one where that was killed.

A run holds the lock of its folder for as long as it uses it, and whatever ends the run, the kernel frees the lock. What
it has left on a host bears the name of its folder, by which the next run from the same controller knows it.

It runs on the controller only and is never sent to a host.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = "token-keeper-archive."
"""How the names of the folders begin, here and on hosts. Those of role images begin otherwise, and hold no lock."""

_FOREIGN_MINUTES: Final = 24 * 60
"""Minutes without a change after which what another controller has left on a host is believed to be left for good."""

_CLEAR_AND_MAKE: Final = """
for d in {aside}/{prefix}*; do
    [ -d "$d" ] && [ -O "$d" ] || continue
    case $d in
    */{prefix}{controller}.*) echo "$d" ;;
    *) young=$(find "$d" -mmin -{minutes}) && [ -z "$young" ] && rm -rf "$d" ;;
    esac
done
d=$(mktemp -d {aside}/{prefix}{controller}.{own}.XXXXXX) && chmod 0711 "$d" && echo "$d"
"""


@contextmanager
def place() -> Iterator[Path]:
    """Make a folder below the temporary one, for as long as the context lasts; what dead runs have left goes."""
    # It gets its name when its lock is held, so that nobody takes it for a left one
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    held = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        folder = made.rename(made.parent / made.name[1:])
        try:
            _alive(folder.parent, remove_others=True)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)


def on_host(folder: Path, aside: str) -> str:
    """Return a script that makes the place on a host which belongs to one here.

    It prints what this user has there of this controller, whose runs may live, and at last the place that it has made.
    What others have left for good it removes.

    Args:
        folder: the place here.
        aside: folder on the host below which it is made.
    """
    return _CLEAR_AND_MAKE.format(
        aside=shlex.quote(aside),
        prefix=PREFIX,
        controller=_controller(),
        own=folder.name.removeprefix(PREFIX),
        minutes=_FOREIGN_MINUTES,
    ).strip()


def left(found: Iterable[str], folder: Path, aside: str) -> list[str]:
    """Return what runs that are gone have left on a host, of what it said is there of this controller.

    To be asked when the host has answered: a run that has begun since then has nothing among it.

    Args:
        found: what the script of :func:`on_host` has printed, the place that it has made left out.
        folder: the place here.
        aside: folder on the host in which that is.
    """
    alive = _alive(folder.parent)
    ours = re.compile(rf"{re.escape(f'{aside}/{PREFIX}{_controller()}.')}(\w+)\.\w+")
    return [path for path in found if (match := ours.fullmatch(path)) and match[1] not in alive]


def _alive(parent: Path, *, remove_others: bool = False) -> list[str]:
    """Return how the places below a folder are called whose runs live."""
    names = []
    for folder in parent.glob(f"{PREFIX}*"):
        # it may go at any moment, and may be somebody else's
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.getuid():
                continue
            held = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                names.append(folder.name.removeprefix(PREFIX))
            else:
                if remove_others:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)
    return names


def _controller() -> str:
    """Return a name for this controller and user that differs from others', and stays.

    It is one of the folder of the locks as well: two containers may have one name, and see nothing of each other's.
    """
    machine = ""
    with contextlib.suppress(OSError):
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    folder = Path(tempfile.gettempdir()).stat()
    known = f"{machine} {socket.gethostname()} {os.getuid()} {folder.st_dev} {folder.st_ino}"
    return hashlib.sha256(known.encode()).hexdigest()[:12]
