"""The keeper: renews ahead of every app, one at a time, and tells how things are."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth._helpers
import pytest
from google.auth.credentials import TokenState
from google.oauth2.credentials import Credentials
from keeper_parts import earlier, edit_state, events_of, on_disk, renewed, state_of, write_in_place
from keeper_provider import Provider, running_provider

from token_keeper import TokenDocument, TokenStore
from token_keeper.clock import Instant, Span
from token_keeper.errors import StorageError, TokenKeeperError
from token_keeper.keeper import Keeper
from token_keeper.keeper.active import ActiveRole
from token_keeper.keeper.http import Server
from token_keeper.keeper.metrics import VolumeCollector, registry_of
from token_keeper.keeper.schedule import AHEAD, ahead, patience
from token_keeper.lock import DirectoryLock
from token_keeper.state import Identity, Journal, State
from token_keeper.volume import Volume


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


class Clocks:
    """The time of a test: it passes when it is told to, on both clocks, and the wall clock may be stepped besides."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = self.stepped = 0.0
        wall, kernel = time.time, time.clock_gettime
        monkeypatch.setattr(time, "time", lambda: wall() + self.passed + self.stepped)
        monkeypatch.setattr(time, "clock_gettime", lambda which: kernel(which) + self.passed)
        now = lambda: datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)  # noqa: E731
        monkeypatch.setattr(google.auth._helpers, "utcnow", now)

    def passes(self, seconds: float) -> None:
        self.passed += seconds

    def steps(self, seconds: float) -> None:
        self.stepped += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


# -- when


@pytest.mark.parametrize("life", [600.0, 1200.0, 3600.0, 86_400.0])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_a_stock_app_never_sees_a_token_closer_than_four_minutes_to_its_end(life: float, spread: float) -> None:
    look, exchange = 1.0, 8.0
    wanted = ahead(State(lifetime=life), spread)
    assert wanted - look - exchange >= 240
    assert ahead(State(lifetime=life), 0.0) - patience(wanted) - look - exchange >= 240, "nor if one has to stand in"


@pytest.mark.parametrize("life", [10.0, 60.0, 300.0])
def test_a_short_life_is_used_to_half(life: float) -> None:
    assert ahead(State(lifetime=life), 1.0) == life / 2


def test_what_is_not_known_is_taken_to_be_long() -> None:
    assert ahead(State(), 0.0) == AHEAD


def life(seconds: float) -> Span:
    return Span(Instant.now(), seconds)


@pytest.mark.parametrize(
    ("lifetime", "came_with", "expected"),
    [(60.0, 3600.0, AHEAD), (3600.0, 250.0, AHEAD), (60.0, 20.0, 30.0), (60.0, 60.0, 30.0), (60.0, 61.0, 30.0),
     (None, 60.0, AHEAD)],
)  # fmt: skip
def test_a_token_that_came_with_more_than_the_last_exchange_brought_is_of_another_kind(
    lifetime: float | None, came_with: float, expected: float
) -> None:
    assert ahead(State(lifetime=lifetime, token_life=life(came_with)), 0.0) == expected


# -- an unmodified app


def stock(path: Path) -> Credentials:
    """What an app without Token Keeper makes of the file: google-auth's own credentials."""
    document = on_disk(path)
    assert document.expiry is not None
    untyped: Any = Credentials
    credentials: Credentials = untyped(document.token, expiry=document.expiry.replace(tzinfo=None))
    return credentials


