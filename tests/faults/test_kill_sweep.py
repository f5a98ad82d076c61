"""A process is killed at each system call of a push, a refresh, a clearing, a recovery, a promotion and a change of the
client's secret; the next one goes on.

Every call is a moment of its own: strace kills the process just before it is made. In CI the calls that change
something are taken, with SOAK=1 all of them.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aftermath import (
    come_to_rest,
    generation_of,
    is_outcome_unknown,
    no_litter,
    old_or_live,
    one_or_the_other,
    start_afresh,
    the_lock_is_free,
)
from keeper_parts import ending, push, state_of
from keeper_provider import Provider, running_provider
from soak import SHARDS, SOAK
from traced import Point, Run, Thread, run_traced

from token_keeper import TokenDocument, TokenStore, exchange
from token_keeper.errors import Conflict, ReauthRequired, TokenMissing
from token_keeper.ledger import Ledger

pytestmark = pytest.mark.usefixtures("strace")

GRACE = 60.0

CHANGING = re.compile(
    r"write|fsync|ftruncate|rename|unlink|mkdir|flock|sendto|recvfrom|connect|clone|fchown"
    r"|openat.*(O_CREAT|O_WRONLY|O_DIRECTORY)"
)
"""Calls after which something in the volume, at the provider or of the lock is different."""

UNSTEADY = {"futex", "poll", "mmap", "munmap", "madvise", "mprotect", "brk", "rt_sigprocmask", "recvfrom", "getrandom"}
"""Calls that a thread makes once more or once less, as the machine's load has it: a kill there may never come."""

TRIES = 3
"""Runs in which a call has to come up for its kill: on a busy machine an unsteady one may be left out of the first."""

BEFORE_IT_IS_KEPT = 3
"""Calls from the arrival of the reply to the end of its write: two files are opened, one is written."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A fresh volume, what is done to it, and what has to hold when that was cut short."""

    prepare: Callable[[Path], TokenDocument]
    work: Callable[[Path], object]
    judge: Callable[[Path, TokenDocument, Run], None]


def sweep(
    case: Case, fresh_path: Callable[[], Path], provider: Provider, *, thread: Thread = "main", shard: int = 0
) -> int:
    """Kill it everywhere, and return how often it died."""

    def run(inject: str | None) -> tuple[Path, TokenDocument, Run]:
        path = fresh_path()
        start_afresh(provider)
        old = case.prepare(path)
        done = run_traced(lambda: case.work(path), thread=thread, inject=inject)
        come_to_rest(provider)
        return path, old, done

    unhurt = run(None)[2]
    assert unhurt.outcome == "ok"
    points = [point for point in unhurt.points if SOAK or CHANGING.match(point.line)][shard::SHARDS]
    died = 0
    for point in points:
        for _ in range(TRIES):
            path, old, done = run(point.injection("signal=SIGKILL"))
            if done.killed:
                break
        try:
            assert done.killed or point.name in UNSTEADY, f"it went on: {done.outcome}"
            died += done.killed
            the_lock_is_free(path)
            case.judge(path, old, done)
        except Exception as error:
            raise AssertionError(f"killed at {point}: {error!r}") from error
    assert died >= 0.8 * len(points)
    return died


def test_the_calls_are_told_apart() -> None:
    taken = ["write(3", "fsync(3", "renameat(3", 'openat(3, "x", O_WRONLY|O_CREAT', "flock(6, LOCK_UN)", "sendto(7"]
    left = ["read(3", 'openat(3, "x", O_RDONLY', "newfstatat(", "getpid()"]
    assert [line for line in taken + left if CHANGING.match(line)] == taken


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_push_that_is_killed_leaves_the_old_or_the_new_document(
    fresh_path: Callable[[], Path], provider: Provider, figure: Callable[[str], None], shard: int
) -> None:
    pushed = [provider.grant()]

    def prepare(path: Path) -> TokenDocument:
        old = ending(provider.grant())
        push(TokenStore(path), old)
        pushed[0] = provider.grant()
        return old

    def judge(path: Path, old: TokenDocument, done: Run) -> None:
        new = pushed[0]
        found = one_or_the_other(path, old, new)
        if done.outcome == "ok":
            assert found == new, "it was said to be done"
        store = TokenStore(path)
        assert store.access_token() in provider.access_tokens
        assert provider.exchanges <= 1
        assert store.read().refresh_token == found.refresh_token
        assert generation_of(path) >= 1
        store.replace(new, force=True)
        assert TokenStore(path).read() == new
        assert generation_of(path) >= 2
        store.refresh(force=True)
        assert TokenStore(path).read().refresh_token == new.refresh_token
        no_litter(path)

    died = sweep(
        Case(prepare, lambda path: TokenStore(path).replace(pushed[0], expect=1), judge),
        fresh_path,
        provider,
        shard=shard,
    )
    figure(f"kill sweep, push: killed at {died} calls")


