"""Each call of a push or a refresh on the volume fails once, or all fail from then on; then the disk is well again.

The calls are spoiled in this process, which allows thousands of cases; at the end strace spoils some of the real ones,
to prove that it makes no difference.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aftermath import (
    answer_directly,
    come_to_rest,
    forget_back_off,
    generation_of,
    is_outcome_unknown,
    no_litter,
    old_or_live,
    one_or_the_other,
    start_afresh,
    the_lock_is_free,
)
from keeper_parts import expired, pendings, push
from keeper_provider import Provider
from soak import SOAK, amount
from traced import Point, run_traced
from volume_calls import Call, VolumeCalls

from token_keeper import TokenDocument, TokenStore, refresh
from token_keeper.errors import ReauthRequired, StorageError, TokenKeeperError

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINTR)
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        at: the call that fails, counted from 0.
        number: its error; 0 for a write that takes half of its data, after which the disk is full.
        lasting: whether everything that changes the volume fails from then on.
    """

    at: int
    number: int
    lasting: bool = False

    def __str__(self) -> str:
        what = errno.errorcode[self.number] if self.number else "half"
        return f"{what} {'from' if self.lasting else 'at'} call {self.at}"


class Disk:
    """A disk with faults, until it is well again."""

    def __init__(self, *faults: Fault) -> None:
        self._faults = faults
        self._count = itertools.count()
        self._full = False
        self._ended: int | None = None
        self.well = False

    def only_what_lasts(self) -> None:
        """Spoil no single call any more, and begin nothing new."""
        self._ended = next(self._count)

    def __call__(self, call: Call) -> int | None:
        if self.well:
            return None
        at = next(self._count)
        if self._full and call.name == "write":
            self._full = False
            raise OSError(errno.ENOSPC, "no space")
        for fault in self._faults:
            if self._ended is not None and fault.at > self._ended:
                continue
            if fault.number == 0:
                if fault.at == at and call.name == "write":
                    self._full = True
                    return len(call.arguments[1]) // 2
                continue
            if fault.at == at or (fault.lasting and at > fault.at and _fails(call, fault.number)):
                raise OSError(fault.number, os.strerror(fault.number))
        return None


def _fails(call: Call, number: int) -> bool:
    return call.changes and not (number in FULL and call.name in {"unlink", "ftruncate"})


def faults_of(calls: list[Call], errors: tuple[int, ...]) -> Iterator[tuple[Fault, ...]]:
    """Every call fails in every way; where all of it is wanted, any two of them as well."""
    singles: list[Fault] = []
    for at, call in enumerate(calls):
        if call.changes:
            singles += [Fault(at, number, lasting) for number in errors for lasting in (False, True)]
            if call.name == "write":
                singles.append(Fault(at, 0))
        else:
            singles += [Fault(at, number) for number in (errno.EIO, errno.EINTR)]
    yield from ((fault,) for fault in singles)
    chance = random.Random(7)
    for _ in range(amount(50, 4000)):
        one, other = sorted(chance.sample(singles, 2), key=lambda fault: fault.at)
        yield one, other


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "_SAVE_PAUSE", 0.0)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # whether it fails is what counts here, not what it does


def sweep(
    start: str, prepare: Callable[[], Path], work: Callable[[TokenStore], object], judge: Callable[..., None]
) -> int:
    """Let every call fail, and return how many cases there were."""
    path = prepare()
    with VolumeCalls(path.parent) as unhurt:
        work(TokenStore(path))
    cases = list(faults_of(unhurt.calls, ERRORS if SOAK or start == "settled" else (errno.EIO, errno.ENOSPC)))
    for faults in cases:
        path = prepare()
        disk = Disk(*faults)
        store = TokenStore(path)
        error: Exception | None = None
        with VolumeCalls(path.parent, before=disk) as spoiled:
            try:
                work(store)
            except Exception as failure:
                error = failure
            try:
                assert error is None or isinstance(error, TokenKeeperError), "an error without a type"
                disk.only_what_lasts()
                judge(path, store, disk, error, unhurt.calls, faults)
            except Exception as failure:
                told = ", ".join(map(str, faults))
                where = ", ".join(str(unhurt.calls[fault.at]) for fault in faults)
                last = [str(call) for call in spoiled.calls]
                raise AssertionError(f"{told} ({where}): {error!r} and then {failure!r}; {last}") from failure
    return len(cases)


@pytest.mark.parametrize("start", ["settled", "bare", "empty"])
def test_a_push_on_a_failing_disk_is_done_or_was_never_begun(
    fresh_path: Callable[[], Path], provider: Provider, figure: Callable[[str], None], start: str
) -> None:
    old, new = provider.grant(), provider.grant()

    def prepare() -> Path:
        path = fresh_path()
        if start != "empty":
            push(TokenStore(path), old)
        if start == "bare":
            shutil.rmtree(path.parent / ".token.json.history")
        return path

    def judge(
        path: Path, store: TokenStore, disk: Disk, error: Exception | None, calls: list[Call], faults: tuple[Fault, ...]
    ) -> None:
        disk.well = True
        if error is None:
            assert TokenStore(path).read() == new, "it was said to be done"
        else:
            assert isinstance(error, StorageError)
        if path.exists() or start != "empty":
            one_or_the_other(path, old, new)
        generation = generation_of(path)
        the_lock_is_free(path)
        if path.exists():
            found = TokenStore(path).read()
            assert store.access_token() == TokenStore(path).access_token() == found.token, "it is not healed"
        TokenStore(path).replace(new, force=True)
        assert TokenStore(path).read() == new
        assert generation_of(path) >= max(generation, 1)
        TokenStore(path).refresh(force=True)
        no_litter(path)

    count = sweep(start, prepare, lambda store: store.replace(new, force=True), judge)
    figure(f"errno sweep, push ({start} volume): {count} cases")


