"""The primitives: whole reads, durable replacement, side files that never stand in the way."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keeper_parts import expired
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.events import Events
from token_keeper.history import Entry, History
from token_keeper.volume import PENDING_BYTES, Volume


@pytest.fixture
def volume(path: Path) -> Volume:
    return Volume(path)


@pytest.fixture
def directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def test_a_replacement_is_private_whole_and_leaves_nothing_behind(volume: Volume, directory: int, path: Path) -> None:
    os.umask(0o000)
    try:
        volume.replace(directory, "token.json", b"one")
        volume.replace(directory, "token.json", b"two")
    finally:
        os.umask(0o022)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == ["token.json"]


def test_no_two_writers_share_a_temporary_name(
    volume: Volume, directory: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    rename = os.rename

    def record(source: str, target: str, **options: Any) -> None:
        seen.append(source)
        assert stat.S_IMODE(os.stat(source, dir_fd=directory).st_mode) == 0o600
        rename(source, target, **options)

    monkeypatch.setattr(os, "rename", record)
    for _ in range(20):
        volume.replace(directory, "token.json", b"x")
    assert len(set(seen)) == 20


def test_what_is_written_is_flushed_before_and_after_the_rename(
    volume: Volume, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def flush(descriptor: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def move(*names: str, **options: Any) -> None:
        steps.append("rename")
        rename(*names, **options)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "rename", move)
    volume.replace(directory, "token.json", b"x")
    assert steps == ["file", "rename", "directory"]
    steps.clear()
    volume.reserve(directory, "p")
    volume.fill(directory, "p", b"{}")
    assert steps == ["file", "file"]
    steps.clear()
    volume.promote(directory, "p", flushed=False)
    assert steps == ["file", "rename"]
    steps.clear()
    with volume.drafted(directory, "token.json", b"x") as draft:
        assert steps == []
        draft.publish(flush_directory=False)
    assert steps == ["file", "rename"]


def test_what_is_said_to_be_done_is_durable(path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was renamed before: the last step of a push and of a refresh is a flush of the directory."""
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def flush(descriptor: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def move(source: str, target: str, **options: Any) -> None:
        steps.append(target)
        rename(source, target, **options)

    store = TokenStore(path)
    for act in (lambda: store.replace(expired(provider.grant())), lambda: store.refresh(force=True)):
        steps.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", flush)
            patch.setattr(os, "rename", move)
            act()
        assert steps[-4:] == ["token.json", "file", ".token.json.state", "directory"]
        assert steps.count("token.json") == 1


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "NoSpace"), (errno.EDQUOT, "NoSpace"), (errno.EIO, "InputOutput"), (errno.EROFS, "ReadOnly")],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_file(
    volume: Volume, directory: int, path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, reason: str
) -> None:
    volume.replace(directory, "token.json", b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StorageError) as caught:
            volume.replace(directory, "token.json", b"new")
    assert caught.value.reason == reason
    assert caught.value.remedy
    assert path.read_bytes() == b"old"
    assert names(path) == ["token.json"]


