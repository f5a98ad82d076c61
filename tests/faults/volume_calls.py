"""Sits between the store and the operating system: sees each call on a volume's files, and may spoil it."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import threading
from collections.abc import Callable
from typing import Any, Final, Self

CHANGING: Final = {"open", "write", "ftruncate", "fsync", "rename", "unlink", "mkdir", "fchown", "chown"}
"""Calls that bring something to the disk; an ``open`` that makes no file is not among them."""

_OTHER: Final = {"close", "stat", "fstat", "listdir", "flock"}
_VARIABLE: Final = re.compile(r"[0-9a-f]{16,}")


@dataclasses.dataclass(frozen=True)
class Call:
    """One call on one of the volume's files.

    Attributes:
        name: the function of ``os`` (or ``flock``).
        path: of the file in the volume, ``.`` for the volume's directory.
        arguments: as they came.
    """

    name: str
    path: str
    arguments: tuple[Any, ...]

    @property
    def makes_a_file(self) -> bool:
        """Tell whether it is an ``open`` that makes the file."""
        return self.name == "open" and bool(self.arguments[1] & os.O_CREAT)

    @property
    def changes(self) -> bool:
        """Tell whether it brings something to the disk."""
        return self.name in CHANGING and (self.name != "open" or bool(self.arguments[1] & (os.O_CREAT | os.O_WRONLY)))

    def __str__(self) -> str:
        return f"{self.name} {_VARIABLE.sub('*', self.path)}"


class VolumeCalls:
    """Watches the calls on one volume, in every thread of this process, for the time of a ``with`` block.

    Args:
        folder: the volume's directory.
        before: called before each call; what it raises is what the call raises, and what it returns, unless it is
            ``None``, is the number of bytes that a ``write`` takes.
        after: called with each call that succeeded, and its result.
    """

    def __init__(
        self,
        folder: os.PathLike[str],
        *,
        before: Callable[[Call], int | None] = lambda _: None,
        after: Callable[[Call, Any], None] = lambda *_: None,
    ) -> None:
        self._folder = os.path.realpath(folder)
        self._before, self._after = before, after
        self._places: dict[int, str] = {}
        self._originals: dict[str, Callable[..., Any]] = {}
        self._inside = threading.local()
        self.calls: list[Call] = []

    def place(self, descriptor: int) -> str:
        """Return the path of an open file."""
        return self._places[descriptor]

    def __enter__(self) -> Self:
        for name in sorted(CHANGING | _OTHER):
            home: Any = fcntl if name == "flock" else os
            self._originals[name] = getattr(home, name)
            setattr(home, name, self._watched(name, self._originals[name]))
        return self

    def __exit__(self, *_: object) -> None:
        for name, original in self._originals.items():
            setattr(fcntl if name == "flock" else os, name, original)

    def _watched(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            path = self._path(name, arguments, options)
            if path is None or getattr(self._inside, "now", False):
                return original(*arguments, **options)
            made = Call(name, path, arguments)
            self.calls.append(made)
            self._inside.now = True
            try:
                try:
                    taken = self._before(made)
                except OSError:
                    if name == "close":  # whatever it says, the descriptor is gone
                        original(*arguments)
                        self._places.pop(arguments[0], None)
                    raise
                if taken is not None and name == "write":
                    arguments = (arguments[0], bytes(arguments[1])[:taken])
                result = original(*arguments, **options)
                if name == "open":
                    self._places[result] = path
                self._after(Call(name, path, arguments), result)
                if name == "close":
                    self._places.pop(arguments[0], None)
                return result
            finally:
                self._inside.now = False

        return call

    def _path(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str | None:
        what = arguments[0] if arguments else "."
        if isinstance(what, int):
            return self._places.get(what)
        folder = options.get("dir_fd", options.get("src_dir_fd"))
        if folder is not None:
            if folder not in self._places:
                return None
            return os.path.normpath(os.path.join(self._places[folder], what))
        text = os.path.realpath(os.path.dirname(os.fspath(what)) or ".")
        whole = os.path.normpath(os.path.join(text, os.path.basename(os.fspath(what))))
        if whole == self._folder:
            return "."
        return whole.removeprefix(self._folder + "/") if whole.startswith(self._folder + "/") else None
