"""The state side file: read whole and sane, or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeper_parts import tree
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.clock import Instant, Span
from token_keeper.errors import TokenKeeperError
from token_keeper.state import Condition, Identity, Journal, State, timestamp

FULL = State(
    generation=7,
    identity=Identity("d" * 16, "a" * 16, "r" * 16, "g" * 16, 1_790_000_000.0),
    grant="0123456789abcdef",
    superseded=["s" * 16],
    journal=Journal("abcdef0123456789", Instant(1_790_000_000.0, "boot", 60.5), "d" * 16, "r" * 16, 8, "no_reply"),
    tombstone=None,
    dead_grant="g" * 16,
    dead_reason="InvalidGrant",
    conditions={"Ready": Condition("True", "Refreshed", "generation 7", "2026-11-23T10:00:00Z")},
    exchanges=6,
    failures=1,
    cooldown=Span(Instant(1_790_000_000.0, "boot", 60.0), 1.5),
    token_life=Span(Instant(1_790_000_000.0), 3600.0),
    rotation="yes",
    reuse_grace=10.0,
    grant_expiry=1_790_600_000.0,
    clock_skew=-0.5,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def test_a_state_survives_being_written_and_read() -> None:
    assert State.parse(FULL.to_json().encode()) == FULL
    assert State.parse(State().to_json().encode()) == State()


@given(st.sampled_from([field.name for field in dataclasses.fields(State)]), anything)
def test_a_value_of_any_kind_is_sane_or_the_state_is_none(name: str, value: Any) -> None:
    fields = {**json.loads(FULL.to_json()), name: value}
    state = State.parse(json.dumps(fields).encode())
    if state is not None:
        use(state)


@given(
    st.sampled_from(["identity", "journal"]),
    st.sampled_from(["document", "access_token", "refresh_token", "grant", "expiry", "id", "started", "generation",
                     "outcome", "replayed"]),
    anything,
)  # fmt: skip
def test_so_is_a_value_inside(part: str, name: str, value: Any) -> None:
    fields = json.loads(FULL.to_json())
    fields[part][name] = value
    state = State.parse(json.dumps(fields).encode())
    if state is not None:
        use(state)


def use(state: State) -> None:
    """Do with it what the store does; nothing of this may fail."""
    now = time.time()
    assert state.cooldown_left() >= 0
    assert state.token_life is None or state.token_life.left() < float("inf")
    if state.grant_expiry is not None:
        timestamp(state.grant_expiry)
    state.supersede("x" * 16)
    state.set_condition("Ready", "False", "r", "m", now)
    state.conditions_list()
    assert isinstance(state.generation + 1, int)
    assert state.reuse_grace >= 0 or state.reuse_grace < 0
    if state.identity is not None and state.identity.expiry is not None:
        assert state.identity.expiry < now or state.identity.expiry >= now
    if state.journal is not None:
        assert "/" not in state.journal.id
    assert State.parse(state.to_json().encode()) == state


@given(st.binary(max_size=100))
def test_junk_is_none(data: bytes) -> None:
    assert State.parse(data) is None


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"version": 2}', '{"version": 1, "surprise": 1}', "[" * 90_000])
def test_another_version_or_shape_is_none(text: str) -> None:
    assert State.parse(text.encode()) is None


def test_superseded_tokens_are_remembered_up_to_a_bound() -> None:
    state = State()
    for number in range(700):
        state.supersede(f"{number:016x}")
        state.supersede(f"{number:016x}")
    assert len(state.superseded) == 500
    assert state.superseded[-1] == f"{699:016x}"


def test_a_transition_time_moves_with_the_status_only() -> None:
    state = State()
    state.set_condition("Ready", "True", "a", "m", 1_000_000_000)
    state.set_condition("Ready", "True", "b", "m", 1_000_000_100)
    assert state.conditions["Ready"].last_transition_time == "2001-09-09T01:46:40Z"
    state.set_condition("Ready", "False", "b", "m", 1_000_000_100)
    assert state.conditions["Ready"].last_transition_time == "2001-09-09T01:48:20Z"


def test_what_a_newer_release_has_noted_is_kept() -> None:
    fields = json.loads(FULL.to_json()) | {"lease": {"holder": "x"}}
    state = State.parse(json.dumps(fields).encode())
    assert state is not None
    assert state.generation == FULL.generation
    assert json.loads(state.to_json())["lease"] == {"holder": "x"}


def test_a_back_off_lasts_and_ends() -> None:
    state = State()
    state.begin_cooldown(60.0)
    assert 59 < state.cooldown_left() <= 60
    state.end_cooldown()
    assert state.cooldown_left() == 0


@pytest.mark.parametrize(
    "values",
    [
        {"reuse_grace": math.inf},
        {"reuse_grace": "30"},
        {"rotation": "maybe"},
        {"publishing": "x"},
        {"reuse_grace": True},
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_value_that_makes_no_sense_is_refused_and_nothing_changes(
    store: TokenStore, provider: Provider, path: Path, values: dict[str, Any], dry_run: bool
) -> None:
    store.replace(provider.grant())
    before = tree(path.parent)
    with pytest.raises(TokenKeeperError) as caught:
        store.declare(**values, dry_run=dry_run)
    assert caught.value.reason == "InvalidValue"
    with pytest.raises(TokenKeeperError):
        store.replace(provider.grant(), force=True, **values)
    assert tree(path.parent) == before


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e18, "x"])
def test_a_life_that_is_none_is_refused(store: TokenStore, provider: Provider, path: Path, seconds: Any) -> None:
    store.replace(provider.grant())
    before = tree(path.parent)
    with pytest.raises(TokenKeeperError) as caught:
        store.replace(provider.grant(), force=True, expires_in=seconds)
    assert caught.value.reason == "InvalidValue"
    assert tree(path.parent) == before