@pytest.mark.parametrize("lifetime", [600, 900, 3599])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_stock_app_finds_a_fresh_token_at_any_time_of_two_hours(
    path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch, lifetime: float, spread: float
) -> None:
    """The time of both clocks is the test's own; keeper, exchanges, files and google-auth's judgement are real."""
    seen: list[float] = []

    def app_looks() -> None:
        credentials = stock(path)
        assert credentials.token_state is TokenState.FRESH, "it would renew the token by itself"
        seen.append((credentials.expiry - google.auth._helpers.utcnow()).total_seconds())

    with running_provider(rotation=True, lifetime=lifetime) as provider:
        TokenStore(path).replace(provider.grant(expires_in=lifetime), rotation="yes")
        renew = provider.renew

        def slow(form: dict[str, str]) -> tuple[int, dict[str, Any]]:
            for _ in range(7):  # an exchange may take as long
                clocks.passes(1)
                app_looks()
            return renew(form)

        monkeypatch.setattr(provider, "renew", slow)
        keeper = Keeper(TokenStore(path))
        keeper._spread = spread
        end = time.time() + 7200
        while time.time() < end:
            keeper.look()
            app_looks()
            clocks.passes(1)
        assert 240 <= min(seen) < 400
        assert provider.exchanges <= 7200 / (lifetime - 370) + 1, "and it is not renewed more often than that needs"


# -- keeping


def test_it_renews_what_is_due_and_nothing_else(store: TokenStore, provider: Provider, path: Path) -> None:
    provider.lifetime = 600
    document = provider.grant(expires_in=1000)
    store.replace(document)
    keeper = Keeper(store)
    for _ in range(3):
        keeper.look()
    assert (provider.forms, keeper.is_active) == ([], True)
    other = Keeper(TokenStore(path))
    write_in_place(path, provider.grant(expires_in=100))
    other.look()
    assert (provider.forms, other.is_active) == ([], False), "one is enough"
    keeper.look()
    assert len(provider.forms) == 1


def test_a_token_that_nears_its_end_is_renewed_once(provider: Provider, path: Path) -> None:
    provider.lifetime = 600
    TokenStore(path).replace(provider.grant(expires_in=250))
    keeper = Keeper(TokenStore(path), look_every=0)
    for _ in range(5):
        keeper.look()
    assert len(provider.forms) == 1
    assert keeper.last_success is not None
    assert keeper.ready()[0]
    assert on_disk(path).expires_in(time.time()) > 500


def test_short_tokens_are_not_renewed_in_a_loop(provider: Provider, path: Path) -> None:
    provider.lifetime = 60
    TokenStore(path).replace(provider.grant(expires_in=20))
    keeper = Keeper(TokenStore(path), look_every=0)
    for _ in range(20):
        keeper.look()
    assert len(provider.forms) == 1


