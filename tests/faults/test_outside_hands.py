"""What others do to a volume: a holder is stopped, files vanish, the disk fills, old secrets come back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aftermath import come_to_rest, forget_back_off, no_litter
from keeper_parts import ending, expired, on_disk, pendings, push, renewed, state_of, write_in_place
from keeper_provider import Provider
from keeper_stampede import children, holder_in_exchange
from traced import wait_until
from volume_calls import Call, VolumeCalls

from token_keeper import TokenDocument, TokenStore, exchange, fingerprint, refresh
from token_keeper.errors import ReauthRequired, StorageError, TokenKeeperError

SIDE_FILES = (".token.json.state", ".token.json.history", ".token.json.events", ".token.json.pending.")


def test_a_holder_that_is_stopped_past_every_deadline(path: Path, rotating: Provider) -> None:
    """Others serve what is valid, or say that the lock is busy; nobody asks the provider without it."""
    push(TokenStore(path), ending(rotating.grant()), rotation="yes")
    rotating.script.append("stall_after")
    with holder_in_exchange(path) as holder:
        assert wait_until(lambda: rotating.exchanges == 1)
        os.kill(holder, signal.SIGSTOP)
        usable = on_disk(path).token
        assert {outcome.token for outcome in children(4, lambda: TokenStore(path).access_token())} == {usable}

        def insist() -> str:
            return str(TokenStore(path, lock_timeout=0.4).refresh(force=True).generation)

        outcomes = children(4, insist)
        assert {outcome.error for outcome in outcomes} == {"LockTimeout: LockTimeout"}
        assert all(0.4 <= outcome.seconds < 5 for outcome in outcomes)
        assert len(rotating.forms) == 1
        os.kill(holder, signal.SIGCONT)
        rotating.released.set()
        assert wait_until(lambda: on_disk(path).refresh_token in rotating.live, 15)
    assert len(rotating.forms) == 1
    store = TokenStore(path)
    assert store.access_token() in rotating.access_tokens
    assert store.refresh(force=True).exchanged
    assert on_disk(path).refresh_token in rotating.live


def test_an_expired_token_and_a_holder_that_is_stopped(path: Path, rotating: Provider) -> None:
    push(TokenStore(path), expired(rotating.grant()), rotation="yes")
    rotating.script.append("stall_after")
    with holder_in_exchange(path) as holder:
        assert wait_until(lambda: rotating.exchanges == 1)
        os.kill(holder, signal.SIGSTOP)
        outcomes = children(4, lambda: TokenStore(path, lock_timeout=0.4).access_token())
        assert {outcome.error for outcome in outcomes} == {"LockTimeout: LockTimeout"}
        os.kill(holder, signal.SIGCONT)
        rotating.released.set()
        assert wait_until(lambda: on_disk(path).refresh_token in rotating.live, 15)
    assert len(rotating.forms) == 1
    assert TokenStore(path).access_token() in rotating.access_tokens


def remove(path: Path, name: str) -> None:
    for found in path.parent.glob(f"{name}*"):
        if found.is_dir():
            shutil.rmtree(found)
        else:
            with contextlib.suppress(FileNotFoundError):
                found.unlink()


@pytest.mark.parametrize("name", SIDE_FILES)
def test_a_side_file_is_deleted_at_any_moment_of_an_exchange(
    fresh_path: Callable[[], Path], rotating: Provider, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The document, and with it the refresh token that lives, survives each of them; the generation does not fall."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(refresh, "_SAVE_PAUSE", 0.0)

    def start() -> tuple[Path, TokenStore]:
        path = fresh_path()
        store = TokenStore(path)
        push(store, expired(rotating.grant()), rotation="yes")
        return path, store

    path, store = start()
    with VolumeCalls(path.parent) as unhurt:
        store.refresh()
    changing = [at for at, call in enumerate(unhurt.calls) if call.changes]
    for moment in changing:
        path, store = start()
        seen: list[Call] = []

        def strike(call: Call, moment: int = moment, path: Path = path, seen: list[Call] = seen) -> None:
            seen.append(call)
            if len(seen) == moment + 1:
                remove(path, name)

        told = f"{name} was deleted before {unhurt.calls[moment]}"
        with VolumeCalls(path.parent, before=strike), contextlib.suppress(StorageError):
            store.refresh()
        assert store.access_token() in rotating.access_tokens, told
        assert on_disk(path).refresh_token in rotating.live, told
        assert TokenStore(path).access_token() == store.access_token(), told
        assert state_of(path).generation >= 2, told
        store.refresh(force=True)
        assert on_disk(path).refresh_token in rotating.live, told
        no_litter(path)


def test_all_side_files_are_deleted_while_the_provider_is_asked(path: Path, rotating: Provider) -> None:
    store = TokenStore(path)
    push(store, expired(rotating.grant()), rotation="yes")
    rotating.script.append("stall_after")
    asking = threading.Thread(target=store.access_token)
    asking.start()
    assert wait_until(lambda: rotating.exchanges == 1)
    for name in SIDE_FILES:
        remove(path, name)
    rotating.released.set()
    asking.join()
    assert on_disk(path).refresh_token in rotating.live
    assert TokenStore(path).access_token() == store.access_token()
    assert len(rotating.forms) == 1


@contextlib.contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Works for root and everybody: what the process writes from now on fails beyond a few bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_no_byte_can_be_written_after_the_reply(
    path: Path, rotating: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply is served from memory, by this process alone, and saved when there is space again."""
    monkeypatch.setattr(refresh, "_SAVE_PAUSE", 0.001)
    store = TokenStore(path)
    push(store, expired(rotating.grant()), rotation="yes")
    post = exchange._post
    with contextlib.ExitStack() as full:

        def then_full(*args: object) -> object:
            answer = post(*args)  # type: ignore[arg-type]
            full.enter_context(no_file_may_grow())
            return answer

        monkeypatch.setattr(exchange, "_post", then_full)
        token = store.access_token()
        assert token in rotating.access_tokens
        assert store.access_token() == token
        with pytest.raises(StorageError):
            store.refresh(force=True)
        assert rotating.exchanges == 1
        assert on_disk(path).refresh_token not in rotating.live
    monkeypatch.setattr(exchange, "_post", post)
    assert store.access_token() == token
    assert on_disk(path).refresh_token in rotating.live
    assert TokenStore(path).access_token() == token
    assert rotating.exchanges == 1
    store.refresh(force=True)
    no_litter(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of its own, which only root can mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def may_mount() -> bool:
    code = 'd=$(mktemp -d) && mount -t tmpfs tmpfs "$d" 2>/dev/null && umount "$d"; s=$?; rmdir "$d"; exit $s'
    return os.geteuid() == 0 and subprocess.run(["sh", "-c", code], check=False, capture_output=True).returncode == 0


if may_mount():  # for everybody else the test above says the same of another error

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_disk_that_is_full_before_or_after_the_reply(
        small_disk: Path, rotating: Provider, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        path = small_disk / "token.json"
        store = TokenStore(path)
        push(store, expired(rotating.grant()), rotation="yes")
        ballast = small_disk / "ballast"

        def fill_up() -> None:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(512))

        post = exchange._post

        def then_full(*args: object) -> object:
            answer = post(*args)  # type: ignore[arg-type]
            fill_up()
            return answer

        if moment == "before":
            fill_up()
            with pytest.raises(StorageError, match="No space"):
                store.access_token()
            assert rotating.forms == []
        else:
            monkeypatch.setattr(exchange, "_post", then_full)
            token = store.access_token()
            monkeypatch.setattr(exchange, "_post", post)
            assert token in rotating.access_tokens
            assert any(rotating_token.encode() in found.read_bytes() for found in (path, *pendings(path))
                       for rotating_token in rotating.live), "it fits into what was reserved"  # fmt: skip
        ballast.unlink()
        assert store.access_token() in rotating.access_tokens
        assert on_disk(path).refresh_token in rotating.live
        assert rotating.exchanges == 1
        store.refresh(force=True)
        no_litter(path)


@pytest.mark.parametrize("rotation", [True, False])
def test_an_app_with_old_credentials_writes_them_back_after_a_new_consent(
    path: Path, rotating: Provider, rotation: bool
) -> None:
    """Stock google-auth code keeps what it has read, refreshes that, and rewrites the file."""
    rotating.rotation = rotation
    store = TokenStore(path)
    first = rotating.grant()
    push(store, first, rotation="yes" if rotation else "no")
    consented = rotating.grant()
    push(store, consented, force=True)
    generation = state_of(path).generation
    for app_has in (first, renewed(first, "access-of-the-app"), dataclasses.replace(first, token=None, expiry=None)):
        write_in_place(path, app_has)
        assert TokenStore(path).access_token() == consented.token
        assert on_disk(path) == consented
        assert store.access_token() == consented.token
        assert state_of(path).generation >= generation
        assert fingerprint(first.refresh_token) in state_of(path).superseded
    assert rotating.forms == []
    store.refresh(force=True)
    write_in_place(path, renewed(first, "access-of-the-app", seconds=7000))
    assert TokenStore(path).access_token() in rotating.access_tokens
    assert on_disk(path).refresh_token in rotating.live - {first.refresh_token}


def test_old_credentials_come_back_while_the_provider_is_asked(path: Path, rotating: Provider) -> None:
    store = TokenStore(path)
    old = rotating.grant()
    push(store, old, rotation="yes")
    push(store, expired(rotating.grant()), force=True)
    rotating.script.append("stall_after")
    asking = threading.Thread(target=store.access_token)
    asking.start()
    assert wait_until(lambda: rotating.exchanges == 1)
    write_in_place(path, old)
    rotating.released.set()
    asking.join()
    come_to_rest(rotating)
    forget_back_off(path)
    assert TokenStore(path).access_token() in rotating.access_tokens
    assert on_disk(path).refresh_token in rotating.live - {old.refresh_token}
    assert len(rotating.forms) == 1


def test_the_lost_state_of_a_lost_reply_ends_in_one_refusal_and_no_loop(path: Path, rotating: Provider) -> None:
    """The one thing that nothing else remembers: a reply was lost, and then the state was deleted too."""
    store = TokenStore(path)
    document: TokenDocument = expired(rotating.grant())
    push(store, document, rotation="yes")
    rotating.script.append("drop_after")
    with contextlib.suppress(TokenKeeperError):
        store.access_token()
    remove(path, ".token.json.state")
    for _ in range(5):
        with pytest.raises(ReauthRequired):
            TokenStore(path).access_token()
    assert len(rotating.forms) == 2
