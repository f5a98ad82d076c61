"""Waiting for a change in the token volume: woken by what the store does, at rest otherwise."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack_parts import FakeStore

from calendar_assistant import changes
from calendar_assistant.changes import Changes
from token_keeper import TokenStore

LONG = 60.0
"""Seconds that a wait may take; a test that waits so long fails."""

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Changes]:
    watching = Changes(tmp_path)
    yield watching
    watching.close()


def after(seconds: float, what: object) -> threading.Thread:
    assert callable(what)
    timer = threading.Timer(seconds, what)
    timer.start()
    return timer


def test_a_new_document_ends_the_wait(watching: Changes, tmp_path: Path, fake_store: FakeStore) -> None:
    store = TokenStore(tmp_path / "token.json")
    writer = after(0.1, lambda: store.replace(fake_store.document))
    watching.wait(LONG)
    writer.join()
    assert store.snapshot().generation == 1, "the state had the time to follow"


def test_a_document_that_is_taken_away_ends_it_too(watching: Changes, tmp_path: Path, fake_store: FakeStore) -> None:
    store = TokenStore(tmp_path / "token.json")
    store.replace(fake_store.document)
    watching.wait(LONG)
    writer = after(0.1, store.clear)
    watching.wait(LONG)
    writer.join()


def test_reading_wakes_nobody(watching: Changes, tmp_path: Path, fake_store: FakeStore) -> None:
    store = TokenStore(tmp_path / "token.json")
    store.replace(fake_store.document)
    watching.wait(LONG)
    woken = threading.Event()
    waiter = threading.Thread(target=lambda: (watching.wait(LONG), woken.set()))
    waiter.start()
    for _ in range(50):
        store.snapshot()
        store.access_token()
    assert not woken.wait(0.3)
    watching.wake()
    waiter.join()


def test_a_bell_ends_every_wait(watching: Changes) -> None:
    bell = after(0.1, watching.wake)
    watching.wait(LONG)
    bell.join()
    watching.wait(LONG)


@pytest.mark.parametrize("directory", [None, Path("/nonexistent")])
def test_what_cannot_be_watched_is_looked_at(directory: Path | None) -> None:
    blind = Changes(directory)
    begun = time.monotonic()
    blind.wait(LONG)
    assert time.monotonic() - begun >= changes._LOOK_EVERY / 2
    blind.close()


def test_more_watchers_than_the_kernel_allows_are_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_more(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(changes, "INotify", no_more)
    blind = Changes(tmp_path)
    blind.wait(LONG)
    blind.close()


def test_a_directory_that_is_gone_is_looked_at_again_now_and_then(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    orphan = Changes(volume)
    volume.rmdir()
    orphan.wait(LONG)
    orphan.wait(LONG)
    orphan.close()


def test_what_is_closed_can_be_closed_and_woken_again(tmp_path: Path) -> None:
    closed = Changes(tmp_path)
    closed.close()
    closed.close()
    closed.wake()
