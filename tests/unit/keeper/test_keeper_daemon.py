"""The keeper: renews ahead of every app, one at a time, and tells how things are."""

from __future__ import annotations

import contextlib
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
from pathlib import Path

import pytest
from keeper_parts import on_disk, state_of, write_in_place
from keeper_provider import Provider, running_provider

from token_keeper import TokenStore
from token_keeper.errors import StorageError, TokenKeeperError
from token_keeper.keeper import Keeper
from token_keeper.keeper.active import ActiveRole
from token_keeper.keeper.http import Server
from token_keeper.keeper.metrics import VolumeCollector, registry_of
from token_keeper.keeper.schedule import AHEAD, ahead
from token_keeper.state import State
from token_keeper.volume import Volume


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


# -- when


@pytest.mark.parametrize("life", [600.0, 1200.0, 3600.0, 86_400.0])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_a_stock_app_never_sees_a_token_closer_than_four_minutes_to_its_end(life: float, spread: float) -> None:
    look, exchange = 1.0, 8.0
    assert ahead(State(lifetime=life), spread) - look - exchange >= 240


@pytest.mark.parametrize("life", [10.0, 60.0, 300.0])
def test_a_short_life_is_used_to_half(life: float) -> None:
    assert ahead(State(lifetime=life), 1.0) == life / 2


def test_what_is_not_known_is_taken_to_be_long() -> None:
    assert ahead(State(), 0.0) == AHEAD


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


def test_it_waits_as_long_as_all_are_asked_to(provider: Provider, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    TokenStore(path).replace(provider.grant(expires_in=250))
    provider.script.extend(["fault"] * 5)
    keeper = Keeper(TokenStore(path), look_every=0)
    for _ in range(20):
        keeper.look()
    assert len(provider.forms) == 1
    assert sum("ProviderUnavailable" in record.message for record in caplog.records) == 1, "a fault is said once"
    ready, facts = keeper.ready()
    assert ready, "the old token is valid"
    assert facts["expires_in"] > 200


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
        eventually(lambda: len(provider.forms) == 1 and get(f"{address}/readyz")[0] == 200)
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
