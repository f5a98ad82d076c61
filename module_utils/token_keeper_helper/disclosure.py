"""The one way for a document out of its volume and to a person: into a file of theirs, or onto their terminal.

This runs on the controller, and needs the ``token_keeper`` package there. What a helper prints is shown by Ansible's
debug output and by a verbose SSH client, so the document comes sealed, with a key that went to the helper on stdin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from token_keeper import sealing
from token_keeper.document import TokenDocument
from token_keeper.errors import TokenKeeperError

from .failure import ModuleFailure
from .helper import Helper

_PATIENCE: Final = 120.0
"""Seconds for the person to say that they look."""

_READING: Final = 600.0
"""Seconds until it is taken off the screen."""

_OTHER_SCREEN, _FIRST_SCREEN = "\x1b[?1049h\x1b[H", "\x1b[?1049l"
_ENTER: Final = frozenset(b"\r\n")
_INTERRUPT: Final = 0x03


@dataclasses.dataclass(frozen=True)
class Disclosed:
    """A document with its secrets; nothing of it may get into a result, a message or a log.

    Attributes:
        text: its JSON.
        fingerprint: of the whole document, which may be shown.
        generation: what the store counts.
    """

    text: str = dataclasses.field(repr=False)
    fingerprint: str
    generation: int


def disclosed(helper: Helper) -> Disclosed:
    """Pull the document out of its volume.

    Raises:
        ModuleFailure: there is none, the image is of an earlier release, or what came back is not what was sealed.
    """
    key = sealing.new_key()
    try:
        answer = helper.run("show", "--sealed", stdin=sealing.key_to_text(key))
        data = sealing.unseal(str(answer.get("sealed", "")), key)
        document = TokenDocument.parse(data, f"the document in volume {helper.volume}")
    except TokenKeeperError as error:
        raise ModuleFailure(type(error).__name__, error.reason, error.message, error.remedy) from None
    return Disclosed(document.to_json(), document.fingerprint, int(answer["generation"]))


class Screen:
    """A person's terminal, written to and read from as it is, past everything that logs.

    Args:
        descriptor: an open terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._terminal = descriptor

    def show(self, what: str, text: str) -> None:
        """Show a text to whoever presses Enter, until they press it again; nothing of it stays on the screen.

        A terminal that nobody sits at, such as the recorded one of a job runner, is shown nothing.

        Args:
            what: what is about to be shown.
            text: what is secret.

        Raises:
            ModuleFailure: nobody was there.
        """
        with self._unbuffered():
            self._write(f"\r\n{what}: press Enter to show it here, or Ctrl-C.\r\n")
            if not self._entered(_PATIENCE):
                raise ModuleFailure(
                    "RevealError",
                    "NobodyThere",
                    f"nobody has pressed Enter within {_PATIENCE:g} s, or it was left with Ctrl-C: nothing was shown",
                    "run it where you sit, or have the document written to a file: -e reveal_to=PATH",
                )
            with self._another() as end:
                self._write(text.replace("\n", "\r\n") + f"\r\n\r\n{end}\r\n")
                self._entered(_READING)

    @contextmanager
    def _unbuffered(self) -> Iterator[None]:
        """Read keys as they come; Ctrl-C is one of them, so that the screen is put in order after it as well."""
        before = termios.tcgetattr(self._terminal)
        quiet = list(before)
        quiet[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        try:
            # what was typed before is no answer
            termios.tcsetattr(self._terminal, termios.TCSAFLUSH, quiet)
            yield
        finally:
            with contextlib.suppress(termios.error):  # it is gone
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, before)

    @contextmanager
    def _another(self) -> Iterator[str]:
        """Have the terminal's other screen, as a pager does, where it has one."""
        if os.environ.get("TERM", "dumb") == "dumb":
            yield "This terminal keeps what it shows: clear it when you have read. Enter goes on."
            return
        self._write(_OTHER_SCREEN)
        try:
            yield "Enter takes this off the screen again."
        finally:
            self._write(_FIRST_SCREEN)

    def _write(self, text: str) -> None:
        rest = text.encode()
        while rest:
            rest = rest[os.write(self._terminal, rest) :]

    def _entered(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._terminal], [], [], left)[0]:
                typed = os.read(self._terminal, 4096)
                if not typed or _INTERRUPT in typed:
                    return False
                if _ENTER.intersection(typed):
                    return True
        return False
