"""A grant that was revoked on purpose: everybody says so at once, asks nobody, and no app brings it back."""

from __future__ import annotations

import time
from pathlib import Path

import google.auth.exceptions
import pytest
from keeper_parts import events_of, push, renewed, state_of, write_in_place
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.errors import ReauthRequired, TokenKeeperError, TokenMissing
from token_keeper.keeper.daemon import Keeper
from token_keeper.lock import DirectoryLock


def revoked(store: TokenStore, provider: Provider) -> None:
    assert store.revoke(provider.revocation_uri).changed
    provider.forms.clear()


def test_every_way_to_a_token_says_it_and_asks_nobody(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    credentials = store.credentials()
    assert store.access_token()
    revoked(store, provider)
    fresh = TokenStore(path)
    for ask in (
        store.access_token, fresh.access_token, fresh.read, fresh.refresh, fresh.snapshot, fresh.credentials,
        lambda: fresh.refresh(force=True), lambda: fresh.refresh(rejected="a token"),
    ):  # fmt: skip
        with pytest.raises(ReauthRequired) as caught:
            ask()
        assert caught.value.reason == "Revoked"
    with pytest.raises(google.auth.exceptions.RefreshError) as refused:
        credentials.before_request(None, "GET", "https://example.test", {})
    assert isinstance(refused.value.__cause__, ReauthRequired)
    assert refused.value.retryable is False
    status = fresh.status()
    assert (status.healthy, status.document["reason"]) == (False, "Revoked")
    condition = next(c for c in status.conditions if c["type"] == "ReauthRequired")
    assert (condition["status"], condition["reason"]) == ("True", "Revoked")
    assert provider.forms == []


def test_a_new_consent_ends_it(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    revoked(store, provider)
    new = provider.grant()
    store.replace(new)
    assert store.access_token() == new.token
    assert state_of(path).conditions["ReauthRequired"].status == "False"


@pytest.mark.parametrize("newer", [False, True])
def test_an_app_that_writes_it_back_is_undone_within_a_look_of_the_keeper(
    store: TokenStore, provider: Provider, path: Path, newer: bool
) -> None:
    old = provider.grant()
    push(store, old)
    revoked(store, provider)
    keeper = Keeper(TokenStore(path))
    keeper.look()
    write_in_place(path, renewed(old, "of the revoked grant", seconds=9000) if newer else old)
    keeper.look()
    assert not path.exists()
    ready, why = keeper.ready()
    assert (ready, why["document"]) == (False, "Revoked")
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert events_of(path)[-1] == "Revoked"
    assert provider.forms == []


@pytest.mark.parametrize("reason", ["Revoked", "Maintenance"])
def test_nobody_is_given_it_while_the_lock_is_busy(
    store: TokenStore, provider: Provider, path: Path, reason: str
) -> None:
    old = provider.grant()
    push(store, old)
    assert store.access_token() == old.token
    store.clear(reason)
    write_in_place(path, renewed(old, "newer", seconds=9000))
    with DirectoryLock(path.parent).hold(1):
        begun = time.monotonic()
        with pytest.raises(ReauthRequired if reason == "Revoked" else TokenMissing):
            store.access_token()
        assert time.monotonic() - begun < 4


def test_a_second_revocation_has_nothing_to_do(store: TokenStore, provider: Provider) -> None:
    push(store, provider.grant())
    revoked(store, provider)
    outcome = store.revoke(provider.revocation_uri)
    assert (outcome.changed, outcome.before) == (False, None)
    assert len(provider.revoked) == 1


def test_one_that_was_cut_short_is_finished(store: TokenStore, provider: Provider, path: Path) -> None:
    """Killed after the provider had confirmed it: there the grant is unknown by now."""
    document = provider.grant()
    push(store, document)
    provider.script.append("invalid_grant")
    assert store.revoke(provider.revocation_uri).changed
    assert not path.exists()


def test_a_provider_without_an_endpoint_is_said_so(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    push(store, document)
    outcome = store.revoke(None)
    assert (outcome.changed, outcome.at_provider) == (True, False)
    assert "lives on" in outcome.as_dict()["warning"]
    assert provider.live == {document.refresh_token}
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert list((path.parent / ".token.json.history").iterdir()) == []


def test_what_never_was_cannot_be_revoked(store: TokenStore) -> None:
    with pytest.raises(TokenKeeperError) as caught:
        store.revoke(None)
    assert isinstance(caught.value, TokenMissing)
