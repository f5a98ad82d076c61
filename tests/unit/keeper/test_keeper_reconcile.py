"""What is found under the lock: foreign writes, lost side files, and work that a dead writer had begun."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from keeper_parts import (
    edit_state,
    events_of,
    expired,
    make_old,
    on_disk,
    pendings,
    push,
    renewed,
    state_of,
    state_path,
    tree,
    write_in_place,
)  # fmt: skip
from keeper_provider import Provider

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.clock import Instant
from token_keeper.errors import ReauthRequired, StorageError, TokenCorrupt, TokenMissing
from token_keeper.state import Journal


def reconcile(store: TokenStore) -> None:
    """Open the volume under the lock, by a call that asks nobody as long as the token is fresh."""
    store.refresh()


# -- foreign writers


def test_a_foreign_refresh_is_adopted_as_a_new_generation(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    theirs = renewed(document, "theirs", seconds=4000)
    write_in_place(path, theirs)
    reconcile(store)
    assert (state_of(path).generation, on_disk(path)) == (2, theirs)
    assert path.stat().st_mode & 0o777 == 0o600, "its careless mode is mended"
    assert events_of(path)[-1] == "Adopted"
    assert store.snapshot().generation == 2
    assert provider.forms == []


def test_a_foreign_consent_is_adopted_and_the_grant_before_it_stays_in_the_history(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    first, second = provider.grant(), provider.grant()
    store.replace(first)
    write_in_place(path, second)
    reconcile(store)
    state = state_of(path)
    assert (state.generation, on_disk(path)) == (2, second)
    assert fingerprint(first.refresh_token) in state.superseded
    kept = [json.loads(file.read_text())["document"] for file in (path.parent / ".token.json.history").iterdir()]
    assert {document["refresh_token"] for document in kept} == {first.refresh_token, second.refresh_token}


def test_a_superseded_refresh_token_is_refused_and_mended(store: TokenStore, provider: Provider, path: Path) -> None:
    old, new = provider.grant(), provider.grant()
    store.replace(old)
    store.replace(new, expect=1)
    write_in_place(path, renewed(old, "written back", seconds=9000))
    reconcile(store)
    assert (state_of(path).generation, on_disk(path)) == (2, new)
    assert events_of(path)[-1] == "ForeignWriteRefused"


def test_an_older_access_token_is_refused_and_mended(store: TokenStore, provider: Provider, path: Path) -> None:
    old = provider.grant(expires_in=900)
    store.replace(old)
    new = renewed(old, "newer")
    store.replace(new)
    write_in_place(path, old)
    reconcile(store)
    assert (state_of(path).generation, on_disk(path)) == (2, new)


@pytest.mark.parametrize("junk", [b"", b"{", b"\x00" * 900, b"x" * 100_000, b'{"token": "half'])
def test_junk_is_mended_from_the_history(store: TokenStore, provider: Provider, path: Path, junk: bytes) -> None:
    document = provider.grant()
    store.replace(document)
    path.write_bytes(junk)
    make_old(path)
    assert store.access_token() == document.token
    assert on_disk(path) == document
    assert (state_of(path).generation, events_of(path)[-1]) == (1, "Mended")


def test_junk_without_a_history_is_corrupt(store: TokenStore, path: Path) -> None:
    path.write_bytes(b'{"token": "canary')
    make_old(path)
    before = tree(path.parent)
    for ask in (store.access_token, store.refresh, store.read):
        with pytest.raises(TokenCorrupt) as caught:
            ask()
        assert "canary" not in str(caught.value)
    assert tree(path.parent) == before


def test_a_writer_in_the_midst_of_its_write_is_given_time(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in ("ledger", "volume"):
        monkeypatch.setattr(f"token_keeper.{where}.SETTLE", 20.0)
    document = provider.grant()
    store.replace(document)
    theirs = renewed(document, "theirs", seconds=4000)
    path.write_bytes(b"")

    def finish() -> None:
        time.sleep(0.15)
        path.write_text(theirs.to_json())

    thread = threading.Thread(target=finish)
    thread.start()
    reconcile(store)
    thread.join()
    assert on_disk(path) == theirs
    assert events_of(path)[-1] == "Adopted"


@pytest.mark.parametrize("kind", ["directory", "symlink"])
def test_what_is_no_file_is_told_and_left(store: TokenStore, provider: Provider, path: Path, kind: str) -> None:
    store.replace(provider.grant())
    path.unlink()
    if kind == "directory":
        path.mkdir()
        (path / "precious").write_text("x")
    else:
        path.symlink_to("/etc/hostname")
    before = tree(path.parent)
    with pytest.raises(TokenCorrupt) as caught:
        store.access_token()
    assert caught.value.reason == "NotAFile"
    assert tree(path.parent) == before


@pytest.mark.parametrize("kind", ["directory", "symlink", "fifo", "socket"])
def test_what_is_no_file_is_never_replaced_or_removed(
    store: TokenStore, provider: Provider, path: Path, kind: str
) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to("elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, 0o600 | stat.S_IFSOCK)
    before = tree(path.parent)
    for attempt in (
        lambda: store.replace(provider.grant()),
        lambda: store.replace(provider.grant(), force=True),
        store.clear,
    ):
        with pytest.raises(TokenCorrupt) as caught:
            attempt()
        assert caught.value.reason == "NotAFile"
    assert tree(path.parent) == before


def test_a_careless_mode_alone_is_mended(store: TokenStore, provider: Provider, path: Path) -> None:
    store.replace(provider.grant())
    path.chmod(0o644)
    reconcile(store)
    assert path.stat().st_mode & 0o777 == 0o600
    assert state_of(path).generation == 1


def test_what_was_cleared_and_is_written_back_goes_again(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    store.clear()
    write_in_place(path, renewed(document, "stock app", seconds=4000))
    with pytest.raises(TokenMissing):
        reconcile(store)
    assert not path.exists()
    anew = provider.grant()
    write_in_place(path, anew)
    reconcile(store)
    assert (on_disk(path), state_of(path).tombstone) == (anew, None)


# -- lost and broken side files


@pytest.mark.parametrize("loss", ["missing", "empty", "junk", "directory", "another version"])
def test_the_generation_never_falls_when_the_state_is_lost(
    store: TokenStore, provider: Provider, path: Path, loss: str
) -> None:
    document = provider.grant()
    for number in range(5):
        document = renewed(document, f"t{number}", seconds=3000 + number)
        store.replace(document)
    lose(state_path(path), loss)
    if loss == "directory":
        with pytest.raises(StorageError):
            reconcile(store)
        assert store.access_token() == document.token
        return
    reconcile(store)
    assert state_of(path).generation > 5
    assert on_disk(path) == document
    assert events_of(path)[-1] == "LineageRestored"


def lose(side_file: Path, loss: str) -> None:
    if loss == "empty":
        side_file.write_text("")
    elif loss == "junk":
        side_file.write_bytes(os.urandom(900))
    elif loss == "another version":
        side_file.write_text(side_file.read_text().replace('"version": 1', '"version": 9'))
    else:
        side_file.unlink()
        if loss == "directory":
            side_file.mkdir()


def test_nor_when_the_history_is_lost_with_it(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    for number in range(5):
        document = renewed(document, f"t{number}", seconds=3000 + number)
        store.replace(document)
    state_path(path).unlink()
    shutil.rmtree(path.parent / ".token.json.history")
    reconcile(store)
    assert state_of(path).generation == 6, "the events remember it"


def test_nor_when_half_a_state_is_all_there_is(store: TokenStore, provider: Provider, path: Path) -> None:
    store.replace(provider.grant())
    edit_state(path, generation=41)
    text = state_path(path).read_text()
    shutil.rmtree(path.parent / ".token.json.history")
    (path.parent / ".token.json.events").unlink()
    state_path(path).write_text(text[: len(text) // 2])
    reconcile(store)
    assert state_of(path).generation == 42


def test_junk_is_mended_although_the_state_is_lost(store: TokenStore, provider: Provider, path: Path) -> None:
    old, new = provider.grant(), provider.grant()
    store.replace(old)
    store.replace(new, expect=1)
    state_path(path).unlink()
    path.write_text("{")
    make_old(path)
    assert store.access_token() == new.token
    assert state_of(path).generation == 3


def test_a_superseded_token_is_refused_although_the_state_is_lost(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    old, new = provider.grant(), provider.grant()
    store.replace(old)
    store.replace(new, expect=1)
    state_path(path).unlink()
    write_in_place(path, renewed(old, "written back", seconds=9000))
    reconcile(store)
    assert on_disk(path) == new


def test_a_document_that_was_there_first_begins_the_lineage(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    write_in_place(path, document)
    reconcile(store)
    assert (state_of(path).generation, on_disk(path)) == (1, document)


def test_an_empty_volume_stays_empty(store: TokenStore, path: Path) -> None:
    for ask in (store.access_token, store.read, store.refresh):
        with pytest.raises(TokenMissing) as caught:
            ask()
        assert caught.value.reason == "NoDocument"
    assert list(path.parent.iterdir()) == []


# -- work that was begun


def rotated(document: TokenDocument, name: str) -> TokenDocument:
    return renewed(document, f"access-{name}", refresh_token=f"refresh-{name}")


def begin(path: Path, document: TokenDocument, *, outcome: str = "open", identifier: str = "a1") -> Path:
    """Leave what a writer leaves that died while it waited for the provider."""
    state = state_of(path)
    identifier += fingerprint(document.refresh_token)
    journal = Journal(
        identifier, Instant.now(), document.fingerprint, fingerprint(document.refresh_token), state.generation + 1
    )
    edit_state(path, journal=dataclasses.asdict(journal) | {"outcome": outcome})
    pending = path.parent / f".token.json.pending.{identifier}"
    pending.write_bytes(b"\n" * 100)
    return pending


@pytest.mark.parametrize("outcome", ["open", "no_reply", "server_error"])
@pytest.mark.parametrize("padding", [b"", b"\n" * 5000])
def test_a_complete_reply_is_rolled_forward(
    store: TokenStore, provider: Provider, path: Path, outcome: str, padding: bytes
) -> None:
    document = expired(provider.grant())
    push(store, document)
    reply = rotated(document, "new")
    begin(path, document, outcome=outcome).write_bytes(reply.to_json().encode() + padding)
    assert store.access_token() == reply.token
    state = state_of(path)
    assert (state.generation, state.journal, state.exchanges) == (2, None, 1)
    assert fingerprint(document.refresh_token) in state.superseded
    assert on_disk(path) == reply
    assert pendings(path) == []
    assert provider.forms == [], "the provider is not asked again"


def test_a_reply_is_rolled_forward_although_the_document_is_gone_or_spoiled(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    for spoil in (path.unlink, lambda: path.write_text("{")):
        document = expired(provider.grant())
        push(store, document, force=True)
        reply = rotated(document, os.urandom(4).hex())
        begin(path, document).write_text(reply.to_json())
        spoil()
        assert store.access_token() == reply.token


def test_half_a_reply_is_none_and_is_kept(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    push(store, document)
    pending = begin(path, document)
    pending.write_text(rotated(document, "new").to_json()[:100])
    reconcile(store)
    assert on_disk(path) == document
    assert pending.exists()


def test_a_reply_that_comes_after_the_next_writer_looked_is_rolled_forward_by_the_one_after(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    document = provider.grant()
    push(store, document)
    pending = begin(path, document)
    reconcile(store)
    reply = rotated(document, "late")
    pending.write_text(reply.to_json())
    reconcile(store)
    assert on_disk(path) == reply


def test_the_reply_of_an_earlier_attempt_serves_when_the_replay_brought_none(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    document = provider.grant()
    push(store, document)
    earlier = begin(path, document, identifier="a1")
    begin(path, document, outcome="no_reply", identifier="b2")
    reply = rotated(document, "late")
    earlier.write_text(reply.to_json())
    reconcile(store)
    assert on_disk(path) == reply


def test_a_reply_in_a_replacement_that_was_not_renamed_serves(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    """The reserved file's flush failed, a new file took the reply, and the writer died before its rename."""
    document = provider.grant()
    push(store, document)
    pending = begin(path, document)
    reply = rotated(document, "late")
    (path.parent / f"{pending.name}.tmp-0123456789abcdef").write_text(reply.to_json())
    reconcile(store)
    assert on_disk(path) == reply


