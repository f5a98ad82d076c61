"""A push never undoes what it does not know of: each rule, with what it leaves on disk."""

from __future__ import annotations

import dataclasses
import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from keeper_parts import events_of, expired, make_old, on_disk, push, renewed, state_of, tree, write_in_place
from keeper_provider import Provider

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.errors import Conflict, ReauthRequired, StorageError, TokenMissing


def refused(store: TokenStore, document: TokenDocument, reason: str, **options: object) -> None:
    before = tree(store.path.parent)
    with pytest.raises(Conflict) as caught:
        store.replace(document, **options)  # type: ignore[arg-type]
    assert caught.value.reason == reason
    assert caught.value.exit_code == 11
    assert caught.value.remedy
    assert document.refresh_token not in str(caught.value)
    assert tree(store.path.parent) == before, "a conflict changes nothing"


def files(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All files of a folder; a temporary one that came and went shows in the times of the folder alone."""
    return {name: facts for name, facts in tree(folder).items() if Path(name).is_file()}


def test_the_first_document_is_created(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    outcome = store.replace(document)
    assert (outcome.changed, outcome.reason, outcome.generation, outcome.before) == (True, "Created", 1, None)
    assert on_disk(path) == document
    assert outcome.after["fingerprint"] == document.fingerprint


def test_the_same_document_changes_nothing(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    before = tree(path.parent)
    every: list[dict[str, Any]] = [{}, {"expect": 1}, {"expect": 99}, {"force": True}]
    for options in every:
        outcome = store.replace(document, **options)
        assert (outcome.changed, outcome.reason, outcome.generation) == (False, "Unchanged", 1)
    assert tree(path.parent) == before


@pytest.mark.parametrize("late", [-3, 0, 3])
def test_the_same_document_told_in_remaining_seconds_is_the_same(
    store: TokenStore, provider: Provider, late: int
) -> None:
    document = provider.grant()
    store.replace(document, expires_in=3000)
    outcome = store.replace(document, expires_in=3000 + late)
    assert (outcome.changed, outcome.reason) == (False, "Unchanged")


def test_an_expiry_is_told_by_the_receivers_clock(store: TokenStore, provider: Provider, path: Path) -> None:
    wrong_clock = provider.grant(expires_in=-90_000)
    store.replace(wrong_clock, expires_in=3000)
    assert 2995 < on_disk(path).expires_in(time.time()) <= 3000


def test_another_grant_is_a_conflict(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    refused(store, provider.grant(), "DifferentGrant")


def test_another_client_is_a_conflict(store: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document)
    refused(store, dataclasses.replace(document, client_secret="other"), "DifferentGrant")


def test_an_older_access_token_changes_nothing(store: TokenStore, provider: Provider, path: Path) -> None:
    """A play that pushes the same document again, after the kit has renewed it, has nothing to do."""
    document = provider.grant()
    store.replace(document)
    outcome = store.replace(renewed(document, "older", seconds=100))
    assert (outcome.changed, outcome.reason, outcome.generation) == (False, "NewerThere", 1)
    assert on_disk(path) == document


def test_a_newer_access_token_of_the_same_grant_replaces(store: TokenStore, provider: Provider) -> None:
    document = provider.grant(expires_in=600)
    store.replace(document)
    outcome = store.replace(renewed(document, "newer"))
    assert (outcome.reason, outcome.generation) == ("Replaced", 2)


def test_a_superseded_refresh_token_is_a_conflict_whatever_is_there(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    first = provider.grant()
    store.replace(first)
    store.replace(provider.grant(), expect=1)
    refused(store, first, "Superseded")
    refused(store, first, "Superseded", expect=2)
    store.clear()
    refused(store, first, "Superseded")
    outcome = store.replace(first, force=True)
    assert (outcome.reason, outcome.generation) == ("Created", 3)
    assert fingerprint(first.refresh_token) not in state_of(path).superseded


def test_expect_names_the_generation_that_may_go(store: TokenStore, provider: Provider) -> None:
    other = provider.grant()
    refused(store, other, "GenerationChanged", expect=1)
    assert store.replace(provider.grant(), expect=0).reason == "Created"
    refused(store, other, "GenerationChanged", expect=0)
    refused(store, other, "GenerationChanged", expect=2)
    assert store.replace(other, expect=1).generation == 2


def test_expect_zero_fills_a_cleared_volume(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    store.clear()
    outcome = store.replace(provider.grant(), expect=0)
    assert (outcome.reason, outcome.generation) == ("Created", 2)


def test_force_replaces_anything_and_the_generation_still_rises(store: TokenStore, provider: Provider) -> None:
    first = provider.grant()
    store.replace(first)
    store.replace(provider.grant(), force=True)
    outcome = store.replace(first, force=True, expect=77)
    assert (outcome.reason, outcome.generation) == ("Replaced", 3)


def test_a_dead_grant_may_be_replaced_and_the_word_of_it_goes(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, expired(provider.grant()))
    provider.live.clear()
    with pytest.raises(Exception, match="400 invalid_grant"):
        store.access_token()
    fresh = provider.grant()
    assert store.replace(fresh).reason == "Replaced"
    assert store.access_token() == fresh.token
    state = state_of(path)
    assert (state.dead_grant, state.failures, state.cooldown) == (None, 0, None)
    assert state.conditions["ReauthRequired"].status == "False"
    assert store.status().healthy


def test_a_corrupt_document_without_history_may_be_replaced(store: TokenStore, provider: Provider, path: Path) -> None:
    path.write_text("{")
    make_old(path)
    assert store.replace(provider.grant()).reason == "Created"


def test_what_is_known_of_the_provider_is_kept(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document, rotation="yes", reuse_grace=30)
    outcome = store.replace(document, rotation="no")
    assert (outcome.changed, outcome.generation) == (True, 1)
    assert (state_of(path).rotation, state_of(path).reuse_grace) == ("no", 30)
    assert store.replace(document, rotation="no", reuse_grace=30).changed is False


def test_clear_leaves_a_tombstone_and_a_way_back(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    outcome = store.clear("Maintenance")
    assert (outcome.changed, outcome.generation) == (True, 1)
    assert not path.exists()
    with pytest.raises(TokenMissing) as caught:
        store.access_token()
    assert caught.value.reason == "Maintenance"
    before = tree(path.parent)
    assert store.clear().changed is False
    assert tree(path.parent) == before
    assert len(list((path.parent / ".token.json.history").iterdir())) == 1


def test_revoke_takes_the_grant_from_provider_volume_and_history(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    document = provider.grant()
    store.replace(document)
    assert store.revoke(provider.revocation_uri).changed
    assert provider.live == set()
    assert not path.exists()
    assert list((path.parent / ".token.json.history").iterdir()) == []
    write_in_place(path, document)
    with pytest.raises(ReauthRequired) as caught:
        store.refresh()
    assert caught.value.reason == "Revoked"
    assert not path.exists(), "a stock app that writes it back is stopped too"
    refused(store, document, "Superseded")


@pytest.mark.parametrize("case", ["empty", "same", "newer", "other", "forced", "corrupt", "foreign", "cleared"])
def test_a_dry_run_changes_nothing_and_says_what_the_run_then_does(
    store: TokenStore, provider: Provider, path: Path, case: str
) -> None:
    first, other = provider.grant(expires_in=600), provider.grant()
    pushed = other
    options: dict[str, Any] = {}
    if case != "empty":
        store.replace(first)
    if case == "same":
        pushed = first
    elif case == "newer":
        pushed = renewed(first, "newer")
    elif case == "forced":
        options = {"force": True}
    elif case == "corrupt":
        path.write_text('{"half": ')
        make_old(path)
    elif case == "foreign":
        write_in_place(path, renewed(first, "foreign"))
        options = {"expect": 2}
    elif case == "cleared":
        store.clear()
    before = tree(path.parent)

    def attempt(*, dry_run: bool) -> object:
        try:
            outcome = store.replace(pushed, dry_run=dry_run, **options)
        except Conflict as conflict:
            return conflict.reason
        stable = {key: value for key, value in (outcome.before or {}).items() if key != "expires_in"}
        return outcome.changed, outcome.reason, outcome.generation, stable

    foretold = attempt(dry_run=True)
    assert tree(path.parent) == before
    assert attempt(dry_run=False) == foretold


@pytest.mark.parametrize("full_at", [1, 2, 3])
@pytest.mark.parametrize("new_grant", [False, True])
def test_a_disk_that_is_full_is_found_before_anything_is_touched(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int, new_grant: bool
) -> None:
    first = provider.grant()
    store.replace(first)
    before, left, write = files(path.parent), full_at, os.write

    def fill_up(descriptor: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fill_up)
        with pytest.raises(StorageError) as caught:
            store.replace(provider.grant() if new_grant else renewed(first, "newer"), force=True)
    assert caught.value.reason == "NoSpace"
    assert files(path.parent) == before, "history, document and state are as they were, and no temporary file is left"


def test_a_dry_run_of_clear(store: TokenStore, provider: Provider, path: Path) -> None:
    store.replace(provider.grant())
    before = tree(path.parent)
    outcome = store.clear(dry_run=True)
    assert outcome.changed
    assert outcome.before is not None
    assert tree(path.parent) == before
    assert events_of(path) == ["Pushed"]


# -- a copy that an app has renewed


def test_the_next_refresh_token_of_a_copy_is_adopted(store: TokenStore, provider: Provider) -> None:
    """The app has spent the one that the volume has: there is no way back to it."""
    first = provider.grant()
    store.replace(first)
    theirs = renewed(first, "by-the-app", seconds=7200, refresh_token="1//next-one")
    refused(store, theirs, "DifferentGrant")
    assert store.replace(theirs, adopt=True, dry_run=True).changed
    assert store.read() == first
    assert store.replace(theirs, adopt=True).reason == "Replaced"
    assert store.read() == theirs
    with pytest.raises(Conflict, match="no earlier grant"):
        store.rollback()
    refused(store, first, "Superseded", adopt=True)


def test_a_copy_that_is_older_or_somebody_else_s_is_not_adopted(store: TokenStore, provider: Provider) -> None:
    first = provider.grant()
    store.replace(first)
    older = renewed(first, "by-the-app", seconds=60, refresh_token="1//some-one")
    stranger = dataclasses.replace(renewed(first, "x", seconds=7200, refresh_token="1//some-one"), client_id="app-2")
    refused(store, older, "DifferentGrant", adopt=True)
    refused(store, stranger, "DifferentClient", adopt=True)
    assert store.replace(renewed(first, "x", seconds=60), adopt=True).reason == "NewerThere"
    assert store.read() == first
