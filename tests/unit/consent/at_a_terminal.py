"""A person at a terminal: a program with a pseudo-terminal as its own, read and typed at as on a screen."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType


class Terminal:
    """Runs ``token-keeper`` with a terminal; a context manager that ends it.

    Args:
        arguments: of the command.
        stdout: where its stdout goes; by default to the terminal, as everything else.
    """

    def __init__(self, *arguments: str | Path, stdout: Path | None = None) -> None:
        self.screen = ""
        self._master, slave = pty.openpty()
        # a new session has no terminal; the first one that it opens becomes its own. And a shell starts what runs in
        # its background with SIGINT ignored, which is inherited.
        opening = [
            "env",
            "--default-signal=INT",
            "/bin/sh",
            "-c",
            'terminal=$1; shift; exec "$@" <"$terminal"',
            "sh",
            os.ttyname(slave),
        ]
        command = [*opening, sys.executable, "-m", "token_keeper", *map(str, arguments)]
        out = slave if stdout is None else os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=out,
            stderr=slave,
            start_new_session=True,
        )
        for descriptor in {slave, out}:
            os.close(descriptor)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def see(self, text: str, times: int = 1) -> str:
        """Wait until the screen has shown ``text`` so often, and return all that it has shown."""
        deadline = time.monotonic() + 20
        while self.screen.count(text) < times:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.screen}"
            assert self._look() or self.screen.count(text) >= times, f"{text!r} was not shown: {self.screen}"
        return self.screen

    def type(self, text: str) -> None:
        """Type or paste a text."""
        os.write(self._master, text.encode())

    def echoes(self) -> bool:
        """Tell whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def wait(self) -> int:
        """Wait for the program's end and return its exit code."""
        while self._look():
            pass
        return self.process.wait(20)

    def _look(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 20)
        assert ready, f"nothing happens any more: {self.screen}"
        try:
            part = os.read(self._master, 65_536)
        except OSError:  # the program has ended
            return False
        self.screen += part.decode(errors="replace").replace("\r\n", "\n")
        return bool(part)