def is_about_the_volume(error: Exception | None) -> bool:
    return error is None or isinstance(error, StorageError)


@pytest.mark.parametrize("start", ["settled", "bare"])
def test_a_refresh_on_a_failing_disk_asks_nothing_in_vain_and_loses_nothing(
    fresh_path: Callable[[], Path],
    rotating: Provider,
    figure: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    start: str,
) -> None:
    monkeypatch.setattr(refresh, "request_token", answer_directly(rotating))
    old: list[TokenDocument] = []

    def prepare() -> Path:
        path = fresh_path()
        start_afresh(rotating)
        old[:] = [expired(rotating.grant())]
        push(TokenStore(path), old[0], rotation="yes")
        if start == "bare":
            shutil.rmtree(path.parent / ".token.json.history")
        return path

    def judge(
        path: Path, store: TokenStore, disk: Disk, error: Exception | None, calls: list[Call], faults: tuple[Fault, ...]
    ) -> None:
        begun = next(at for at, call in enumerate(calls) if (call.name, call.path) == ("fsync", "."))
        first = calls[faults[0].at]
        asked = len(rotating.forms)
        assert is_about_the_volume(error)
        assert asked <= 1
        if faults[0].at <= begun and first.changes and faults[0].number:
            assert asked == 0, "the provider was asked although its reply could not have been kept"
        if asked == 0:
            assert error is not None
            assert TokenStore(path).read() == old[0]
        else:
            token = store.access_token()  # while the disk still fails, from memory
            assert token in rotating.access_tokens
            assert token != old[0].token
            old_or_live(path, old[0], rotating)
        disk.well = True
        the_lock_is_free(path)
        other = TokenStore(path, service="other")
        if asked and faults[0].at % 2:
            # another process may come first: it gets the new one, or says that it does not know, and asks nobody
            try:
                assert other.access_token() in rotating.access_tokens
            except ReauthRequired as unknown:
                assert unknown.reason == "ExchangeOutcomeUnknown"
            assert len(rotating.forms) == 1
        generation = generation_of(path)
        if asked == 0 and any(fault.lasting and fault.at + 1 >= begun for fault in faults):
            # the journal's name may be on disk, and nobody could take it back
            forget_back_off(path)
            if is_outcome_unknown(path, store):
                assert rotating.forms == []
                return
        assert store.access_token() in rotating.access_tokens
        assert TokenStore(path).read().refresh_token in rotating.live, "it is not saved"
        assert rotating.exchanges == 1
        assert generation_of(path) >= generation
        assert other.access_token() == store.access_token()
        other.refresh(force=True)
        assert TokenStore(path).read().refresh_token in rotating.live
        no_litter(path, replies_may_be_drafted=len(faults) > 1)
        assert len(pendings(path)) <= 2

    count = sweep(start, prepare, lambda store: store.access_token(), judge)
    figure(f"errno sweep, refresh ({start} volume): {count} cases")


@pytest.mark.parametrize("name", ["rename", "fsync", "write"])
def test_faults_that_come_again_and_again_leave_no_growing_litter(
    path: Path, rotating: Provider, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(refresh, "_SAVE_ATTEMPTS", 2)
    store = TokenStore(path)
    push(store, expired(rotating.grant()), rotation="yes")

    def spoil(call: Call) -> None:
        if call.name == name:
            raise OSError(errno.EIO, "a bad disk")

    with VolumeCalls(path.parent, before=spoil):
        for _ in range(30):
            with pytest.raises(StorageError):
                store.access_token()
            with pytest.raises(StorageError):
                store.replace(rotating.grant(), force=True)
    assert rotating.forms == []
    assert len(list(path.parent.rglob("*"))) <= 8
    store.access_token()
    no_litter(path)


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("number", ["EIO", "ENOSPC", "EROFS"])
def test_what_the_kernel_returns_makes_no_difference(
    fresh_path: Callable[[], Path], rotating: Provider, figure: Callable[[str], None], number: str
) -> None:
    """The same, spoiled by strace in a process of its own, call by call."""

    def run(work: Callable[[TokenStore], object], inject: str | None) -> tuple[Path, TokenDocument, str, list[Point]]:
        path = fresh_path()
        start_afresh(rotating)
        old = expired(rotating.grant())
        push(TokenStore(path), old, rotation="yes")
        done = run_traced(lambda: work(TokenStore(path)), inject=inject)
        come_to_rest(rotating)
        return path, old, done.outcome, done.points

    count = 0
    new = rotating.grant()
    for work in (lambda store: store.replace(new, force=True), lambda store: store.refresh()):
        points = [point for point in run(work, None)[3] if point.name in {"write", "fsync", "renameat", "fchown"}]
        points = [point for point in points if '"ok' not in point.line]
        for point in points if SOAK else points[:: 2 + ERRORS.index(getattr(errno, number)) % 2]:
            path, old, outcome, _ = run(work, point.injection(f"error={number}"))
            told = f"{number} at {point}: {outcome}"
            assert outcome == "ok" or outcome.startswith(("StorageError", "UnsavedReply")), told
            found = TokenStore(path).read()
            assert len(rotating.forms) <= 1, told
            if found.fingerprint not in {old.fingerprint, new.fingerprint}:
                assert found.refresh_token in rotating.live, told
            assert TokenStore(path).access_token() in rotating.access_tokens, told
            now = TokenStore(path).read()
            assert now == new or now.refresh_token in rotating.live, told
            assert rotating.exchanges <= 1, told
            count += 1
    figure(f"errno sweep by strace, {number}: {count} cases")
