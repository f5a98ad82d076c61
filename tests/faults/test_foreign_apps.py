"""An app that uses google-auth as it is and rewrites the file itself, with a keeper beside it and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from foreign_apps import LIFE, PROCESSES, Figures, run, save, table

SHORTER = 30
"""The factor of the short run: tokens live 20 s, google-auth takes them for expired 7.5 s before their end, and the
keeper renews 10 s before it, where these are 600, 225 and 300 s."""


def side_by_side(
    folder: Path, name: str, figure: Callable[[str], None], *, lives: float, **how: float
) -> tuple[Figures, Figures]:
    """Run both at the same time; return the figures with a keeper, and without."""

    def one(keeper: bool) -> Figures:
        return run(folder / ("on" if keeper else "off"), keeper=keeper, lives=lives, pause=1, **how)

    with ThreadPoolExecutor(2) as both:
        kept, alone = both.map(one, (True, False))
    life = LIFE / how.get("scale", 1)
    save(name, kept, alone, access_token_life=life, lives=lives)
    figure(f"{PROCESSES} processes of an unmodified app, {lives:g} lives of {life:g} s:\n{table(kept, alone)}")
    return kept, alone


def judge(folder: Path, kept: Figures, alone: Figures, *, lives: float) -> None:
    """With a keeper the app notices nothing, and nothing is lost; without one it ends its own grant."""
    events = [json.loads(line)["event"] for line in (folder / "on/tokens/.token.json.events").read_text().splitlines()]
    assert (kept.failed, kept.writes, kept.refused, kept.grants_ended) == (0, 0, 0, 0), kept
    assert kept.alive
    assert set(events) == {"Pushed", "Refreshed"}, "nothing of a foreign hand was adopted or mended"
    assert kept.exchanges > lives, "renewed after half of each life"
    assert kept.calls > PROCESSES * 10
    assert alone.writes > 0
    assert alone.failed > 0
    assert not alone.alive


def test_an_unmodified_app_beside_a_keeper_and_without_one(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """The short run: all three times that matter are shorter by one factor. There are fewer renewals at which two
    processes may meet, so the provider takes longer to answer."""
    kept, alone = side_by_side(tmp_path, "foreign-short.json", figure, lives=2, scale=SHORTER, latency=0.5)
    judge(tmp_path, kept, alone, lives=2)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_three_lives_of_ten_minutes(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """The same with nothing changed, neither in google-auth nor in the keeper."""
    kept, alone = side_by_side(tmp_path, "foreign.json", figure, lives=3.05)
    judge(tmp_path, kept, alone, lives=3)