def judge_refresh(provider: Provider, *, grace: bool) -> Callable[[Path, TokenDocument, Run], None]:
    def judge(path: Path, old: TokenDocument, done: Run) -> None:
        calls = [point.name for point in done.points[:-1]]  # the last one was not made any more
        main = done.points[0].thread == "main"
        # in the main thread, whatever is not a wait for the other one comes before it or after it
        kept = done.arrived and (done.points[-1].name != "futex" if main else "write" in calls)
        if done.arrived and not main and not kept:
            opened = len(calls) - max(at for at, name in enumerate(calls) if name == "recvfrom")
            assert opened <= BEFORE_IT_IS_KEPT, "the reply is in memory alone for longer than it must"
        journal = state_of(path).journal
        asked = len(provider.forms)
        found = old_or_live(path, old, provider)
        if done.outcome == "ok":
            assert found.refresh_token in provider.live, "it was said to be done"

        store = TokenStore(path)
        assert store.access_token() in provider.access_tokens
        now = store.read()
        if now != old:
            assert now.refresh_token in provider.live
            assert provider.exchanges == 1 or not kept, "the reply was there, and another one was asked for"
            store.refresh(force=True)
            assert TokenStore(path).read().refresh_token in provider.live
            no_litter(path)
        else:  # until its end the old token is served
            assert not kept, "a reply that was there is lost"
            assert not grace, "the grace would have brought it back"
            assert journal is not None, "nothing had been sent"
            assert is_outcome_unknown(path, store)
            assert len(provider.forms) == asked, "a refresh token that may be spent was sent"
        assert provider.live, "a spent refresh token was sent, and the grant is dead"
        assert generation_of(path) >= 1

    return judge


