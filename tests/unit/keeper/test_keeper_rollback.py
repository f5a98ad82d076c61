"""The way back to an earlier grant: one that lives, and never a refresh token that was spent."""

from __future__ import annotations

from pathlib import Path

import pytest
from keeper_parts import events_of, expired, on_disk, pendings, push, state_of
from keeper_provider import Provider

from token_keeper import TokenStore, fingerprint
from token_keeper import exchange as exchange_module
from token_keeper.errors import Conflict, ProviderUnavailable, ReauthRequired


def test_the_way_back_leads_to_the_last_grant_that_lives(store: TokenStore, rotating: Provider, path: Path) -> None:
    push(store, rotating.grant(), rotation="yes")
    store.refresh(force=True)
    good = on_disk(path)
    granted_at = state_of(path).granted_at
    push(store, rotating.grant(), force=True)
    dead = on_disk(path)
    rotating.live.discard(dead.refresh_token)
    push(store, rotating.grant(), force=True)
    newest = on_disk(path)
    outcome = store.rollback()
    now = on_disk(path)
    assert outcome.exchanged
    assert outcome.generation == 5
    assert now.refresh_token in rotating.live
    assert now.refresh_token not in {good.refresh_token, dead.refresh_token, newest.refresh_token}
    assert state_of(path).granted_at == granted_at
    assert fingerprint(newest.refresh_token) in state_of(path).superseded
    assert events_of(path)[-2:] == ["EarlierGrantDead", "RolledBack"]
    assert (pendings(path), state_of(path).journal) == ([], None)
    assert TokenStore(path).access_token() == now.token


def test_and_forward_again(store: TokenStore, provider: Provider, path: Path) -> None:
    first = provider.grant()
    push(store, first)
    second = provider.grant()
    push(store, second, force=True)
    store.rollback()
    assert on_disk(path).refresh_token == first.refresh_token
    store.rollback()
    assert on_disk(path).refresh_token == second.refresh_token


def test_without_an_earlier_grant_nothing_changes(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    before = path.read_bytes()
    with pytest.raises(Conflict) as caught:
        store.rollback()
    assert caught.value.reason == "NoEarlierGrant"
    assert (path.read_bytes(), provider.forms) == (before, [])


def test_dead_grants_leave_the_document_and_what_is_known_of_it(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, provider.grant())
    provider.live.clear()
    push(store, provider.grant(), force=True)
    before, generation = path.read_bytes(), state_of(path).generation
    with pytest.raises(ReauthRequired) as caught:
        store.rollback()
    assert caught.value.reason == "EarlierGrantsDead"
    assert (path.read_bytes(), state_of(path).generation, state_of(path).dead_grant) == (before, generation, None)
    assert store.status().healthy
    with pytest.raises(Conflict):
        store.rollback()


def test_a_provider_that_is_away_changes_nothing(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    push(store, provider.grant(), force=True)
    before = path.read_bytes()
    provider.script.append("fault")
    with pytest.raises(ProviderUnavailable):
        store.rollback()
    assert path.read_bytes() == before
    assert store.access_token() == on_disk(path).token


def test_a_reply_to_it_that_its_process_did_not_live_to_install_is_rolled_forward(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, rotating.grant(), rotation="yes")
    push(store, rotating.grant(), force=True)
    real = exchange_module.request_token

    class Killed(BaseException):
        """The process ends here."""

    def killed(*args: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("token_keeper.ledger.Ledger.take_reply", killed)
        with pytest.raises(Killed):
            store.rollback()
    assert real is exchange_module.request_token
    token = TokenStore(path).refresh().after["fingerprint"]
    assert on_disk(path).fingerprint == token
    assert on_disk(path).refresh_token in rotating.live
    assert "RolledBack" in events_of(path)
    assert len(rotating.forms) == 1


def test_after_a_dead_grant_the_way_back_makes_things_well(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    dead = expired(provider.grant())
    push(store, dead, force=True)
    provider.live.discard(dead.refresh_token)
    with pytest.raises(ReauthRequired):
        store.access_token()
    store.rollback()
    assert store.status().healthy
    assert TokenStore(path).access_token() in provider.access_tokens
