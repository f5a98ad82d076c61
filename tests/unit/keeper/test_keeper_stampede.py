"""An expired token and sixty-four processes: exactly one exchange, no error, no torn read."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from keeper_parts import ending, expired, on_disk, push, state_of
from keeper_provider import running_provider
from keeper_stampede import children, holder_in_exchange, reader, stampede

from sandbox_provider.testing import running_sandbox
from token_keeper import TokenDocument, TokenStore
from token_keeper.errors import ProviderUnavailable
from token_keeper.state import Rotation

CONSUMER = """
import sys
from token_keeper import TokenStore, exchange
store = TokenStore(sys.argv[1], lock_timeout=25)
exchange.prepare()
print("ready", flush=True)
sys.stdin.readline()
print(store.access_token(), flush=True)
"""


@pytest.mark.parametrize("rotation", [False, True])
def test_sixty_four_forked_processes_make_one_exchange(path: Path, rotation: bool) -> None:
    with running_provider(latency=0.25, rotation=rotation) as provider:
        push(TokenStore(path), expired(provider.grant()))
        with reader(path) as seen:
            outcomes = stampede(path, 64)
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        assert {outcome.token for outcome in outcomes} == {on_disk(path).token}
        assert (provider.exchanges, len(provider.forms)) == (1, 1)
        assert seen()["torn"] == 0
        assert seen()["reads"] > 20
        assert state_of(path).generation == 2
        assert on_disk(path).refresh_token in provider.live


def test_processes_of_their_own_against_the_sandbox_make_one_exchange(path: Path, tmp_path: Path) -> None:
    """Nine interpreters, started one by one as containers are, released at once; a provider of its own process."""
    with running_sandbox() as sandbox:
        sandbox.settings(rotation=True, latency=0.25)
        document = TokenDocument.from_mapping(sandbox.issue_token(expires_in=-10))
        push(TokenStore(path), document)
        before = sandbox.counters()["exchanges"]
        consumers = [
            subprocess.Popen(
                [sys.executable, "-c", CONSUMER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(9)
        ]
        for consumer in consumers:
            assert consumer.stdout is not None
            assert consumer.stdout.readline() == "ready\n"
        with reader(path) as seen:
            for consumer in consumers:
                assert consumer.stdin is not None
                consumer.stdin.write("go\n")
                consumer.stdin.flush()
            tokens = {consumer.communicate(timeout=30)[0].strip() for consumer in consumers}
        assert [consumer.returncode for consumer in consumers] == [0] * 9
        after = sandbox.counters()["exchanges"]
        assert after["refresh_token"] - before["refresh_token"] == 1
        assert after["refused"] == before["refused"]
        assert tokens == {on_disk(path).token}
        assert sandbox.accepts(tokens.pop())
        assert seen()["torn"] == 0


def test_a_token_near_its_end_is_renewed_by_one_and_nobody_waits(path: Path) -> None:
    with running_provider(latency=6.0) as provider:
        document = ending(provider.grant())
        push(TokenStore(path), document)
        outcomes = stampede(path, 32)
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        assert provider.exchanges == 1
        assert sum(outcome.token != document.token for outcome in outcomes) <= 2
        served = [outcome.seconds for outcome in outcomes if outcome.token == document.token]
        assert len(served) >= 30
        assert max(served) < 6.0, "they go on with the token they have, before the new one is there"


@pytest.mark.parametrize("rotation", ["no", "unknown"])
def test_a_provider_that_fails_is_asked_once_a_step_by_all(path: Path, rotation: Rotation) -> None:
    """Sixty-four processes that go on asking for their token, through several steps of the back-off."""
    insisted = 4.0
    with running_provider(latency=0.1) as provider:
        push(TokenStore(path), expired(provider.grant()), rotation=rotation)
        provider.script.extend(["fault"] * 999)

        def insist() -> str:
            store = TokenStore(path)
            end = time.monotonic() + insisted
            said = set()
            # three steps at the least, however long the first request took to come
            while time.monotonic() < end or (state_of(path).failures < 3 and time.monotonic() < end + 60):
                try:
                    return store.access_token()
                except ProviderUnavailable as error:
                    said.add(error.reason)
                time.sleep(0.02)
            return " ".join(sorted(said))

        begun = time.monotonic()
        outcomes = children(64, insist)
        elapsed = time.monotonic() - begun
        assert {outcome.error for outcome in outcomes} == {None}
        assert {outcome.token for outcome in outcomes} <= {"BackOff", "BackOff Status500", "Status500"}
        # one for each step of the back-off, which doubles from 0.8 s at the least
        assert 3 <= len(provider.forms) <= 1 + math.log2(1 + elapsed / 0.8)
        assert state_of(path).failures == len(provider.forms)


def test_a_dead_grant_is_found_out_once_by_all(path: Path) -> None:
    with running_provider(latency=0.1) as provider:
        push(TokenStore(path), expired(provider.grant()))
        provider.live.clear()
        outcomes = stampede(path, 32)
        assert {outcome.error for outcome in outcomes} == {"ReauthRequired: InvalidGrant"}
        assert len(provider.forms) == 1


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_when_the_holder_is_killed_another_takes_over(path: Path) -> None:
    """The provider does not rotate, so that asking again is safe."""
    with running_provider() as provider:
        push(TokenStore(path), expired(provider.grant()), rotation="no")
        provider.script.append("stall")
        with holder_in_exchange(path) as holder:
            until(lambda: len(provider.forms) == 1)
            os.kill(holder, signal.SIGKILL)
            outcomes = stampede(path, 16)
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        assert (provider.exchanges, len(provider.forms)) == (1, 2)
        assert len({outcome.token for outcome in outcomes}) == 1


def test_when_the_holder_is_killed_under_rotation_nobody_tempts_the_provider(path: Path) -> None:
    with running_provider(rotation=True) as provider:
        push(TokenStore(path), expired(provider.grant()), rotation="yes")
        provider.script.append("stall_after")
        with holder_in_exchange(path) as holder:
            until(lambda: len(provider.forms) == 1)
            os.kill(holder, signal.SIGKILL)
            outcomes = stampede(path, 16)
        assert {outcome.error for outcome in outcomes} == {"ReauthRequired: ExchangeOutcomeUnknown"}
        assert len(provider.forms) == 1
        assert provider.live, "the family is alive"


def test_when_the_holder_is_killed_within_a_reuse_grace_one_replay_heals(path: Path) -> None:
    with running_provider(rotation=True, grace=30) as provider:
        push(TokenStore(path), expired(provider.grant()), rotation="yes", reuse_grace=30)
        provider.script.append("stall_after")
        with holder_in_exchange(path) as holder:
            until(lambda: len(provider.forms) == 1)
            os.kill(holder, signal.SIGKILL)
            outcomes = stampede(path, 16)
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        assert len(provider.forms) == 2
        assert on_disk(path).refresh_token in provider.live


def test_a_stopped_holder_blocks_nobody_for_longer_than_they_are_willing_to_wait(path: Path) -> None:
    with running_provider() as provider:
        push(TokenStore(path), ending(provider.grant()), rotation="no")
        old = on_disk(path)
        provider.script.append("stall")
        with holder_in_exchange(path) as holder:
            until(lambda: len(provider.forms) == 1)
            os.kill(holder, signal.SIGSTOP)
            served = stampede(path, 8, lock_timeout=0.5)
            assert {outcome.token for outcome in served} == {old.token}
            # with a token that is over they wait, and then say what stands in the way
            path.write_text(expired(old).to_json())
            refused = stampede(path, 8, lock_timeout=0.5)
            assert {outcome.error for outcome in refused} == {"LockTimeout: LockTimeout"}
            os.kill(holder, signal.SIGCONT)
            os.kill(holder, signal.SIGKILL)
            assert [outcome.error for outcome in stampede(path, 8) if outcome.error] == []


@pytest.mark.parametrize("late", ["token_keeper.ledger", "google.auth.transport.requests"])
def test_a_fork_does_not_cut_an_import_in_two(path: Path, late: str) -> None:
    """The child would wait for ever for the lock of a module that a thread of its parent was importing."""
    with running_provider(latency=0.1) as provider:
        store = TokenStore(path)
        push(store, expired(provider.grant()))
        script = (
            "import os, signal, sys, threading, time\n"
            "from token_keeper import TokenStore\n"
            "importing = threading.Event()\n"
            "class Slow:\n"
            "    def find_spec(self, name, *_):\n"
            "        if name == sys.argv[2]:\n"
            "            importing.set()\n"
            "            time.sleep(0.5)\n"
            "sys.meta_path.insert(0, Slow())\n"
            "store = TokenStore(sys.argv[1])\n"
            "thread = threading.Thread(target=store.access_token)\n"
            "thread.start()\n"
            "importing.wait()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    signal.alarm(10)\n"
            "    os._exit(0 if TokenStore(sys.argv[1]).refresh(force=True).after['state'] == 'sound' else 1)\n"
            "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
            "thread.join()\n"
            "sys.exit(code)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), late], timeout=30, check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert provider.exchanges >= 1


def test_every_import_that_comes_late_holds_back_a_fork(path: Path) -> None:
    """Codecs are modules too, and are imported when a text is first decoded."""
    with running_provider() as provider:
        document = expired(provider.grant())
        by_name = document.token_uri.replace("127.0.0.1", "localhost")
        push(TokenStore(path), dataclasses.replace(document, token_uri=by_name))
        script = (
            "import sys, traceback\n"
            "from token_keeper import TokenStore, forks\n"
            "class Watch:\n"
            "    def find_spec(self, name, *_):\n"
            "        if not forks._importing._is_owned():\n"
            "            print(name, *traceback.format_stack(limit=12), file=sys.stderr)\n"
            "sys.meta_path.insert(0, Watch())\n"
            "store = TokenStore(sys.argv[1])\n"
            "store.access_token()\n"
            "store.refresh(force=True)\n"
            "store.status()\n"
            "assert store.rotation\n"
            "store.credentials().refresh(None)\n"
            "store.clear()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], timeout=30, check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_prefork_parent_and_its_children_share_one_store(path: Path) -> None:
    """A store that was used before the fork, while another thread of the parent was in the midst of an exchange."""
    with running_provider(latency=0.3) as provider:
        store = TokenStore(path, lock_timeout=15)
        push(store, expired(provider.grant()))
        script = (
            "import os, sys, threading, time\n"
            "from token_keeper import TokenStore, exchange\n"
            "exchange.prepare()\n"
            "store = TokenStore(sys.argv[1], lock_timeout=15)\n"
            "thread = threading.Thread(target=store.access_token)\n"
            "thread.start()\n"
            "time.sleep(0.1)\n"
            "children = []\n"
            "for _ in range(8):\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        code = 1\n"
            "        try:\n"
            "            code = 0 if store.access_token() else 1\n"
            "        finally:\n"
            "            os._exit(code)\n"
            "    children.append(child)\n"
            "codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]\n"
            "thread.join()\n"
            "sys.exit(max(codes))\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(path)], timeout=20, check=False)
        assert done.returncode == 0
        assert provider.exchanges == 1
        assert store.access_token() in provider.access_tokens