def gives_the_same_again(provider: Provider, document: TokenDocument, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the provider give the token that it gave before, with what is left of its life, as some do."""
    renew, expiry = provider.renew, document.expiry
    assert expiry is not None

    def again(form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        status, answer = renew(form)
        left = int(expiry.timestamp()) - int(time.time())
        return status, answer | {"access_token": document.token, "expires_in": left}

    monkeypatch.setattr(provider, "renew", again)


def test_the_same_token_again_is_not_asked_for_in_a_loop(
    provider: Provider, path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = provider.grant(expires_in=3600)
    TokenStore(path).replace(document)
    gives_the_same_again(provider, document, monkeypatch)
    keeper = Keeper(TokenStore(path))
    clocks.passes(3600 - 290)
    for _ in range(100):
        keeper.look()
        clocks.passes(1)
    assert len(provider.forms) == 1
    assert keeper.last_success is not None


@pytest.mark.parametrize("fault", [True, False])
def test_a_token_that_is_pushed_is_not_kept_waiting_for_what_the_earlier_one_waited(
    provider: Provider, path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch, fault: bool
) -> None:
    document = provider.grant(expires_in=3600)
    TokenStore(path).replace(document)
    provider.script.extend(["busy"] if fault else [])
    keeper = Keeper(TokenStore(path))
    with monkeypatch.context() as patch:
        gives_the_same_again(provider, document, patch)
        clocks.passes(3600 - 290)
        keeper.look()
    keeper.look()
    assert len(provider.forms) == 1
    TokenStore(path).replace(provider.grant(expires_in=60), force=True)
    edit_state(path, cooldown=None)
    keeper.look()
    assert len(provider.forms) == 2
    assert TokenStore(path).seconds_left() > 3500


def test_an_app_that_renews_short_tokens_itself_does_not_make_the_keeper_join_in(
    provider: Provider, path: Path, clocks: Clocks
) -> None:
    provider.lifetime = 60
    TokenStore(path).replace(provider.grant(expires_in=20))
    keeper = Keeper(TokenStore(path))
    keeper.look()
    for number in range(30):
        write_in_place(path, renewed(on_disk(path), f"theirs-{number}", seconds=60))
        keeper.look()
        clocks.passes(5)
    assert len(provider.forms) == 1


def test_a_pushed_token_of_an_hour_is_renewed_in_time_whatever_lived_before(
    provider: Provider, path: Path, clocks: Clocks
) -> None:
    provider.lifetime = 60
    store = TokenStore(path)
    store.replace(provider.grant(expires_in=20))
    keeper = Keeper(TokenStore(path))
    keeper.look()
    provider.lifetime = 3600
    store.replace(provider.grant(expires_in=3600), force=True)
    clocks.passes(3600 - 299)
    keeper.look()
    assert len(provider.forms) == 2


def messages(caplog: pytest.LogCaptureFixture, word: str) -> int:
    return sum(word in record.message for record in caplog.records)


def test_it_waits_as_long_as_all_are_asked_to(provider: Provider, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    TokenStore(path).replace(provider.grant(expires_in=250))
    provider.script.extend(["fault"] * 5)
    keeper = Keeper(TokenStore(path), look_every=0)
    for _ in range(20):
        keeper.look()
    assert len(provider.forms) == 1
    assert messages(caplog, "ProviderUnavailable") == 1, "a fault is said once"
    assert keeper.last_success is None, "a back-off is no success"
    ready, facts = keeper.ready()
    assert ready, "the old token is valid"
    assert facts["expires_in"] > 200


def test_a_fault_that_lasts_is_said_every_five_minutes_and_is_no_success(
    provider: Provider, path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    TokenStore(path).replace(provider.grant(expires_in=3600), rotation="no")
    keeper = Keeper(TokenStore(path))
    keeper.look()
    well = keeper.last_success
    assert well is not None
    provider.script.extend(["fault"] * 1000)
    clocks.passes(3400)
    for _ in range(360):
        keeper.look()
        clocks.passes(10)
    assert 5 < len(provider.forms) < 60
    assert keeper.last_success == well
    assert 2 <= messages(caplog, "ProviderUnavailable") <= 13
    provider.script.clear()
    for _ in range(40):
        keeper.look()
        clocks.passes(10)
    assert keeper.last_success > well + 3600
    assert messages(caplog, "well again: over is ProviderUnavailable") == 1


def test_a_dead_grant_is_no_success_although_its_token_lives(provider: Provider, path: Path) -> None:
    store = TokenStore(path)
    store.replace(provider.grant())
    keeper = Keeper(TokenStore(path))
    provider.live.clear()
    with pytest.raises(TokenKeeperError):
        store.refresh(force=True)
    keeper.look()
    assert (keeper.last_success, len(provider.forms)) == (None, 1)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_torn_document_is_put_back_within_a_look(provider: Provider, path: Path, text: str) -> None:
    TokenStore(path).replace(provider.grant())
    before = on_disk(path)
    path.write_text(text)
    os.utime(path, (0, 0))
    keeper = Keeper(TokenStore(path))
    keeper.look()
    assert on_disk(path) == before
    assert (provider.forms, keeper.ready()[0], keeper.last_success is not None) == ([], True, True)


def leave_reply(path: Path, provider: Provider, *, age: float = 60) -> TokenDocument:
    """Leave the volume as a writer does that is killed after the reply came, and before it was installed."""
    document, volume = on_disk(path), Volume(path)
    reply = renewed(document, "access-of-the-reply", refresh_token="refresh-of-the-reply")
    provider.live.add(reply.refresh_token)
    spent = Identity.of(document).refresh_token
    journal = Journal(
        id="0123456789abcdef" + spent,
        started=earlier(Instant.now(), age),
        document=document.fingerprint,
        refresh_token=spent,
        generation=2,
    )
    pending = path.parent / volume.pending_name(journal.id)
    pending.write_text(reply.to_json())
    pending.chmod(0o600)
    edit_state(path, journal=dataclasses.asdict(journal))
    return reply


@pytest.mark.parametrize("missing", [True, False])
def test_a_reply_that_waits_is_rolled_forward(provider: Provider, path: Path, missing: bool) -> None:
    TokenStore(path).replace(provider.grant(), rotation="yes")
    reply = leave_reply(path, provider)
    if missing:
        path.unlink()
    keeper = Keeper(TokenStore(path))
    keeper.look()
    assert on_disk(path) == reply
    assert provider.forms == []


def test_a_reply_that_is_lost_is_looked_for_once(
    provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenStore(path).replace(provider.grant(), rotation="yes")
    leave_reply(path, provider)
    for pending in path.parent.glob(".token.json.pending.*"):
        pending.unlink()
    keeper = Keeper(TokenStore(path))
    tries = count_tries(monkeypatch)
    for _ in range(10):
        keeper.look()
    assert len(tries) == 1


def count_tries(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    tries: list[None] = []
    real = DirectoryLock._try

    def counted(self: DirectoryLock) -> int | None:
        tries.append(None)
        return real(self)

    monkeypatch.setattr(DirectoryLock, "_try", counted)
    return tries


@pytest.mark.parametrize("cleared", [True, False])
def test_where_there_is_no_token_the_lock_is_taken_once_a_look_and_little_is_said(
    provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cleared: bool
) -> None:
    if cleared:
        TokenStore(path).replace(provider.grant())
        TokenStore(path).clear()
    events = events_of(path)
    tries = count_tries(monkeypatch)
    keeper = Keeper(TokenStore(path))
    for _ in range(10):
        keeper.look()
    assert len(tries) == 10
    assert len(caplog.records) == messages(caplog, "TokenMissing") == 1
    assert (events_of(path), path.exists(), keeper.last_success) == (events, False, None)


@pytest.mark.parametrize("steps", [86_400.0, 3500.0])
def test_a_wall_clock_that_was_stepped_forward_costs_one_renewal(
    provider: Provider, path: Path, clocks: Clocks, steps: float
) -> None:
    """Or an unmodified app would take the token for dead, and renew it by itself."""
    TokenStore(path).replace(provider.grant(expires_in=3600))
    keeper = Keeper(TokenStore(path))
    keeper.look()
    clocks.steps(steps)
    for _ in range(20):
        keeper.look()
        clocks.passes(1)
    assert len(provider.forms) == 1
    assert stock(path).token_state is TokenState.FRESH
    assert keeper.ready()[0]


@pytest.mark.parametrize("steps", [-86_400.0, -3500.0])
def test_a_wall_clock_that_was_stepped_back_delays_no_renewal(
    provider: Provider, path: Path, clocks: Clocks, steps: float
) -> None:
    TokenStore(path).replace(provider.grant(expires_in=3600))
    keeper = Keeper(TokenStore(path))
    clocks.steps(steps)
    for _ in range(20):
        keeper.look()
    assert provider.forms == []
    clocks.passes(3600 - 299)
    for _ in range(20):
        keeper.look()
    assert len(provider.forms) == 1
    assert 3590 < on_disk(path).expires_in(time.time()) <= 3600


def test_ready_goes_by_the_boot_clock(provider: Provider, path: Path, clocks: Clocks) -> None:
    TokenStore(path).replace(provider.grant(expires_in=3600))
    keeper = Keeper(TokenStore(path))
    clocks.steps(86_400)
    ready, facts = keeper.ready()
    assert (ready, 3590 < facts["expires_in"] <= 3600) == (True, True)
    clocks.steps(-2 * 86_400)
    clocks.passes(3601)
    assert not keeper.ready()[0]


def test_a_lock_that_others_hold_is_said_only_if_it_lasts(
    provider: Provider, path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    TokenStore(path).replace(provider.grant(expires_in=100))
    keeper = Keeper(TokenStore(path, lock_timeout=0.01))
    with DirectoryLock(path.parent).hold(1):
        for expected, seconds in ((0, 10), (0, 15), (1, 100), (1, 300), (2, 0)):
            keeper.look()
            assert messages(caplog, "LockTimeout") == expected
            clocks.passes(seconds)
    assert keeper.last_success is None
    keeper.look()
    assert keeper.last_success is not None


def test_a_foreign_document_is_judged_within_a_look(provider: Provider, path: Path) -> None:
    store = TokenStore(path)
    store.replace(provider.grant())
    before = on_disk(path)
    store.replace(provider.grant(), force=True)
    keeper = Keeper(TokenStore(path))
    keeper.look()
    now = on_disk(path)
    write_in_place(path, before)
    keeper.look()
    assert on_disk(path) == now, "a refresh token that was replaced does not come back"
    assert provider.forms == []


def test_a_volume_that_is_not_mounted_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(TokenStore(tmp_path / "nowhere" / "token.json"))
    for _ in range(3):
        keeper.look()
    assert len(caplog.records) == messages(caplog, "StorageError NoVolume") == 1


def test_a_volume_that_is_empty_is_waited_for(provider: Provider, path: Path) -> None:
    keeper = Keeper(TokenStore(path))
    keeper.look()
    assert (keeper.last_success, keeper.ready()[0], keeper.healthy()[0]) == (None, False, True)
    TokenStore(path).replace(provider.grant())
    keeper.look()
    assert keeper.ready()[0]


# -- one active


def test_the_role_is_handed_on_when_its_holder_ends(path: Path) -> None:
    first, second = ActiveRole(Volume(path)), ActiveRole(Volume(path))
    assert (first.take(), second.take(), first.take()) == (True, False, True)
    first.release()
    assert (second.take(), first.take()) == (True, False)


def test_a_side_file_that_was_deleted_hands_on_too(path: Path) -> None:
    first, second = ActiveRole(Volume(path)), ActiveRole(Volume(path))
    assert first.take()
    (path.parent / ".token.json.keeper").unlink()
    assert second.take()
    assert not first.take()


def test_where_the_side_file_cannot_be_made_it_says_so(path: Path) -> None:
    (path.parent / ".token.json.keeper").mkdir()
    with pytest.raises(StorageError):
        ActiveRole(Volume(path)).take()


def test_a_standby_lets_the_active_one_work_and_claims_no_success(
    provider: Provider, path: Path, clocks: Clocks
) -> None:
    TokenStore(path).replace(provider.grant(expires_in=3600))
    active, standby = Keeper(TokenStore(path)), Keeper(TokenStore(path))
    active._spread, standby._spread = 0.0, 1.0
    for _ in range(600):
        active.look()
        standby.look()
        clocks.passes(6)
    assert (active.is_active, standby.is_active, len(provider.forms)) == (True, False, 1)
    assert (active.last_success is not None, standby.last_success) == (True, None)


@pytest.mark.parametrize(("lifetime", "least"), [(600.0, 240.0), (60.0, 15.0)])
def test_a_standby_renews_what_a_frozen_one_does_not(
    provider: Provider, path: Path, clocks: Clocks, lifetime: float, least: float
) -> None:
    TokenStore(path).replace(provider.grant(expires_in=1))
    provider.lifetime = lifetime
    TokenStore(path).refresh(force=True)
    frozen = ActiveRole(Volume(path))
    assert frozen.take()
    standby = Keeper(TokenStore(path))
    lowest = lifetime
    for _ in range(int(lifetime * 3)):
        standby.look()
        lowest = min(lowest, TokenStore(path).seconds_left())
        clocks.passes(1)
    assert not standby.is_active
    assert lowest >= least
    assert 5 <= len(provider.forms) <= 9
    assert standby.last_success is not None


def test_a_standby_mends_what_a_frozen_one_leaves_torn(provider: Provider, path: Path, clocks: Clocks) -> None:
    TokenStore(path).replace(provider.grant())
    before = on_disk(path)
    frozen = ActiveRole(Volume(path))
    assert frozen.take()
    path.write_text("{")
    os.utime(path, (0, 0))
    standby = Keeper(TokenStore(path))
    standby.look()
    assert path.read_text() == "{"
    clocks.passes(31)
    standby.look()
    assert on_disk(path) == before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP])
def test_a_role_that_cannot_be_told_is_said_once_and_the_token_is_kept(
    provider: Provider,
    path: Path,
    clocks: Clocks,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    flags = {name: getattr(fcntl, name) for name in ("LOCK_EX", "LOCK_NB")}
    monkeypatch.setattr("token_keeper.keeper.active.fcntl", SimpleNamespace(flock=fail, **flags))
    TokenStore(path).replace(provider.grant(expires_in=100))
    keeper = Keeper(TokenStore(path))
    for _ in range(40):
        keeper.look()
        clocks.passes(1)
    assert messages(caplog, "StorageError") == 1
    assert len(provider.forms) == 1
    assert not keeper.is_active


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_keeper_that_runs_as_root_locks_no_other_out(path: Path) -> None:
    os.chown(path.parent, 1999, 1998)
    assert ActiveRole(Volume(path)).take()
    side = (path.parent / ".token.json.keeper").stat()
    assert (side.st_uid, side.st_gid) == (1999, 1998)


# -- the command


@contextlib.contextmanager
def keeping(path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A keeper as it runs in its container; yields it and the address of its web server."""
    command = [sys.executable, "-m", "token_keeper", "--path", str(path), "keep", "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                found = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
                if found:
                    yield process, f"http://127.0.0.1:{found[1]}"
                    break
        finally:
            process.kill()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_keeps_tells_and_ends(provider: Provider, path: Path) -> None:
    TokenStore(path).replace(provider.grant(expires_in=100), rotation="no")
    with keeping(path) as (process, address):
        # told when the look is over that has renewed it
        eventually(lambda: json.loads(get(f"{address}/consumers")[1])["consumers"][0]["generation"] == 2)
        assert get(f"{address}/healthz")[0] == 200
        status, metrics = get(f"{address}/metrics")
        assert status == 200
        values = {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line[0] != "#"
        }
        assert values["token_keeper_generation"] == 2
        assert values["token_keeper_exchanges_total"] == 1
        assert values["token_keeper_active"] == 1
        assert values["token_keeper_failures_in_a_row"] == 0
        assert abs(values["token_keeper_access_token_expiry_timestamp_seconds"] - time.time() - 3600) < 60
        assert abs(values["token_keeper_last_success_timestamp_seconds"] - time.time()) < 60
        [mine] = json.loads(get(f"{address}/consumers")[1])["consumers"]
        assert (mine["container"], mine["pid"], mine["generation"]) == (os.uname().nodename, process.pid, 2)
        assert get(f"{address}/nothing")[0] == 404
        assert get(f"{address}/") == (200, "/healthz, /readyz, /consumers, /metrics\n")
        for secret in (*provider.access_tokens, *provider.live, provider.client[1]):
            assert secret not in metrics + get(f"{address}/readyz")[1]
        TokenStore(path).clear()
        eventually(lambda: json.loads(get(f"{address}/consumers")[1])["consumers"][0]["generation"] is None)
        code, body = get(f"{address}/readyz")
        assert (code, json.loads(body)["document"]) == (503, "Cleared")
        begun = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
        assert time.monotonic() - begun < 5, "at once when idle"


def test_an_exchange_that_is_under_way_is_seen_to_its_end(path: Path) -> None:
    with running_provider(rotation=True, latency=1.0) as slow:
        TokenStore(path).replace(slow.grant(expires_in=100), rotation="yes")
        with keeping(path) as (process, _):
            eventually(lambda: len(slow.forms) == 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert on_disk(path).refresh_token in slow.live
        assert state_of(path).generation == 2


def test_a_provider_that_never_answers_delays_the_end_by_the_deadline_at_most(provider: Provider, path: Path) -> None:
    TokenStore(path).replace(provider.grant(expires_in=100), rotation="yes")
    provider.script.append("stall")
    with keeping(path) as (process, _):
        eventually(lambda: len(provider.forms) == 1)
        begun = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
        assert 5 < time.monotonic() - begun < 25
    journal = state_of(path).journal
    assert journal is not None
    assert journal.outcome == "no_reply", "what came of it is noted"


def test_it_ends_at_once_while_others_hold_the_lock(provider: Provider, path: Path) -> None:
    TokenStore(path).replace(provider.grant(expires_in=100))
    with DirectoryLock(path.parent).hold(1), keeping(path) as (process, address):
        eventually(lambda: json.loads(get(f"{address}/healthz")[1])["active"])
        time.sleep(0.5)  # it has found the token due, and waits
        begun = time.monotonic()
        process.terminate()
        assert process.wait(25) == 0
        assert time.monotonic() - begun < 6
    assert provider.forms == []


def test_another_keeper_goes_on_where_the_active_one_is_frozen(path: Path) -> None:
    with running_provider(rotation=True, lifetime=8) as provider:
        TokenStore(path).replace(provider.grant(expires_in=1), rotation="yes")
        with keeping(path) as (first, one):
            eventually(lambda: json.loads(get(f"{one}/healthz")[1])["active"] and len(provider.forms) >= 1)
            with keeping(path) as (_, two):
                with DirectoryLock(path.parent).hold(20):  # not in the midst of an exchange, for which nobody can go on
                    first.send_signal(signal.SIGSTOP)
                    frozen = len(provider.forms)
                eventually(lambda: len(provider.forms) >= frozen + 2, 40)
                assert not json.loads(get(f"{two}/healthz")[1])["active"]
                eventually(lambda: TokenStore(path).seconds_left() > 0)


def test_another_keeper_takes_over_from_one_that_was_killed(provider: Provider, path: Path) -> None:
    TokenStore(path).replace(provider.grant())
    with keeping(path) as (first, one), keeping(path) as (_, two):
        eventually(lambda: json.loads(get(f"{one}/healthz")[1])["active"])
        assert not json.loads(get(f"{two}/healthz")[1])["active"]
        first.kill()
        eventually(lambda: json.loads(get(f"{two}/healthz")[1])["active"])


@pytest.mark.parametrize("listen", ["8080", "host", ":80", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_that_is_none(path: Path, listen: str) -> None:
    command = [sys.executable, "-m", "token_keeper", "--path", str(path), "keep", "--listen", listen]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "--listen" in done.stderr


def test_a_port_that_is_taken(store: TokenStore) -> None:
    registry = registry_of(VolumeCollector(store.status, lambda: None, lambda: False))
    well = lambda: (True, {})  # noqa: E731
    with Server("127.0.0.1", 0, healthy=well, ready=well, report=well, registry=registry) as server:
        with pytest.raises(TokenKeeperError) as caught:
            Server("127.0.0.1", server.port, healthy=well, ready=well, report=well, registry=registry)
        assert caught.value.reason == "CannotListen"
    with Server("::1", 0, healthy=well, ready=well, report=well, registry=registry) as server:
        assert get(f"http://[::1]:{server.port}/healthz")[0] == 200
