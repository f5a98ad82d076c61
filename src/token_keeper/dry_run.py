"""A volume for a dry run: what is there is read as ever, and every write is only imagined.

The same code that would do the work decides what it would come to, so that a dry run can't be wrong about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from token_keeper.events import Events
from token_keeper.volume import Draft, Volume


class DryDraft(Draft):
    """A draft that never takes a file's place."""

    def write_out(self) -> None:
        """Do nothing."""

    def publish(self, *, flush_directory: bool) -> None:
        """Do nothing."""


class DryVolume(Volume):
    """A volume whose files stay as they are."""

    @contextlib.contextmanager
    def drafted(self, directory: int, name: str, data: bytes) -> Iterator[Draft]:
        """Stand in for a draft that is not written."""
        del data
        yield DryDraft(self, directory, name, name)

    def reserve(self, directory: int, name: str) -> None:
        """Do nothing."""

    def fill(self, directory: int, name: str, data: bytes) -> None:
        """Do nothing."""

    def promote(self, directory: int, name: str, *, flushed: bool) -> None:
        """Do nothing."""

    def remove(self, directory: int, name: str) -> None:
        """Do nothing."""

    def sweep(self, directory: int) -> None:
        """Do nothing."""

    def sweep_pending(self, directory: int) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def folder(self, directory: int, name: str) -> Iterator[int]:
        """Stand in for a folder that is not made."""
        del name
        yield directory


class DryEvents(Events):
    """An event log that nothing is written into."""

    def record(self, directory: int, what: str, **facts: Any) -> None:
        """Do nothing."""
