"""Time on a host whose wall clock is stepped, in either direction, while tokens live and exchanges fail."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from keeper_parts import earlier, edit_state, expired, on_disk, push, renewed, state_of, write_in_place
from keeper_provider import Provider

from token_keeper import TokenStore, clock
from token_keeper.clock import Instant, Span

REAL = time.time


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds by which the wall clock is off: append to it, the last one counts."""
    offsets = [0.0]
    monkeypatch.setattr(time, "time", lambda: REAL() + offsets[-1])
    return offsets


DAY = 86_400.0


@pytest.mark.parametrize("offset", [DAY, -DAY, 3000.0, -3000.0])
def test_a_step_causes_no_exchange_while_the_token_lives(
    store: TokenStore, provider: Provider, path: Path, step: list[float], offset: float
) -> None:
    push(store, expired(provider.grant()))
    token = store.access_token()
    step.append(offset)
    for reader in (store, TokenStore(path), TokenStore(path)):
        assert [reader.access_token() for _ in range(3)] == [token] * 3
    assert len(provider.forms) == 1


@pytest.mark.parametrize("offset", [DAY, -DAY])
def test_a_dead_token_is_not_served_whatever_the_wall_clock_says(
    store: TokenStore, provider: Provider, path: Path, step: list[float], offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, expired(provider.grant()))
    token = store.access_token()
    step.append(offset)
    real = clock.uptime
    monkeypatch.setattr("token_keeper.store.uptime", lambda: real() + 4000)
    monkeypatch.setattr("token_keeper.reading.uptime", lambda: real() + 4000)
    monkeypatch.setattr("token_keeper.clock.uptime", lambda: real() + 4000)
    assert store.access_token() != token
    assert TokenStore(path).access_token() == store.access_token()
    assert len(provider.forms) == 2


def test_a_step_during_the_exchange_does_not_change_the_tokens_life(
    store: TokenStore, provider: Provider, path: Path, step: list[float]
) -> None:
    push(store, expired(provider.grant()))
    step.append(DAY)
    token = store.access_token()
    step.append(0.0)
    life = state_of(path).token_life
    assert life is not None
    assert 3590 < life.left() <= 3600
    assert on_disk(path).expires_in(REAL()) > DAY, "the file was written while the clock was wrong"
    assert TokenStore(path).access_token() == token


def test_a_foreign_refresh_after_the_clock_was_put_right_is_adopted(
    store: TokenStore, provider: Provider, path: Path, step: list[float]
) -> None:
    push(store, expired(provider.grant()))
    step.append(DAY)
    store.access_token()
    step.append(0.0)
    life = state_of(path).token_life
    assert life is not None
    edit_state(path, token_life=dataclasses.asdict(Span(earlier(life.begin, 7200), 3600)))
    theirs = renewed(on_disk(path), "theirs")
    write_in_place(path, theirs)
    assert TokenStore(path).access_token() == "theirs"


def test_a_back_off_is_neither_stretched_nor_cut_by_a_step(
    store: TokenStore, provider: Provider, path: Path, step: list[float]
) -> None:
    push(store, expired(provider.grant()))
    edit_state(path, cooldown=dataclasses.asdict(Span(Instant.now(), 60)))
    for offset in (DAY, -DAY):
        step.append(offset)
        assert 55 < state_of(path).cooldown_left() <= 60


def test_after_a_reboot_the_wall_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = Span(dataclasses.replace(Instant.now(), boot="another", wall=REAL() - 100), 150)
    assert 45 < earlier.left() <= 50
    later = Span(dataclasses.replace(Instant.now(), boot="another", wall=REAL() + 100), 150)
    assert later.left() < 0, "the clock stands before the beginning: nobody knows how long ago that was"


def test_where_the_kernel_does_not_tell_its_boot_the_wall_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", "/nonexistent")
    clock.boot_id.cache_clear()
    try:
        assert clock.boot_id() is None
        assert abs(Span(Instant(REAL() - 10), 30).left() - 20) < 1
        assert abs(Instant.now().age()) < 1
    finally:
        clock.boot_id.cache_clear()
