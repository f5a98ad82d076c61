"""The terminal of whoever runs the command, for an answer that must not be shown."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator
from typing import Final

import click

_LOOK_EVERY: Final = 0.2
_MORE: Final = 0.15
"""Seconds in which the rest of a pasted text comes, when it has line breaks in it."""

_MOST: Final = 65_536
_ERASE, _KILL, _END_OF_FILE = (0x08, 0x7F), 0x15, 0x04


@contextlib.contextmanager
def opened() -> Iterator[int | None]:
    """Open the process's terminal, and yield ``None`` where it has none."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_there() -> bool:
    """Tell whether somebody can be asked."""
    with opened() as terminal:
        return terminal is not None


def ask(prompt: str, deadline: float, is_over: Callable[[], bool] = lambda: False) -> str:
    """Show a prompt on stderr and read an answer from the terminal, without echo.

    It is read byte by byte: a terminal's own line editing cuts a line off after 4095 bytes, and a pasted text may have
    several lines.

    Args:
        prompt: what to show.
        deadline: when to give up, on the clock of :func:`time.monotonic`.
        is_over: looked at now and then; when it says true the answer is not needed any more, and is empty.

    Raises:
        TimeoutError: the deadline has come, or the terminal is gone.
    """
    import termios  # noqa: PLC0415 - not on every platform on which the package can be imported

    with opened() as terminal:
        if terminal is None:
            raise TimeoutError
        before = termios.tcgetattr(terminal)
        quiet = list(before)
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        try:
            # before the prompt: who sees that may paste at once
            termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
            click.echo(prompt, nl=False, err=True)
            return _read(terminal, deadline, is_over)
        finally:
            with contextlib.suppress(termios.error):  # it is gone
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)
            click.echo(err=True)


def _read(terminal: int, deadline: float, is_over: Callable[[], bool]) -> str:
    typed = bytearray()
    complete = False
    while not is_over():
        ready, _, _ = select.select([terminal], [], [], _MORE if complete else _LOOK_EVERY)
        if not ready and complete:
            return typed.decode(errors="replace")
        if time.monotonic() >= deadline:
            raise TimeoutError
        if not ready:
            continue
        try:
            part = os.read(terminal, 4096)
        except OSError:
            part = b""
        if not part or (part[0] == _END_OF_FILE and not typed):
            raise TimeoutError
        for byte in part:
            if byte in _ERASE:
                del typed[-1:]
            elif byte == _KILL:
                typed.clear()
            else:
                typed.append(byte)
        del typed[_MOST:]
        # an empty line is an answer too: that it has come by another way
        complete = b"\n" in typed or b"\r" in typed
    return ""
