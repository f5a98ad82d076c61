"""Rotation of a grant: stage, check, promote, converge, retire, or go back; every step may be cut short."""

from __future__ import annotations

import dataclasses
import json
import stat
import threading
from pathlib import Path

import pytest
from keeper_parts import (
    edit_state,
    events_of,
    expired,
    make_old,
    on_disk,
    push,
    renewed,
    state_of,
    state_path,
    tree,
    write_in_place,
)
from keeper_provider import Provider, running_provider

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.doctor import examine
from token_keeper.errors import (
    Conflict,
    PolicyDenied,
    ProviderUnavailable,
    ReauthRequired,
    TokenCorrupt,
    TokenKeeperError,
)
from token_keeper.history import History
from token_keeper.volume import Volume


def staged_path(path: Path) -> Path:
    return path.parent / f".{path.name}.staged"


def grants(path: Path) -> set[str]:
    return {entry.grant for entry in History(Volume(path)).entries()}


def conflict(step: object, *arguments: object, **options: object) -> str:
    assert callable(step)
    with pytest.raises(Conflict) as caught:
        step(*arguments, **options)
    assert caught.value.remedy
    return caught.value.reason


def promoted(store: TokenStore, provider: Provider) -> tuple[TokenDocument, TokenDocument]:
    """A rotation that has gone live: the document before, and the new one."""
    old, new = provider.grant(), provider.grant()
    push(store, old)
    store.rotation.stage(new)
    store.rotation.check(f"{provider.url}/calendar")
    assert store.rotation.promote().reason == "Promoted"
    return old, new


# -- stage


def test_a_staged_document_waits_beside_the_current_one(store: TokenStore, provider: Provider, path: Path) -> None:
    old, new = provider.grant(), provider.grant()
    push(store, old)
    before = (path.read_bytes(), state_path(path).read_bytes())
    outcome = store.rotation.stage(new)
    assert (outcome.changed, outcome.reason, outcome.generation) == (True, "Staged", 1)
    assert (path.read_bytes(), state_path(path).read_bytes()) == before
    assert stat.S_IMODE(staged_path(path).stat().st_mode) == 0o600
    status = store.status()
    assert status.staged is not None
    assert status.rotation_record is not None
    assert status.staged["document"]["refresh_token_fingerprint"] == fingerprint(new.refresh_token)
    assert status.staged["against"] == {"generation": 1, "grant": state_of(path).grant}
    assert (status.staged["reason"], status.staged["by"], status.staged["checked_at"]) == ("reconsent", "test", None)
    assert status.rotation_record["phase"] == "staged"
    assert status.rotation_record["grant_before"] == state_of(path).grant
    assert store.access_token() == old.token
    assert provider.forms == []


def test_the_same_again_changes_nothing_and_another_needs_force(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, provider.grant())
    new, other = provider.grant(), provider.grant()
    store.rotation.stage(new)
    before = tree(path.parent)
    outcome = store.rotation.stage(renewed(new, "newer"))
    assert (outcome.changed, outcome.reason) == (False, "Unchanged")
    assert conflict(store.rotation.stage, other) == "AnotherStaged"
    assert store.rotation.stage(other, force=True, dry_run=True).changed
    assert tree(path.parent) == before
    outcome = store.rotation.stage(other, force=True)
    assert (outcome.changed, outcome.reason) == (True, "Restaged")
    assert outcome.staged is not None
    assert outcome.staged["document"]["refresh_token_fingerprint"] == fingerprint(other.refresh_token)