def refresh_case(provider: Provider, *, grace: bool) -> Case:
    def prepare(path: Path) -> TokenDocument:
        old = ending(provider.grant())
        push(TokenStore(path), old, rotation="yes", reuse_grace=GRACE if grace else None)
        return old

    def work(path: Path) -> object:
        return TokenStore(path, exchange_deadline=5).refresh(force=True)

    return Case(prepare, work, judge_refresh(provider, grace=grace))


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("thread", ["main", "exchange"])
def test_a_refresh_that_is_killed_loses_no_reply(
    fresh_path: Callable[[], Path], rotating: Provider, figure: Callable[[str], None], thread: Thread, shard: int
) -> None:
    died = sweep(refresh_case(rotating, grace=False), fresh_path, rotating, thread=thread, shard=shard)
    figure(f"kill sweep, refresh ({thread} thread): killed at {died} calls")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_with_a_reuse_grace_no_kill_ends_the_grant(
    fresh_path: Callable[[], Path], figure: Callable[[str], None], shard: int
) -> None:
    with running_provider(rotation=True, grace=GRACE) as provider:
        died = sweep(refresh_case(provider, grace=True), fresh_path, provider, thread="exchange", shard=shard)
    figure(f"kill sweep, refresh with a reuse grace (exchange thread): killed at {died} calls")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_recovery_that_is_killed_is_done_by_the_next(
    fresh_path: Callable[[], Path], rotating: Provider, figure: Callable[[str], None], shard: int
) -> None:
    case = refresh_case(rotating, grace=False)

    def prepare(path: Path) -> TokenDocument:
        old = case.prepare(path)
        exchange.prepare()
        child = os.fork()
        if child == 0:
            Ledger.take_reply = lambda *_, **__: os._exit(0)  # type: ignore[method-assign]
            case.work(path)
        assert os.waitpid(child, 0)[1] == 0
        assert rotating.exchanges == 1
        return old

    def judge(path: Path, old: TokenDocument, done: Run) -> None:
        old_or_live(path, old, rotating)
        store = TokenStore(path)
        store.access_token()
        assert store.read().refresh_token in rotating.live
        assert len(rotating.forms) == 1
        store.refresh(force=True)
        assert store.read().refresh_token in rotating.live
        no_litter(path)

    died = sweep(Case(prepare, lambda path: TokenStore(path).access_token(), judge), fresh_path, rotating, shard=shard)
    figure(f"kill sweep, recovery: killed at {died} calls")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_clearing_that_is_killed_is_finished_or_never_was(
    fresh_path: Callable[[], Path], provider: Provider, figure: Callable[[str], None], shard: int
) -> None:
    def prepare(path: Path) -> TokenDocument:
        old = provider.grant()
        TokenStore(path).replace(old)
        return old

    def judge(path: Path, old: TokenDocument, done: Run) -> None:
        begun = state_of(path).tombstone is not None
        store = TokenStore(path)
        try:
            assert store.read() == old
        except TokenMissing as missing:
            assert begun
            assert missing.reason == "Cleared"
        store.refresh() if not begun else None
        assert store.clear().changed is (not begun or done.outcome != "ok") or begun
        assert not path.exists()
        with pytest.raises(TokenMissing, match="cleared"):
            TokenStore(path).access_token()
        store.replace(old)
        store.refresh(force=True)
        no_litter(path)

    died = sweep(Case(prepare, lambda path: TokenStore(path).clear(), judge), fresh_path, provider, shard=shard)
    figure(f"kill sweep, clearing: killed at {died} calls")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_promotion_that_is_killed_is_finished_by_the_next(
    fresh_path: Callable[[], Path], provider: Provider, figure: Callable[[str], None], shard: int
) -> None:
    staged = [provider.grant()]

    def prepare(path: Path) -> TokenDocument:
        old = provider.grant()
        store = TokenStore(path)
        store.replace(old)
        staged[0] = provider.grant()
        store.rotation.stage(staged[0])
        return old

    def judge(path: Path, old: TokenDocument, done: Run) -> None:
        new = staged[0]
        found = one_or_the_other(path, old, new)
        if done.outcome == "ok":
            assert found == new, "it was said to be done"
        before = state_of(path).grant if found == old else None
        store = TokenStore(path)
        status = store.status()
        assert status.rotation_record is not None
        assert status.rotation_record["phase"] in ({"staged"} if found == old else {"staged", "promoted"})
        if found == old:
            with pytest.raises(Conflict):  # what is not promoted is no way back
                store.rollback()
        assert store.access_token() == found.token
        outcome = store.rotation.promote(unchecked=True)
        assert outcome.reason == ("Promoted" if found == old else "AlreadyPromoted")
        assert TokenStore(path).read() == new
        record = state_of(path).rotation_record
        assert record is not None
        assert (record.phase, record.grant_after) == ("promoted", state_of(path).grant)
        assert before in {None, record.grant_before}
        assert generation_of(path) == 2
        assert provider.forms == []
        store.rollback(record.grant_before)
        assert TokenStore(path).read().refresh_token == old.refresh_token
        no_litter(path)

    died = sweep(
        Case(prepare, lambda path: TokenStore(path).rotation.promote(unchecked=True), judge),
        fresh_path,
        provider,
        shard=shard,
    )
    figure(f"kill sweep, promotion: killed at {died} calls")


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("thread", ["main", "exchange"])
def test_a_change_of_the_secret_that_is_killed_loses_no_reply(
    fresh_path: Callable[[], Path], rotating: Provider, figure: Callable[[str], None], thread: Thread, shard: int
) -> None:
    secret = "the-second-secret-of-the-client"
    rotating.more_secrets.add(secret)

    def prepare(path: Path) -> TokenDocument:
        old = ending(rotating.grant())
        push(TokenStore(path), old, rotation="yes")
        assert TokenStore(path).rotation  # imported once, before anything is counted
        return old

    def judge(path: Path, old: TokenDocument, done: Run) -> None:
        main = done.points[0].thread == "main"
        calls = [point.name for point in done.points[:-1]]
        kept = done.arrived and (done.points[-1].name != "futex" if main else "write" in calls)
        found = TokenStore(path).read()
        assert found.fingerprint == old.fingerprint or found.client_secret == secret, "it is neither"
        asked = len(rotating.forms)
        store = TokenStore(path, exchange_deadline=5)
        try:
            store.rotation.reclient(secret)
        except ReauthRequired as error:
            assert error.reason == "ExchangeOutcomeUnknown"
            assert not kept, "a reply that was there is lost"
            assert len(rotating.forms) == asked, "a refresh token that may be spent was sent"
            assert store.access_token() == old.token
            return
        now = TokenStore(path).read()
        assert (now.client_secret, now.refresh_token in rotating.live) == (secret, True)
        assert rotating.exchanges == 1, "the reply was there, and another one was asked for"
        record = state_of(path).rotation_record
        assert record is not None
        assert (record.phase, record.client_after) == ("promoted", now.client_fingerprint)
        assert store.rotation.reclient(None).reason == "ClientRolledBack"
        no_litter(path)

    died = sweep(
        Case(prepare, lambda path: TokenStore(path, exchange_deadline=5).rotation.reclient(secret), judge),
        fresh_path,
        rotating,
        thread=thread,
        shard=shard,
    )
    figure(f"kill sweep, change of the client's secret ({thread} thread): killed at {died} calls")


def test_points_name_their_moment() -> None:
    assert Point("main", "write", 3).injection("signal=SIGKILL") == "write:signal=SIGKILL:when=3"
