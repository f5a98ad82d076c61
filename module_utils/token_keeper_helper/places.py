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
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator
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
    case $d. in
    {alive}) continue ;;
    *.{controller}.*) ;;
    *) [ -z "$(find "$d" -mmin -{minutes} | head -n 1)" ] || continue ;;
    esac
    rm -rf "$d"
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
    """Return a script that makes the place on a host which belongs to one here, and prints its path.

    It first removes what this user has there of runs of this controller that are gone.

    Args:
        folder: the place here.
        aside: folder on the host below which it is made.
    """
    controller = _controller()
    alive = "|".join(f"*.{controller}.{name}.*" for name in _alive(folder.parent))
    own = folder.name.removeprefix(PREFIX)
    return _CLEAR_AND_MAKE.format(
        aside=shlex.quote(aside), prefix=PREFIX, alive=alive, controller=controller, own=own, minutes=_FOREIGN_MINUTES
    ).strip()


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
    """Return a name for this controller and user that differs from others', and stays."""
    machine = ""
    with contextlib.suppress(OSError):
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    known = f"{machine} {socket.gethostname()} {os.getuid()} {tempfile.gettempdir()}"
    return hashlib.sha256(known.encode()).hexdigest()[:12]
