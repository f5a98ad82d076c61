"""The dates on which a grant will die by itself."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from keeper_parts import edit_state, expired, push
from keeper_provider import Provider

from token_keeper import TokenDocument, TokenStore
from token_keeper.deadlines import deadlines_of
from token_keeper.state import State

DAY = 86_400.0


@pytest.fixture
def google(provider: Provider) -> TokenDocument:
    return dataclasses.replace(provider.grant(), token_uri="https://oauth2.googleapis.com/token")


def reasons(state: State, document: TokenDocument) -> dict[str, int]:
    return {found.reason: found.as_dict()["days_left"] for found in deadlines_of(state, document)}


def test_a_grant_of_an_app_in_testing_lives_for_a_week(google: TokenDocument) -> None:
    state = State(granted_at=time.time() - 2 * DAY, publishing="testing")
    assert reasons(state, google) == {"TestingEnds": 4, "Unused": 179}
    assert list(reasons(state, google)) == ["TestingEnds", "Unused"], "the first one first"
    state.publishing = "production"
    assert "TestingEnds" not in reasons(state, google)


def test_identity_scopes_do_not_fall_under_that(google: TokenDocument) -> None:
    state = State(granted_at=time.time(), publishing="testing")
    assert "TestingEnds" not in reasons(state, dataclasses.replace(google, scopes=("openid", "email")))


def test_each_use_puts_the_idle_limit_off(google: TokenDocument) -> None:
    state = State(granted_at=time.time() - 300 * DAY, renewed_at=time.time() - 100 * DAY)
    assert reasons(state, google) == {"Unused": 81}


def test_what_the_provider_says_counts_for_any_provider(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, expired(provider.grant()))
    provider.extra = {"refresh_token_expires_in": 3 * DAY}
    store.access_token()
    (found,) = store.status().deadlines
    assert (found["reason"], found["days_left"]) == ("GrantExpires", 2)
    edit_state(path, grant_expiry=None)
    assert store.status().deadlines == []


def test_it_is_declared_and_kept(store: TokenStore, google: TokenDocument) -> None:
    store.replace(google, publishing="testing")
    assert [found["reason"] for found in store.status().deadlines] == ["TestingEnds", "Unused"]
    assert not store.declare(publishing="testing").changed
    assert store.declare(publishing="production").changed