def test_a_new_consent_is_not_overwritten_by_an_old_grants_reply(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    document = provider.grant()
    push(store, document)
    reply = rotated(document, "late")
    begin(path, document).write_text(reply.to_json())
    consented = provider.grant()
    write_in_place(path, consented)
    reconcile(store)
    assert on_disk(path) == consented
    assert pendings(path) == []
    kept = [json.loads(file.read_text())["document"] for file in (path.parent / ".token.json.history").iterdir()]
    assert reply.refresh_token in {entry["refresh_token"] for entry in kept}, "the reply's grant may live on"


def test_a_reply_does_not_bring_back_what_was_cleared(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    push(store, document)
    pending = begin(path, document, outcome="no_reply")
    store.clear()
    pending.write_text(rotated(document, "late").to_json())
    with pytest.raises(TokenMissing):
        store.access_token()
    with pytest.raises(TokenMissing):
        reconcile(store)
    assert not path.exists()


def test_a_reply_over_a_superseded_token_that_was_written_back(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    old, document = provider.grant(), provider.grant()
    store.replace(old)
    push(store, document, expect=1)
    reply = rotated(document, "new")
    begin(path, document).write_text(reply.to_json())
    write_in_place(path, old)
    reconcile(store)
    assert on_disk(path) == reply


def test_a_late_reply_does_not_undo_a_newer_access_token(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant(expires_in=500)
    push(store, document)
    begin(path, document).write_text(renewed(document, "late", seconds=1000).to_json())
    newer = renewed(document, "newer", seconds=4000)
    write_in_place(path, newer)
    reconcile(store)
    assert on_disk(path) == newer


def test_a_reply_is_rolled_forward_although_the_state_is_lost(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    document = provider.grant(expires_in=500)
    push(store, document)
    reply = rotated(document, "new")
    begin(path, document).write_text(reply.to_json())
    state_path(path).unlink()
    reconcile(store)
    assert on_disk(path) == reply
    assert state_of(path).generation == 2


def test_a_mere_rewrite_does_not_settle_a_lost_exchange(store: TokenStore, provider: Provider, path: Path) -> None:
    """An app that writes the same tokens back proves nothing of the refresh token that may be spent."""
    document = provider.grant()
    push(store, document)
    begin(path, document, outcome="no_reply")
    write_in_place(path, dataclasses.replace(document, account="rewritten@example.test"))
    reconcile(store)
    assert state_of(path).generation == 2
    assert state_of(path).journal is not None
    write_in_place(path, renewed(document, "really new", seconds=4000))
    reconcile(store)
    assert state_of(path).journal is None


class Crash(BaseException):
    """The process dies here."""


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int, work: Callable[[], Any]) -> bool:
    """Do ``work`` until the ``step``-th call that changes something on disk; return whether it got through."""
    count = 0

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                raise Crash
            if count > step:
                raise AssertionError("the dead do nothing more")
            return real(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "write", "fsync", "ftruncate", "mkdir"):
            patch.setattr(os, name, counting(getattr(os, name)))
        try:
            work()
        except (Crash, AssertionError):
            return False
        return True


def test_a_push_that_dies_at_any_step_leaves_the_old_document_or_the_new(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(1, 100):
        volume = tmp_path / f"v{step}"
        volume.mkdir()
        path = volume / "token.json"
        old, new = provider.grant(), provider.grant()
        TokenStore(path).replace(old)
        through = crash_at(monkeypatch, step, partial(TokenStore(path).replace, new, expect=1))
        assert on_disk(path) in (old, new)
        survivor = TokenStore(path, lock_timeout=0.5)
        survivor.refresh()
        snapshot = survivor.snapshot()
        assert snapshot.generation == (1 if snapshot.document == old else 2)
        assert survivor.replace(new, force=True).generation >= snapshot.generation
        if through:
            assert snapshot.document == new
            break
    else:
        raise AssertionError("it never got through")
    assert step > 10


@pytest.mark.parametrize("rotation", [False, True])
def test_a_refresh_that_dies_at_any_step_after_the_reply_was_saved_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Provider, rotating: Provider, rotation: bool
) -> None:
    asked = rotating if rotation else provider
    for step in range(1, 100):
        volume = tmp_path / f"v{step}"
        volume.mkdir()
        path = volume / "token.json"
        document = asked.grant(expires_in=1000)
        push(TokenStore(path), document)
        asked.exchanges = 0
        through = crash_at(monkeypatch, step, partial(TokenStore(path).refresh, force=True))
        survivor = TokenStore(path, lock_timeout=0.5)
        complete = asked.exchanges > 0 and any(_is_complete(pending) for pending in pendings(path))
        survivor.refresh()
        now = on_disk(path)
        assert now.token in asked.access_tokens
        assert state_of(path).generation == survivor.snapshot().generation
        if complete or now.token != document.token:
            assert now.refresh_token in asked.live, "what had reached the disk lives on"
            assert now.token != document.token
        if through:
            break
    else:
        raise AssertionError("it never got through")
    assert step > 15


def _is_complete(pending: Path) -> bool:
    try:
        TokenDocument.parse(pending.read_bytes())
    except TokenCorrupt:
        return False
    return True


def test_a_fresh_foreign_document_is_adopted_by_the_first_reader(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    store.replace(provider.grant())
    foreign = renewed(store.read(), "access-of-a-stock-app")
    path.write_text(foreign.to_json())
    assert store.snapshot().generation is None
    assert store.access_token() == "access-of-a-stock-app"
    assert store.snapshot().generation == 2


def test_a_superseded_foreign_document_is_not_served(store: TokenStore, rotating: Provider, path: Path) -> None:
    store.replace(rotating.grant())
    old = store.read()
    current = store.refresh(force=True)
    path.write_text(renewed(old, "access-of-old-credentials").to_json())
    assert store.access_token() == store.read().token != "access-of-old-credentials"
    assert store.snapshot().generation == current.generation


@pytest.mark.parametrize("way", ["clear", "revoke"])
def test_what_was_taken_away_and_is_written_back_is_given_to_nobody(
    store: TokenStore, provider: Provider, path: Path, way: str
) -> None:
    document = provider.grant()
    store.replace(document)
    assert store.access_token() == document.token
    if way == "clear":
        store.clear()
    else:
        store.revoke(provider.revocation_uri)
    write_in_place(path, document)
    status = store.status()
    assert (status.healthy, status.document["settled"]) == (False, False)
    for reader in (store, TokenStore(path)):
        with pytest.raises(TokenMissing if way == "clear" else ReauthRequired):
            reader.access_token()
    assert not path.exists()


def test_an_app_that_asked_for_fewer_scopes_does_not_take_them_from_the_others(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    wide = dataclasses.replace(provider.grant(), scopes=("calendar", "drive"))
    store.replace(wide)
    write_in_place(path, dataclasses.replace(renewed(wide, "narrow"), scopes=("calendar",)))
    assert TokenStore(path).access_token() == wide.token
    assert on_disk(path) == wide
    write_in_place(path, dataclasses.replace(renewed(wide, "unnamed"), scopes=()))
    assert TokenStore(path).access_token() == "unnamed"
    assert on_disk(path).scopes == wide.scopes


def test_a_foreign_refresh_proves_that_the_grant_lives(store: TokenStore, provider: Provider, path: Path) -> None:
    document = expired(provider.grant())
    store.replace(document)
    edit_state(path, dead_grant=document.grant_fingerprint, dead_reason="InvalidGrant")
    write_in_place(path, renewed(document, "theirs"))
    assert TokenStore(path).access_token() == "theirs"
    assert state_of(path).dead_grant is None
    assert store.refresh(force=True).exchanged


def test_a_reauth_that_another_grant_needed_is_not_told_of_this_one(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    dead = expired(provider.grant())
    store.replace(dead)
    provider.live.clear()
    with pytest.raises(ReauthRequired):
        store.access_token()
    write_in_place(path, provider.grant())
    found = {condition["type"]: condition for condition in store.status().conditions}
    assert (found["ReauthRequired"]["status"], store.status().healthy) == ("False", True)
