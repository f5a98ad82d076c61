"""The steps of a rotation against the sandbox, which behaves as Google documents, and as a provider that rotates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox_provider.testing import Sandbox
from token_keeper import TokenDocument, TokenStore
from token_keeper.errors import ClientRejected, Conflict, ReauthRequired


def granted(sandbox: Sandbox) -> TokenDocument:
    return TokenDocument.parse(json.dumps(sandbox.issue_token()))


@pytest.fixture(params=[False, True], ids=["keeps", "rotates"])
def store(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> TokenStore:
    sandbox.settings(rotation=request.param)
    found = TokenStore(tmp_path / "token.json")
    found.replace(granted(sandbox), rotation="yes" if request.param else "no")
    return found


def test_a_new_grant_and_the_end_of_the_earlier_one(store: TokenStore, sandbox: Sandbox) -> None:
    sandbox.settings(revoke_whole_grant=False)
    old = store.read()
    store.rotation.stage(granted(sandbox))
    store.rotation.check(f"{sandbox.calendar_endpoint}users/me/calendarList")
    store.rotation.promote()
    store.refresh(force=True)
    store.rotation.converged()
    store.rotation.retire(revocation_uri=sandbox.revocation_uri, semantics="token")
    assert sandbox.accepts(store.access_token())
    assert not sandbox.accepts(old.token or "")
    store.refresh(force=True)


def test_where_a_revocation_takes_everything_along_the_earlier_grant_is_only_forgotten(
    store: TokenStore, sandbox: Sandbox
) -> None:
    sandbox.settings(revoke_whole_grant=True)
    store.rotation.stage(granted(sandbox))
    store.rotation.promote(unchecked=True)
    store.rotation.converged()
    with pytest.raises(Conflict) as caught:
        store.rotation.retire(revocation_uri=sandbox.revocation_uri)
    assert caught.value.reason == "RevokesWholeGrant"
    store.rotation.retire()
    store.refresh(force=True)
    assert sandbox.accepts(store.access_token())


def test_a_staged_grant_that_was_withdrawn_does_not_go_live(store: TokenStore, sandbox: Sandbox) -> None:
    sandbox.settings(revoke_whole_grant=False)
    new = granted(sandbox)
    store.rotation.stage(new)
    store.rotation.unstage(revocation_uri=sandbox.revocation_uri, semantics="token")
    assert not sandbox.accepts(new.token or "")
    store.rotation.stage(new)
    with pytest.raises(ReauthRequired):
        store.rotation.check(f"{sandbox.calendar_endpoint}users/me/calendarList")
    with pytest.raises(Conflict):
        store.rotation.promote()
    store.refresh(force=True)


def test_a_new_secret_beside_the_old_one_and_back(store: TokenStore, sandbox: Sandbox) -> None:
    first = sandbox.secrets()[0]["secret_id"]
    old = store.read().client_secret
    added = sandbox.add_secret()
    try:
        assert store.rotation.reclient(added["client_secret"], sandbox.client.client_id).changed
        assert store.rotation.reclient(None).reason == "ClientRolledBack"
        assert store.read().client_secret == old
        assert store.rotation.reclient(added["client_secret"]).changed
        sandbox.enable_secret(first, enabled=False)
        store.refresh(force=True)
        with pytest.raises(ClientRejected):
            store.rotation.reclient(None)
        store.rotation.converged()
        store.rotation.retire()
        store.refresh(force=True)
        assert sandbox.accepts(store.access_token())
    finally:
        sandbox.enable_secret(first)
        sandbox.remove_secret(added["secret_id"])


def test_a_revocation_stops_everybody(store: TokenStore, sandbox: Sandbox) -> None:
    asked = sandbox.counters()
    token = store.access_token()
    assert store.revoke(sandbox.revocation_uri).at_provider
    assert not sandbox.accepts(token)
    with pytest.raises(ReauthRequired):
        TokenStore(store.path).access_token()
    assert sandbox.counters()["requests"]["token"] == asked["requests"]["token"]
