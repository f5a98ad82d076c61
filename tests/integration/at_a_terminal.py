"""Somebody at a terminal: ``ansible-playbook`` with a pseudo-terminal of its own, read and typed at as on a screen."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

_PATIENCE = 60.0


class Terminal:
    """Runs a command in the foreground of a terminal; a context manager that ends it.

    Attributes:
        screen: all that it has shown.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.screen = ""
        self._master, slave = pty.openpty()
        # a new session has no terminal; the first one that it opens becomes its own
        opening = ["/bin/sh", "-c", 'terminal=$1; shift; exec "$@" <"$terminal"', "sh", os.ttyname(slave)]
        self._process = subprocess.Popen(
            [*opening, *command],
            cwd=folder,
            env=dict(environment),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def see(self, text: str) -> str:
        """Wait until the screen shows ``text``, and return all that it has shown."""
        while text not in self.screen:
            assert self._look(), f"{text!r} was not shown: {self.screen[-4000:]}"
        return self.screen

    def paste(self, text: str) -> None:
        """Paste a text as soon as nothing of it would be shown, and press Enter."""
        deadline = time.monotonic() + _PATIENCE
        while termios.tcgetattr(self._master)[3] & termios.ECHO:
            assert time.monotonic() < deadline, "the terminal shows what is typed"
            time.sleep(0.02)
        time.sleep(1)  # what is typed before the prompt is thrown away
        os.write(self._master, f"{text}\r".encode())

    def wait(self) -> int:
        """Wait for the command's end and return its exit code."""
        while self._look():
            pass
        return self._process.wait(_PATIENCE)

    def _look(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], _PATIENCE)
        assert ready, f"nothing happens any more: {self.screen[-4000:]}"
        try:
            part = os.read(self._master, 65_536)
        except OSError:  # the command has ended
            return False
        self.screen += part.decode(errors="replace").replace("\r\n", "\n")
        return bool(part)
