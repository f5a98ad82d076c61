"""A number of seconds on the command line."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import click

_TEN_YEARS: Final = 315_360_000.0


class Seconds(click.ParamType[float]):
    """A number of seconds, ten years at most: ``nan``, ``inf`` and what no date can hold are none.

    Args:
        least: the smallest number that is accepted.
    """

    name = "seconds"

    def __init__(self, least: float = -_TEN_YEARS) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; see click's own documentation."""
        seconds = float("nan")
        with contextlib.suppress(TypeError, ValueError):
            seconds = float(value)
        if not self._least <= seconds <= _TEN_YEARS:
            self.fail(f"{value!r} is not a number of seconds from {self._least:g} to {_TEN_YEARS:g}", param, ctx)
        return seconds
