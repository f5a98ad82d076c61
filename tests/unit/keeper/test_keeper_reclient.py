"""A new secret of the client: proved by one exchange, gone back from by another, and never lost with a reply."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from keeper_parts import edit_state, events_of, make_old, on_disk, pendings, push, renewed, state_of, write_in_place
from keeper_provider import Provider

from token_keeper import TokenDocument, TokenStore, exchange
from token_keeper.errors import ClientRejected, Conflict, ProviderUnavailable, ReauthRequired
from token_keeper.ledger import Ledger

NEW = "client-secret-the-second-one-of-the-client"


def client_path(path: Path) -> Path:
    return path.parent / f".{path.name}.client"


@pytest.fixture
def document(store: TokenStore, rotating: Provider) -> TokenDocument:
    """What is in the volume; both secrets are accepted."""
    found = rotating.grant()
    push(store, found, rotation="yes")
    rotating.more_secrets.add(NEW)
    return found


def test_one_exchange_proves_it(store: TokenStore, rotating: Provider, path: Path, document: TokenDocument) -> None:
    grant = state_of(path).grant
    outcome = store.rotation.reclient(NEW, document.client_id)
    assert (outcome.changed, outcome.reason, outcome.generation) == (True, "ClientChanged", 2)
    now = on_disk(path)
    assert (now.client_secret, now.client_id) == (NEW, document.client_id)
    assert now.refresh_token in rotating.live
    assert now.token in rotating.access_tokens
    assert [form["client_secret"] for form in rotating.forms] == [NEW]
    state = state_of(path)
    record = state.rotation_record
    assert record is not None
    assert (record.mode, record.phase, record.by) == ("client", "promoted", "test")
    assert record.grant_before == record.grant_after == state.grant == grant
    assert record.client_change == (document.client_fingerprint, now.client_fingerprint)
    assert (events_of(path)[-1], state.journal, state.rotation_begun) == ("ClientChanged", None, None)
    assert store.rotation.reclient(NEW).changed is False
    assert rotating.exchanges == 1
    assert client_path(path).stat().st_mode & 0o777 == 0o600
    assert store.rotation.converged().changed
    assert store.rotation.retire().changed
    assert not client_path(path).exists()
    assert rotating.revoked == []
    assert store.refresh(force=True).exchanged


def test_a_secret_that_is_refused_leaves_everything_as_it_was(
    store: TokenStore, rotating: Provider, path: Path, document: TokenDocument
) -> None:
    before = path.read_bytes()
    with pytest.raises(ClientRejected):
        store.rotation.reclient("no such secret")
    state = state_of(path)
    assert path.read_bytes() == before
    assert (state.failures, state.cooldown, state.journal, state.rotation_begun) == (0, None, None, None)
    assert state.rotation_record is None
    assert not client_path(path).exists()
    assert (pendings(path), rotating.exchanges, state.generation) == ([], 0, 1)
    assert events_of(path)[-1] == "ClientRefused"
    assert store.refresh(force=True).exchanged
    assert on_disk(path).client_secret == document.client_secret


@pytest.mark.parametrize(
    ("script", "kind"),
    [("invalid_grant", ReauthRequired), ("busy", ProviderUnavailable), ("policy", Exception)],
)
def test_nor_does_any_other_answer_that_spends_nothing(
    store: TokenStore,
    rotating: Provider,
    path: Path,
    document: TokenDocument,
    script: str,
    kind: type[Exception],
) -> None:
    rotating.script.append(script)
    with pytest.raises(kind):
        store.rotation.reclient(NEW)
    state = state_of(path)
    assert (on_disk(path), state.dead_grant, state.cooldown, state.journal) == (document, None, None, None)
    assert "ReauthRequired" not in {c["type"] for c in state.conditions_list() if c["status"] == "True"}


def test_a_secret_of_another_client_is_no_new_secret(store: TokenStore, rotating: Provider, document: object) -> None:
    with pytest.raises(Conflict) as caught:
        store.rotation.reclient(NEW, "another client")
    assert caught.value.reason == "OtherClient"
    assert rotating.forms == []


def test_a_dry_run_asks_nobody(store: TokenStore, rotating: Provider, path: Path, document: object) -> None:
    before = path.read_bytes()
    outcome = store.rotation.reclient(NEW, dry_run=True)
    assert (outcome.changed, outcome.reason) == (True, "ClientChanged")
    assert (path.read_bytes(), rotating.forms, client_path(path).exists()) == (before, [], False)


def test_the_way_back_is_another_exchange(
    store: TokenStore, rotating: Provider, path: Path, document: TokenDocument
) -> None:
    with pytest.raises(Conflict) as caught:
        store.rotation.reclient(None)
    assert caught.value.reason == "NoEarlierClient"
    store.rotation.reclient(NEW)
    outcome = store.rotation.reclient(None)
    assert outcome.reason == "ClientRolledBack"
    assert on_disk(path).client_secret == document.client_secret
    assert on_disk(path).refresh_token in rotating.live
    record = state_of(path).rotation_record
    assert record is not None
    assert record.phase == "rolled_back"
    assert not client_path(path).exists()
    assert store.rotation.reclient(None).changed is False
    assert rotating.exchanges == 2


def test_a_refused_third_secret_leaves_the_way_back_to_the_first(
    store: TokenStore, rotating: Provider, path: Path, document: TokenDocument
) -> None:
    store.rotation.reclient(NEW)
    with pytest.raises(ClientRejected):
        store.rotation.reclient("no such secret")
    assert store.rotation.reclient(None).reason == "ClientRolledBack"
    assert on_disk(path).client_secret == document.client_secret


def test_no_way_back_once_the_old_secret_is_dead(
    store: TokenStore, rotating: Provider, path: Path, document: TokenDocument
) -> None:
    store.rotation.reclient(NEW)
    rotating.client = (rotating.client[0], NEW)
    with pytest.raises(ClientRejected):
        store.rotation.reclient(None)
    assert on_disk(path).client_secret == NEW
    record = state_of(path).rotation_record
    assert record is not None
    assert record.phase == "promoted"


def test_a_reply_that_is_rolled_forward_has_the_new_secret(
    store: TokenStore, rotating: Provider, path: Path, document: TokenDocument
) -> None:
    exchange.prepare()
    child = os.fork()
    if child == 0:
        Ledger.take_reply = lambda *_, **__: os._exit(0)  # type: ignore[method-assign]
        store.rotation.reclient(NEW)
    assert os.waitpid(child, 0)[1] == 0
    assert on_disk(path) == document
    assert TokenStore(path).refresh(rejected=document.token).exchanged is False
    now = on_disk(path)
    assert (now.client_secret, now.refresh_token in rotating.live) == (NEW, True)
    record = state_of(path).rotation_record
    assert record is not None
    assert (record.phase, record.client_change) == (
        "promoted",
        (document.client_fingerprint, now.client_fingerprint),
    )
    assert store.rotation.reclient(NEW).changed is False
    assert rotating.exchanges == 1


def test_a_lost_reply_is_not_tempted(
    store: TokenStore, rotating: Provider, path: Path, document: TokenDocument
) -> None:
    rotating.script.append("drop_after")
    with pytest.raises(ProviderUnavailable):
        store.rotation.reclient(NEW)
    assert on_disk(path) == document
    begun, journal = state_of(path).rotation_begun, state_of(path).journal
    assert begun is not None
    assert journal is not None
    assert (begun.id, begun.client_after) == (journal.id, document.with_secret(NEW).client_fingerprint)
    edit_state(path, cooldown=None)
    with pytest.raises(ReauthRequired) as caught:
        store.rotation.reclient(NEW)
    assert caught.value.reason == "ExchangeOutcomeUnknown"
    assert len(rotating.forms) == 1
    assert store.access_token() == document.token


def test_without_rotation_a_lost_reply_is_asked_for_again(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant(), rotation="no")
    provider.more_secrets.add(NEW)
    provider.script.append("drop_after")
    with pytest.raises(ProviderUnavailable):
        store.rotation.reclient(NEW)
    assert store.rotation.reclient(NEW, force=True).changed
    assert on_disk(path).client_secret == NEW


def test_the_back_off_of_a_dead_secret_does_not_hold_up_the_new_one(
    store: TokenStore, rotating: Provider, path: Path, document: object
) -> None:
    rotating.client = (rotating.client[0], NEW)
    with pytest.raises(ClientRejected):
        store.refresh(force=True)
    assert state_of(path).cooldown_left() > 0
    assert store.rotation.reclient(NEW).changed
    assert state_of(path).cooldown_left() == 0


@pytest.mark.parametrize("renews", [True, False])
def test_an_app_with_the_old_secret_in_memory_does_not_bring_it_back(
    store: TokenStore, provider: Provider, path: Path, renews: bool
) -> None:
    old = provider.grant()
    push(store, old, rotation="no")
    provider.more_secrets.add(NEW)
    store.rotation.reclient(NEW)
    current = on_disk(path)
    theirs = renewed(old, "theirs", seconds=7200) if renews else current.with_secret(old.client_secret)
    write_in_place(path, theirs)
    make_old(path)
    store.refresh(min_valid=0)
    assert on_disk(path).token == theirs.token
    assert on_disk(path).client_secret == NEW
    store.rotation.converged()
    with pytest.raises(Conflict) as caught:
        store.rotation.retire()
    assert caught.value.reason == "ForeignWriter"
    assert store.rotation.retire(force=True).changed


def test_an_app_whose_write_is_refused_holds_the_old_secret_all_the_same(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    old = provider.grant()
    push(store, old, rotation="no")
    provider.more_secrets.add(NEW)
    store.rotation.reclient(NEW)
    current = on_disk(path)
    write_in_place(path, renewed(old, "older", seconds=60))
    make_old(path)
    store.refresh(min_valid=0)
    assert on_disk(path) == current
    assert events_of(path)[-2:] == ["OldClientWritten", "ForeignWriteRefused"]
    store.rotation.converged()
    with pytest.raises(Conflict) as caught:
        store.rotation.retire()
    assert caught.value.reason == "ForeignWriter"