def test_closing_what_was_only_read_fails_nothing(
    path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network's file system may say at the end that something was wrong."""
    store = TokenStore(path)
    store.replace(provider.grant())
    close = os.close
    read_only: set[int] = set()

    def fail(descriptor: int) -> None:
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        close(descriptor)
        if mode == os.O_RDONLY:
            read_only.add(descriptor)
            raise OSError(errno.EIO, "a bad network")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", fail)
        assert store.read() == TokenStore(path).read()
        assert store.refresh(force=True).exchanged
        assert store.replace(expired(provider.grant()), force=True).changed
    assert read_only


def test_a_reader_never_sees_anything_but_a_whole_file(volume: Volume, directory: int) -> None:
    texts = {bytes([65 + number]) * 50_000 for number in range(4)}
    volume.replace(directory, "token.json", b"A" * 50_000)
    stop = threading.Event()
    torn: list[bytes] = []
    reads = 0

    def look() -> None:
        nonlocal reads
        while not stop.is_set():
            found = volume.read("token.json")
            reads += 1
            if found is None or found[0] not in texts:
                torn.append(b"" if found is None else found[0][:20])

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(60):
        for text in texts:
            volume.replace(directory, "token.json", text)
    stop.set()
    thread.join()
    assert torn == []
    assert reads > 50


def test_a_reserved_file_takes_a_reply_without_growing(volume: Volume, directory: int, path: Path) -> None:
    volume.reserve(directory, "p")
    assert (path.parent / "p").stat().st_size == PENDING_BYTES
    blocks = (path.parent / "p").stat().st_blocks
    volume.fill(directory, "p", b'{"a": 1}')
    assert (path.parent / "p").read_bytes() == b'{"a": 1}'
    assert (path.parent / "p").stat().st_blocks <= blocks


def test_a_reply_cut_off_before_the_truncation_still_parses(volume: Volume, directory: int, path: Path) -> None:
    volume.reserve(directory, "p")
    descriptor = os.open(path.parent / "p", os.O_WRONLY)
    os.write(descriptor, b'{"a": 1}')
    os.close(descriptor)
    found = volume.read("p")
    assert found is not None
    assert json.loads(found[0]) == {"a": 1}


@pytest.mark.parametrize("kind", ["directory", "symlink", "dangling", "fifo", "socket"])
def test_what_is_no_file_is_corrupt_and_never_followed_or_waited_for(volume: Volume, path: Path, kind: str) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    else:
        target = path.parent / "secret"
        if kind == "symlink":
            target.write_text("canary")
        path.symlink_to(target)
    with pytest.raises((TokenCorrupt, StorageError)) as caught:
        volume.read("token.json")
    assert "canary" not in str(caught.value)


def test_a_huge_file_is_not_read_whole(volume: Volume, path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 33)
    found = volume.read("token.json")
    assert found is not None
    assert len(found[0]) == 65_537


def test_the_sweep_takes_temporary_files_and_no_reply(
    volume: Volume, directory: int, path: Path, provider: Provider
) -> None:
    stale = ["token.json.tmp-0123", ".token.json.state.tmp-0123", ".token.json.events.tmp-9"]
    kept = [".token.json.pending.ab", ".token.json.pending.cd", "other.json.tmp-1", "token.json.bak"]
    for name in (*stale, *kept):
        (path.parent / name).write_text('{"a": 1}' if "pending" in name else "")
    (path.parent / ".token.json.pending.dir").mkdir()
    (path.parent / ".token.json.pending.link").symlink_to("nowhere")
    old = path.parent / ".token.json.pending.old"
    old.write_text("\n" * 10)
    cut_off = path.parent / ".token.json.pending.cut"
    cut_off.write_text('{"token": "abc", "refresh_to')
    replaced = path.parent / ".token.json.pending.ab.tmp-12"
    replaced.write_text("")
    whole = path.parent / ".token.json.pending.whole"
    whole.write_text(provider.grant().to_json())
    for file in (old, cut_off, replaced, whole):
        os.utime(file, (time.time() - 7200,) * 2)
    new = path.parent / ".token.json.pending.new"
    new.write_text("\n" * 10)
    volume.sweep(directory)
    volume.sweep_pending(directory)
    assert {*kept, new.name, whole.name} <= set(names(path))
    assert not {*stale, old.name, cut_off.name, replaced.name} & set(names(path))


def entry(provider: Provider, number: int) -> Entry:
    return Entry(f"{number:016x}", number, provider.grant())


def test_the_history_keeps_the_newest_grants(volume: Volume, directory: int, provider: Provider, path: Path) -> None:
    history = History(volume)
    for number in range(1, 15):
        history.record(directory, entry(provider, number))
    assert [found.generation for found in history.entries()] == list(range(14, 4, -1))
    folder = path.parent / ".token.json.history"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    history.forget(directory, f"{14:016x}")
    assert history.entries()[0].generation == 13


@pytest.mark.parametrize("junk", [b"", b"[]", b"{}", b'{"generation": 1e999, "document": {}}', b"[" * 90_000, None])
def test_a_broken_entry_hides_no_other(
    volume: Volume, directory: int, provider: Provider, path: Path, junk: bytes | None
) -> None:
    history = History(volume)
    good = entry(provider, 1)
    history.record(directory, good)
    spoiled = path.parent / ".token.json.history" / f"{2:016x}.json"
    if junk is None:
        spoiled.mkdir()
    else:
        spoiled.write_bytes(junk)
    (path.parent / ".token.json.history" / f"{3:016x}.json").symlink_to("/etc/passwd")
    assert history.entries() == [good]


def test_a_history_that_is_a_file_is_a_typed_error(volume: Volume, directory: int, provider: Provider) -> None:
    (volume.directory / volume.history_name).write_text("")
    assert History(volume).entries() == []
    with pytest.raises(StorageError):
        History(volume).record(directory, entry(provider, 1))


def test_events_are_bounded_and_readable(volume: Volume, directory: int, path: Path) -> None:
    events = Events(volume, "api")
    log = path.parent / ".token.json.events"
    for number in range(4000):
        events.record(directory, "Refreshed", generation=number)
    assert log.stat().st_size <= 262_144 + 1000
    newest = events.newest(3)
    assert [event["generation"] for event in newest] == [3997, 3998, 3999]
    assert newest[0]["service"] == "api"
    assert newest[0]["pid"] == os.getpid()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_long_events_are_bounded_too(volume: Volume, directory: int, path: Path) -> None:
    events = Events(volume, "x" * 2000)
    sizes = []
    for _ in range(400):
        events.record(directory, "Refreshed")
        sizes.append((path.parent / ".token.json.events").stat().st_size)
    assert max(sizes) <= 262_144 + 5000
    assert sum(one > other for one, other in itertools.pairwise(sizes)) < 10, "it is not rewritten each time"


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "junk"])
def test_a_log_that_cannot_be_written_fails_nothing(volume: Volume, directory: int, path: Path, kind: str) -> None:
    log = path.parent / ".token.json.events"
    if kind == "directory":
        log.mkdir()
    elif kind == "fifo":
        os.mkfifo(log)
    elif kind == "symlink":
        log.symlink_to(path.parent / "elsewhere")
    else:
        log.write_bytes(b"\xff{[" + b"[" * 90_000 + b"\nnull\n")
    begun = time.monotonic()
    Events(volume, "api").record(directory, "Refreshed")
    assert time.monotonic() - begun < 10
    assert not (path.parent / "elsewhere").exists()
    if kind == "junk":
        assert [event["event"] for event in Events(volume, "api").newest(9)] == ["Refreshed"]
