"""The token that a process has is given out while it is valid, whatever happens to the file; nobody waits."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from keeper_parts import events_of, on_disk, state_path
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.errors import TokenCorrupt, TokenMissing

TORN = '{"token": "abc", "refresh_'


def torn_now(path: Path) -> None:
    path.write_text(TORN)


def torn_a_while_ago(path: Path) -> None:
    path.write_text(TORN)
    os.utime(path, (time.time() - 5,) * 2)


def gone(path: Path) -> None:
    path.unlink()


def unreadable_state(path: Path) -> None:
    path.unlink()
    state_path(path).write_text("{")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("spoil", [torn_now, torn_a_while_ago, gone, unreadable_state])
def test_the_token_is_served_at_once_while_the_lock_is_held(
    path: Path, provider: Provider, spoil: Callable[[Path], None]
) -> None:
    store = TokenStore(path, lock_timeout=20)
    store.replace(provider.grant())
    token = store.access_token()
    spoil(path)
    with locked(path):
        begun = time.monotonic()
        assert [store.access_token() for _ in range(3)] == [token] * 3
        assert time.monotonic() - begun < 10, "it did not wait for the lock"
    assert provider.forms == []


def test_a_file_that_somebody_is_writing_is_not_waited_for_and_then_mended(
    path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("token_keeper.volume.SETTLE", 60.0)
    store = TokenStore(path)
    store.replace(provider.grant())
    token = store.access_token()
    whole = on_disk(path)
    torn_now(path)
    assert store.access_token() == token
    assert path.read_text() == TORN, "its writer may be at it"
    os.utime(path, (time.time() - 120,) * 2)
    assert store.access_token() == token
    assert on_disk(path) == whole
    assert events_of(path)[-1] == "Mended"


def test_what_was_taken_away_on_purpose_is_not_served(path: Path, provider: Provider) -> None:
    store = TokenStore(path)
    store.replace(provider.grant())
    store.access_token()
    TokenStore(path).clear("Maintenance")
    with pytest.raises(TokenMissing):
        store.access_token()


def test_a_process_that_has_no_token_says_what_is_wrong(path: Path, provider: Provider) -> None:
    path.write_text(TORN)
    os.utime(path, (time.time() - 5,) * 2)
    with pytest.raises(TokenCorrupt):
        TokenStore(path).access_token()
    path.unlink()
    with pytest.raises(TokenMissing):
        TokenStore(path).access_token()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that its reader does not own")
def test_a_document_that_may_not_be_read_is_put_back(provider: Provider) -> None:
    """As left by an app that ran once as root; whoever owns the directory may replace it."""
    with tempfile.TemporaryDirectory() as name:  # not pytest's own folders, which are closed to others
        os.chown(name, 999, 999)
        path = Path(name) / "token.json"
        TokenStore(path).replace(provider.grant())
        document = on_disk(path)
        os.chown(path, 0, 0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(999)
                os.setuid(999)
                status = 0 if TokenStore(path).access_token() == document.token else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (999, 0o600)
        assert on_disk(path) == document