def test_what_is_staged_has_to_be_of_another_grant_that_may_live(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    old, new = provider.grant(), provider.grant()
    push(store, old)
    push(store, new, force=True)
    assert store.rotation.stage(new).reason == "Current"
    assert conflict(store.rotation.stage, new.with_secret("another")) == "SameGrant"
    assert conflict(store.rotation.stage, old, force=True) == "Superseded"
    assert not staged_path(path).exists()


def test_a_dry_run_of_every_step_changes_nothing(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    before = tree(path.parent)
    assert store.rotation.stage(provider.grant(), dry_run=True).changed
    assert tree(path.parent) == before
    store.rotation.stage(provider.grant())
    before = tree(path.parent)
    assert store.rotation.promote(unchecked=True, dry_run=True).changed
    assert store.rotation.unstage(revocation_uri=provider.revocation_uri, semantics="token", dry_run=True).changed
    assert tree(path.parent) == before
    store.rotation.promote(unchecked=True)
    store.rotation.converged()
    before = tree(path.parent)
    assert store.rotation.retire(revocation_uri=provider.revocation_uri, semantics="token", dry_run=True).changed
    assert store.revoke(provider.revocation_uri, dry_run=True).changed
    assert tree(path.parent) == before
    assert provider.revoked == []


def test_no_way_but_promotion_leads_to_what_is_staged(store: TokenStore, provider: Provider, path: Path) -> None:
    old, new = provider.grant(), provider.grant()
    push(store, old)
    store.rotation.stage(new)
    assert conflict(store.rollback) == "NoEarlierGrant"
    path.write_text("{")
    assert TokenStore(path).refresh().after["refresh_token_fingerprint"] == fingerprint(old.refresh_token)
    state_path(path).unlink()
    assert TokenStore(path).access_token() == old.token
    path.unlink()
    state_path(path).unlink()
    for file in (path.parent / ".token.json.history").iterdir():
        file.unlink()
    with pytest.raises(TokenKeeperError):
        TokenStore(path).refresh()
    assert not path.exists()
    assert provider.forms == []


# -- check


def test_a_check_spends_nothing_and_shows_the_token_in_a_header_alone(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, provider.grant())
    new = provider.grant()
    store.rotation.stage(new)
    outcome = store.rotation.check(f"{provider.url}/calendar?alt=json")
    assert (outcome.changed, outcome.reason) == (True, "Checked")
    assert outcome.staged is not None
    assert outcome.staged["checked_at"] is not None
    assert outcome.rotation_record is not None
    assert outcome.rotation_record["phase"] == "checked"
    asked, headers = provider.gets[0]
    assert asked == "/calendar?alt=json"
    assert headers["Authorization"] == f"Bearer {new.token}"
    assert provider.forms == []
    assert store.rotation.check(f"{provider.url}/tokeninfo", as_form=True).reason == "Checked"
    assert provider.forms == [{"access_token": new.token}]
    assert provider.exchanges == 0
    assert str(new.token) not in (path.parent / ".token.json.events").read_text()


@pytest.mark.parametrize(
    ("place", "as_form", "kind", "reason"),
    [
        ("calendar", False, ReauthRequired, "TokenRefused"),
        ("tokeninfo", True, ReauthRequired, "TokenRefused"),
        ("forbidden", False, PolicyDenied, "TokenForbidden"),
    ],
)
def test_a_refusal_is_told_and_noted(
    store: TokenStore, provider: Provider, place: str, as_form: bool, kind: type[TokenKeeperError], reason: str
) -> None:
    push(store, provider.grant())
    new = provider.grant()
    store.rotation.stage(new)
    store.rotation.check(f"{provider.url}/calendar")
    provider.access_tokens.discard(new.token or "")
    with pytest.raises(kind) as caught:
        store.rotation.check(f"{provider.url}/{place}", as_form=as_form)
    assert caught.value.reason == reason
    assert str(new.token) not in str(caught.value)
    staged = store.status().staged
    assert staged is not None
    assert staged["checked_at"] is None
    assert staged["refusal"] == caught.value.message
    assert conflict(store.rotation.promote) == "Unchecked"


def test_a_check_without_an_answer_leaves_the_earlier_result(store: TokenStore, provider: Provider) -> None:
    push(store, provider.grant())
    store.rotation.stage(provider.grant())
    store.rotation.check(f"{provider.url}/calendar")
    with pytest.raises(ProviderUnavailable):
        store.rotation.check(f"{provider.url}/broken")
    with pytest.raises(ProviderUnavailable):
        store.rotation.check("http://127.0.0.1:1/")
    assert store.rotation.promote().changed


def test_there_has_to_be_something_to_check(store: TokenStore, provider: Provider) -> None:
    push(store, provider.grant())
    assert conflict(store.rotation.check, provider.url) == "NothingStaged"
    store.rotation.stage(expired(provider.grant()))
    assert conflict(store.rotation.check, provider.url) == "StagedExpired"
    assert provider.gets == []


# -- promote


def test_a_promotion_swaps_and_keeps_the_way_back(store: TokenStore, provider: Provider, path: Path) -> None:
    old = provider.grant()
    push(store, old)
    grant = state_of(path).grant
    new = provider.grant()
    store.rotation.stage(new)
    staged = store.status().staged
    assert staged is not None
    assert conflict(store.rotation.promote) == "Unchecked"
    store.rotation.check(f"{provider.url}/calendar")
    outcome = store.rotation.promote()
    assert (outcome.changed, outcome.reason, outcome.generation) == (True, "Promoted", 2)
    assert (on_disk(path), store.access_token()) == (new, new.token)
    assert not staged_path(path).exists()
    state = state_of(path)
    assert state.grant == staged["grant"]
    assert grants(path) == {grant, state.grant}
    record = state.rotation_record
    assert record is not None
    assert (record.phase, record.grant_before, record.grant_after) == ("promoted", grant, state.grant)
    assert (record.generation, record.by, record.mode) == (2, "test", "reconsent")
    before = tree(path.parent)
    assert store.rotation.promote().reason == "AlreadyPromoted"
    assert tree(path.parent) == before
    assert provider.forms == []


def test_an_exchange_in_between_is_no_other_grant(store: TokenStore, rotating: Provider, path: Path) -> None:
    push(store, rotating.grant(), rotation="yes")
    new = rotating.grant()
    store.rotation.stage(new)
    store.refresh(force=True)
    assert store.rotation.promote(unchecked=True).changed
    assert on_disk(path) == new


def test_what_it_was_staged_against_has_to_be_current(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    new = provider.grant()
    store.rotation.stage(new)
    third = provider.grant()
    push(store, third, force=True)
    assert conflict(store.rotation.promote, unchecked=True) == "GrantChanged"
    assert on_disk(path) == third
    store.clear("Revoked")
    assert conflict(store.rotation.promote, unchecked=True) == "GrantChanged"
    assert store.rotation.promote(unchecked=True, force=True).changed
    assert on_disk(path) == new


def test_a_refresh_token_that_was_superseded_meanwhile_does_not_go_live(store: TokenStore, provider: Provider) -> None:
    push(store, provider.grant())
    new = provider.grant()
    store.rotation.stage(new)
    push(store, new, force=True)
    push(store, provider.grant(), force=True)
    assert conflict(store.rotation.promote, unchecked=True, force=True) == "Superseded"


def test_a_staged_file_that_is_broken_is_said_and_can_be_forgotten(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, provider.grant())
    staged_path(path).write_text("{")
    staged_path(path).chmod(0o600)
    for step in (store.rotation.promote, lambda: store.rotation.stage(provider.grant())):
        with pytest.raises(TokenCorrupt) as caught:
            step()
        assert caught.value.reason == "StagedCorrupt"
    status = store.status()
    assert status.staged is not None
    assert status.staged["reason"] == "StagedCorrupt"
    assert [found.message for found in examine(path) if found.level == "error"]
    assert store.rotation.unstage().changed
    assert not staged_path(path).exists()


def test_a_grant_whose_exchange_is_open_is_not_gone_back_to(store: TokenStore, rotating: Provider) -> None:
    push(store, rotating.grant(), rotation="yes")
    rotating.script.append("drop_after")
    with pytest.raises(ProviderUnavailable):
        store.refresh(force=True)
    store.rotation.stage(rotating.grant())
    store.rotation.promote(unchecked=True)
    asked = len(rotating.forms)
    assert conflict(store.rollback) == "NoEarlierGrant"
    assert len(rotating.forms) == asked, "a refresh token that may be spent was sent"


# -- the way back


def test_a_rollback_goes_to_the_grant_of_the_record(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    first = state_of(path).grant
    push(store, provider.grant(), force=True)
    old = on_disk(path)
    store.rotation.stage(provider.grant())
    store.rotation.promote(unchecked=True)
    record = state_of(path).rotation_record
    assert record is not None
    outcome = store.rollback(record.grant_before)
    assert outcome.exchanged
    assert on_disk(path).refresh_token == old.refresh_token
    after = state_of(path)
    assert after.rotation_record is not None
    assert (after.grant, after.rotation_record.phase) == (record.grant_before, "rolled_back")
    again = store.rollback(record.grant_before)
    assert (again.exchanged, provider.exchanges) == (False, 1), "it is done already"
    assert store.rollback(first).exchanged
    assert state_of(path).grant == first
    assert conflict(store.rollback, "feedfeedfeedfeed") == "NoEarlierGrant"
    assert conflict(store.rotation.promote) == "NothingStaged"
    assert conflict(store.rotation.retire) == "NothingPromoted"


@pytest.mark.parametrize("value", [1e300, -1e300, "x", [], float("nan")])
@pytest.mark.parametrize("name", ["started", "checked_at"])
def test_a_time_that_is_none_is_a_broken_file_and_no_crash(
    store: TokenStore, provider: Provider, path: Path, name: str, value: object
) -> None:
    push(store, provider.grant())
    store.rotation.stage(provider.grant())
    fields = json.loads(staged_path(path).read_text())
    (fields["record"] if name == "started" else fields)[name] = value
    staged_path(path).write_text(json.dumps(fields))
    staged = store.status().staged
    assert staged is not None
    assert staged["reason"] == "StagedCorrupt"
    assert store.rotation.unstage().changed


# -- retire


def test_a_grant_is_retired_when_every_consumer_has_left_it(store: TokenStore, provider: Provider, path: Path) -> None:
    old, _ = promoted(store, provider)
    revoke = {"revocation_uri": provider.revocation_uri}
    assert conflict(store.rotation.retire, **revoke, semantics="token") == "NotConverged"
    assert store.rotation.converged().changed
    assert store.rotation.converged().changed is False
    assert conflict(store.rotation.retire, **revoke) == "RevokesWholeGrant"
    assert provider.revoked == []
    outcome = store.rotation.retire(revocation_uri=provider.revocation_uri, semantics="token")
    assert outcome.reason == "Retired"
    assert provider.revoked == [old.refresh_token]
    assert grants(path) == {state_of(path).grant}
    assert fingerprint(old.refresh_token) in state_of(path).superseded
    assert store.rotation.retire(revocation_uri=provider.revocation_uri, semantics="token").changed is False
    assert provider.revoked == [old.refresh_token]
    assert conflict(store.rollback) == "NoEarlierGrant"
    record = store.status().rotation_record
    assert record is not None
    assert record["phase"] == "retired"


def test_without_an_endpoint_it_is_only_forgotten(store: TokenStore, provider: Provider, path: Path) -> None:
    old, new = promoted(store, provider)
    store.rotation.converged()
    assert store.rotation.retire().changed
    assert provider.revoked == []
    assert provider.live == {old.refresh_token, new.refresh_token}
    assert grants(path) == {state_of(path).grant}


def test_a_provider_that_does_not_confirm_leaves_the_way_back(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    promoted(store, provider)
    store.rotation.converged()
    provider.script.append("fault")
    with pytest.raises(ProviderUnavailable):
        store.rotation.retire(revocation_uri=provider.revocation_uri, semantics="token")
    assert len(grants(path)) == 2
    assert store.rotation.retire(revocation_uri=provider.revocation_uri, semantics="token").changed


def test_a_program_that_still_holds_the_old_grant_is_in_the_way(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    old, new = promoted(store, provider)
    write_in_place(path, renewed(old, "theirs", seconds=7200))
    assert store.access_token() == new.token
    store.rotation.converged()
    assert conflict(store.rotation.retire) == "ForeignWriter"
    assert len(grants(path)) == 2
    assert store.rotation.retire(force=True).changed


@pytest.mark.parametrize("whole", [True, False])
def test_what_may_be_of_the_earlier_grant_is_not_revoked_with_it(
    store: TokenStore, rotating: Provider, path: Path, whole: bool
) -> None:
    """Whether a program without the lock has renewed the new grant or the earlier one can't be told."""
    push(store, rotating.grant(), rotation="yes")
    store.rotation.stage(rotating.grant())
    store.rotation.promote(unchecked=True)
    store.refresh(force=True)
    theirs = rotating.grant()
    write_in_place(path, theirs)
    if not whole:
        path.write_text(theirs.to_json()[:-1])
        make_old(path)
    store.access_token()
    assert on_disk(path).refresh_token == theirs.refresh_token
    store.refresh(force=True)
    store.rotation.converged()
    at_provider = {"revocation_uri": rotating.revocation_uri, "semantics": "token"}
    assert conflict(store.rotation.retire, **at_provider) == "ForeignWriter"
    assert rotating.revoked == []
    assert store.rotation.retire().changed


def test_an_app_that_renews_with_the_new_refresh_token_is_not_in_the_way(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    old, new = promoted(store, provider)
    write_in_place(path, renewed(new, "theirs", seconds=7200))
    assert store.access_token() == "theirs"
    store.rotation.converged()
    assert store.rotation.retire(revocation_uri=provider.revocation_uri, semantics="token").changed
    assert provider.revoked == [old.refresh_token]


def test_another_current_grant_ends_the_rotation(store: TokenStore, provider: Provider) -> None:
    promoted(store, provider)
    push(store, provider.grant(), force=True)
    assert conflict(store.rotation.converged) == "GrantChanged"
    assert conflict(store.rotation.retire, force=True) == "GrantChanged"


def test_the_current_refresh_token_is_never_retired(store: TokenStore, provider: Provider, path: Path) -> None:
    _, new = promoted(store, provider)
    store.rotation.converged()
    record = state_of(path).rotation_record
    assert record is not None
    earlier = next(e for e in History(Volume(path)).entries() if e.grant == record.grant_before)
    with store._writer.held() as ledger:
        ledger.history.record(ledger.directory, dataclasses.replace(earlier, document=new))
    assert conflict(store.rotation.retire, force=True) == "CurrentGrant"


# -- unstage


def test_what_is_staged_can_be_forgotten_and_revoked(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    before = path.read_bytes()
    new = provider.grant()
    store.rotation.stage(new)
    assert conflict(store.rotation.unstage, revocation_uri=provider.revocation_uri) == "RevokesWholeGrant"
    assert store.rotation.unstage(revocation_uri=provider.revocation_uri, semantics="token").changed
    assert provider.revoked == [new.refresh_token]
    assert store.rotation.unstage().reason == "NothingStaged"
    assert (path.read_bytes(), staged_path(path).exists()) == (before, False)


# -- among others


def test_rotations_in_a_row_are_not_noticed_by_those_who_read(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, provider.grant())
    stop, failures = threading.Event(), []

    def read() -> None:
        mine = TokenStore(path)
        while not stop.is_set():
            try:
                assert mine.access_token() in provider.access_tokens
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        store.rotation.stage(provider.grant())
        store.rotation.check(f"{provider.url}/calendar")
        store.rotation.promote()
        store.rotation.converged()
        store.rotation.retire(revocation_uri=provider.revocation_uri, semantics="token")
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert (provider.exchanges, len(provider.live), state_of(path).generation) == (0, 1, 21)


def test_the_doctor_tells_of_a_staged_document(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, provider.grant())
    store.rotation.stage(provider.grant())
    found = {finding.message: finding.level for finding in examine(path) if finding.check == "Leftovers"}
    assert found == {"a staged document waits for 0.0 h": "info"}
    fields = json.loads(staged_path(path).read_text())
    fields["record"]["started"] -= 100_000
    staged_path(path).write_text(json.dumps(fields))
    found = {finding.message: finding.level for finding in examine(path) if finding.check == "Leftovers"}
    assert found == {"a staged document waits for 27.8 h": "warning"}
    staged_path(path).chmod(0o644)
    assert any(str(staged_path(path)) in finding.message for finding in examine(path) if finding.check == "Files")


def test_what_is_no_life_of_a_token_is_not_staged(store: TokenStore, provider: Provider, path: Path) -> None:
    with pytest.raises(TokenKeeperError) as caught:
        store.rotation.stage(provider.grant(), expires_in=float("nan"))
    assert caught.value.reason == "InvalidValue"
    assert not staged_path(path).exists()


# -- after a kill, by hand; the sweep of tests/faults kills at every call


def test_a_swap_that_was_not_noted_is_noted_by_the_next_step(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = provider.grant()
    push(store, old)
    granted_at = state_of(path).granted_at
    new = provider.grant()
    store.rotation.stage(new)
    staged, state = staged_path(path).read_bytes(), state_path(path).read_bytes()
    store.rotation.promote(unchecked=True)
    staged_path(path).write_bytes(staged)
    state_path(path).write_bytes(state)
    store.refresh(force=True)  # any writer rolls the swap forward
    assert events_of(path)[-2:] == ["RolledForward", "Refreshed"]
    assert state_of(path).granted_at != granted_at
    status = store.status()
    assert status.staged is None
    assert status.rotation_record is not None
    assert status.rotation_record["phase"] == "promoted"
    assert store.rotation.promote().reason == "AlreadyPromoted"
    assert not staged_path(path).exists()
    record = state_of(path).rotation_record
    assert record is not None
    assert (record.phase, record.refresh_token_before) == ("promoted", fingerprint(old.refresh_token))


def test_a_swap_that_the_check_rolls_forward_needs_no_check_any_more(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, provider.grant())
    new = provider.grant()
    store.rotation.stage(new)
    staged, state = staged_path(path).read_bytes(), state_path(path).read_bytes()
    store.rotation.promote(unchecked=True)
    staged_path(path).write_bytes(staged)
    state_path(path).write_bytes(state)
    outcome = store.rotation.check(f"{provider.url}/calendar")
    assert (outcome.changed, outcome.reason) == (False, "AlreadyPromoted")
    assert store.rotation.promote().reason == "AlreadyPromoted"
    assert store.read().refresh_token == new.refresh_token
    store.rotation.converged()
    assert conflict(store.rotation.check, provider.url) == "NothingStaged"


def test_a_promotion_that_came_no_further_than_the_history_leads_nowhere(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    old = provider.grant()
    push(store, old)
    document, state = path.read_bytes(), state_path(path).read_bytes()
    store.rotation.stage(provider.grant())
    staged = staged_path(path).read_bytes()
    store.rotation.promote(unchecked=True)
    path.write_bytes(document)
    state_path(path).write_bytes(state)
    staged_path(path).write_bytes(staged)
    assert len(grants(path)) == 2
    assert conflict(store.rollback) == "NoEarlierGrant"
    assert store.rotation.unstage().changed
    assert grants(path) == {state_of(path).grant}
    assert store.read().refresh_token == old.refresh_token


# -- what a host can be compared by


def test_two_hosts_with_one_grant_can_be_told_by_their_status(tmp_path: Path) -> None:
    with running_provider(rotation=True) as provider:
        stores = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir(mode=0o700)
            stores.append(TokenStore(tmp_path / name / "token.json"))
        document = provider.grant()
        for store in stores:
            store.replace(document)
        a, b = (store.status().as_dict() for store in stores)
        assert a["document"]["refresh_token_fingerprint"] == b["document"]["refresh_token_fingerprint"]
        stores[0].refresh(force=True)
        a, b = (json.loads(json.dumps(store.status().as_dict())) for store in stores)
        assert b["document"]["refresh_token_fingerprint"] in a["lineage"]["superseded"]
        assert [g["refresh_token_fingerprint"] for g in a["lineage"]["grants"] if g["current"]] == [
            a["document"]["refresh_token_fingerprint"]
        ]


def test_a_record_that_makes_no_sense_costs_nothing_else(store: TokenStore, provider: Provider, path: Path) -> None:
    promoted(store, provider)
    record = json.loads(state_path(path).read_text())["rotation_record"]
    edit_state(path, rotation_record=record | {"phase": "of a later release", "more": 1})
    assert state_of(path).rotation_record is None
    assert store.refresh(force=True).exchanged
    edit_state(path, rotation_record=record | {"more": 1})
    assert state_of(path).rotation_record is not None
