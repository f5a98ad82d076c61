"""The way back to an earlier grant: one that lives, and never a refresh token that was spent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from keeper_parts import (
    edit_state,
    events_of,
    expired,
    on_disk,
    pendings,
    push,
    renewed,
    state_of,
    state_path,
    write_in_place,
)
from keeper_provider import Provider

from token_keeper import TokenStore, fingerprint
from token_keeper import exchange as exchange_module
from token_keeper import refresh as refresh_module
from token_keeper.errors import Conflict, ProviderUnavailable, ReauthRequired
from token_keeper.history import History
from token_keeper.volume import Volume


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


@pytest.mark.parametrize("earlier", [True, False])
def test_what_was_cleared_comes_back(store: TokenStore, rotating: Provider, path: Path, earlier: bool) -> None:
    if earlier:
        push(store, rotating.grant(), rotation="yes")
    push(store, rotating.grant(), rotation="yes", force=True)
    store.clear()
    assert not path.exists()
    outcome = store.rollback()
    assert on_disk(path).fingerprint == outcome.after["fingerprint"]
    assert on_disk(path).refresh_token in rotating.live
    assert TokenStore(path).access_token() == on_disk(path).token


@pytest.mark.parametrize("then", ["fault", "dead"])
def test_a_way_back_that_fails_forgets_no_outcome_that_is_unknown(
    store: TokenStore, rotating: Provider, path: Path, then: str
) -> None:
    push(store, rotating.grant(), rotation="yes")
    earlier = on_disk(path)
    push(store, expired(rotating.grant()), force=True)
    rotating.script.append("drop_after")
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    if then == "dead":
        rotating.live.discard(earlier.refresh_token)
    else:
        rotating.script.append("fault")
    with pytest.raises((ProviderUnavailable, ReauthRequired)):
        store.rollback()
    asked = len(rotating.forms)
    edit_state(path, cooldown=None)
    with pytest.raises(ReauthRequired) as caught:
        TokenStore(path).access_token()
    assert (caught.value.reason, len(rotating.forms)) == ("ExchangeOutcomeUnknown", asked)


def test_a_reply_that_was_overtaken_does_not_pass_for_the_current_grants(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, rotating.grant(), rotation="yes")
    first = state_of(path).grant
    push(store, rotating.grant(), force=True)
    second, current = state_of(path).grant, on_disk(path)
    theirs = rotating.grant()
    real = refresh_module.request_token

    def meanwhile(*args: Any, **options: Any) -> Any:
        reply = real(*args, **options)
        write_in_place(path, theirs)
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(refresh_module, "request_token", meanwhile)
        store.rollback()
    assert on_disk(path) == theirs
    kept = {entry.grant: entry.document for entry in History(Volume(path)).entries()}
    assert kept[str(second)] == current
    assert kept[str(first)].refresh_token in rotating.live


def test_a_refresh_token_that_a_foreign_program_may_have_spent_is_not_tried(
    store: TokenStore, rotating: Provider, path: Path
) -> None:
    """It renewed the grant, or consented anew: who sends the old one to find out may end the grant that is in use."""
    push(store, rotating.grant())
    before = on_disk(path)
    renewed_by_the_app = rotating.renew({
        "refresh_token": before.refresh_token, "client_id": before.client_id, "client_secret": before.client_secret,
    })[1]  # fmt: skip
    theirs = renewed(before, renewed_by_the_app["access_token"], refresh_token=renewed_by_the_app["refresh_token"])
    write_in_place(path, theirs)
    assert store.access_token() == theirs.token
    assert state_of(path).rotation == "unknown"
    with pytest.raises(Conflict) as caught:
        store.rollback()
    assert caught.value.reason == "NoEarlierGrant"
    assert rotating.forms == []
    assert rotating.live == {theirs.refresh_token}

    store.declare(rotation="no")  # then it can't have been spent
    with pytest.raises(ReauthRequired):
        store.rollback()


def test_nor_after_the_state_was_lost(store: TokenStore, rotating: Provider, path: Path) -> None:
    push(store, rotating.grant())
    before = on_disk(path)
    state_path(path).unlink()
    write_in_place(path, renewed(before, "theirs", refresh_token="theirs"))
    store.access_token()
    with pytest.raises(Conflict):
        store.rollback()
    assert rotating.forms == []


def test_what_a_grant_lives_for_goes_with_it(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    provider.extra = {"refresh_token_expires_in": 7 * 86_400}
    store.refresh(force=True)
    limited = state_of(path).grant_expiry
    assert limited is not None
    provider.extra = {}
    store.replace(provider.grant(), force=True)
    assert state_of(path).grant_expiry is None, "a new consent"
    assert state_of(path).lifetime is None
    store.rollback()
    assert state_of(path).grant_expiry == limited
    write_in_place(path, provider.grant())
    store.access_token()
    assert state_of(path).grant_expiry is None, "a program without the lock has consented anew"


def test_a_renewal_by_an_app_of_its_own_counts_as_use(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    push(store, document)
    assert state_of(path).renewed_at is None
    write_in_place(path, renewed(document, "newer", seconds=7200))
    store.access_token()
    used = state_of(path).renewed_at
    assert used is not None
    assert abs(used - time.time()) < 60
