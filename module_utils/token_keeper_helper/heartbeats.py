"""Heartbeats: what the processes of the consumers say of themselves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .pages import Page, ask_all

TIMEOUT: Final = 3.0
"""Seconds that a page may take; while consumers are waited for it is asked again."""


@dataclasses.dataclass(frozen=True)
class Beat:
    """One process that uses the token.

    Attributes:
        container: host name of its container.
        pid: its process id there.
        generation: generation that it sees; ``None`` while it sees none.
    """

    container: str
    pid: int
    generation: int | None


@dataclasses.dataclass(frozen=True)
class Heartbeats:
    """The beats that were reported.

    Attributes:
        beats: of all pages that answered.
        silent: the addresses that did not, each with the reason.
    """

    beats: tuple[Beat, ...] = ()
    silent: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def obstacle(self) -> str:
        """Which addresses did not answer, as a sentence; empty if all did."""
        return "; ".join(f"{url} did not answer with heartbeats: {why}" for url, why in self.silent.items())


def fetch_all(urls: Sequence[str], timeout: float = TIMEOUT) -> Heartbeats:
    """Ask pages that answer ``{"consumers": [{"container", "pid", "generation"}, ...]}``, side by side."""
    beats: list[Beat] = []
    silent: dict[str, str] = {}
    for page in ask_all(urls, timeout):
        try:
            beats += _beats(page)
        except ValueError as error:
            silent[page.url] = str(error)
    return Heartbeats(tuple(beats), silent)


def _beats(page: Page) -> list[Beat]:
    if page.why:
        raise ValueError(page.why)
    try:
        return [_beat(entry) for entry in json.loads(page.body)["consumers"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise ValueError("it answered, but not with a list of consumers") from None


def _beat(entry: Mapping[str, Any]) -> Beat:
    generation = entry["generation"]
    return Beat(str(entry["container"]), int(entry["pid"]), None if generation is None else int(generation))
