"""What a waiter leaves the queue with: a token that need not be renewed, out of a document that could be."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from keeper_parts import ending, expired, make_old, write_in_place
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.document import REQUIRED
from token_keeper.errors import LockTimeout, ReauthRequired
from token_keeper.lock import DirectoryLock
from token_keeper.reading import Reader
from token_keeper.volume import Volume


def written(path: Path, provider: Provider, **fields: Any) -> Reader:
    """Put a document there as another process would, after a reader has seen one that had ended."""
    path.write_text(expired(provider.grant()).to_json())
    reader = Reader(Volume(path))
    reader.load()
    document = json.loads(provider.grant().to_json())
    path.with_name("new").write_text(json.dumps({**document, **fields}))
    path.with_name("new").replace(path)
    return reader


def test_a_fresh_token_is_seen_at_a_glance(path: Path, provider: Provider) -> None:
    reader = written(path, provider)
    assert reader.fresh_token() == json.loads(path.read_text())["token"]
    assert reader.load().settled is False, "the next look judges it in full"


@pytest.mark.parametrize(
    "fields",
    [
        *({name: ""} for name in REQUIRED),
        {"token": None},
        {"token": ["a"]},
        {"token": "two\nlines"},
        {"expiry": None},
        {"expiry": "soon"},
        {"expiry": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 100))},
    ],
)
def test_nobody_leaves_with_anything_else(path: Path, provider: Provider, fields: dict[str, Any]) -> None:
    assert written(path, provider, **fields).fresh_token() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 60_000])
def test_a_torn_document_is_nothing_to_leave_with(path: Path, provider: Provider, text: str) -> None:
    reader = written(path, provider)
    path.write_text(text)
    assert reader.fresh_token() is None


@pytest.mark.timeout(30)
def test_a_clock_that_was_put_forward_makes_nobody_wait_for_the_lock(
    store: TokenStore, path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace(provider.grant())
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 7200)
    with DirectoryLock(path.parent).hold(1.0):
        token = TokenStore(path, lock_timeout=60).access_token()
    assert token == store.read().token, "by what this host has seen of it, it lives on"
    assert provider.exchanges == 0


def test_a_clock_that_was_put_forward_costs_the_lock_once(
    store: TokenStore, path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace(provider.grant())
    now, taken, hold = time.time, [], DirectoryLock.hold

    def counted(self: DirectoryLock, timeout: float, **options: Any) -> Any:
        taken.append(timeout)
        return hold(self, timeout, **options)

    monkeypatch.setattr(time, "time", lambda: now() + 7200)
    monkeypatch.setattr(DirectoryLock, "hold", counted)
    late = TokenStore(path)
    assert {late.access_token() for _ in range(20)} == {store.read().token}
    assert len(taken) <= 1


def test_what_was_revoked_and_written_back_is_given_to_nobody_who_waits(
    store: TokenStore, path: Path, provider: Provider
) -> None:
    revoked = provider.grant()
    store.replace(revoked)
    store.revoke(None)
    write_in_place(path, expired(revoked))
    late = TokenStore(path, lock_timeout=1.0)
    with DirectoryLock(path.parent).hold(1.0):
        writer = threading.Timer(0.2, lambda: (write_in_place(path, ending(revoked)), make_old(path)))
        writer.start()
        with pytest.raises((LockTimeout, ReauthRequired)):
            late.access_token()
        writer.join()


def test_who_finds_it_over_at_a_glance_judges_it_when_the_lock_is_taken(
    store: TokenStore, path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace(expired(provider.grant()))
    late = TokenStore(path, lock_timeout=0.3)
    with DirectoryLock(path.parent).hold(1.0), pytest.raises(LockTimeout):
        late.access_token()
    assert late.access_token() == store.read().token
    assert provider.exchanges == 1
