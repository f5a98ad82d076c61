"""A model of several processes, one volume and a provider that rotates and ends the grant when a token is used twice.

Processes ask at once, die and are stopped in the midst of it, replies are lost or late, side files vanish; after each
step it is compared what the provider knows with what the volume holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aftermath import come_to_rest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keeper_parts import earlier, edit_state, on_disk, pendings, push, state_path
from keeper_provider import Provider
from soak import SOAK, amount
from traced import wait_until
from worker_processes import Answer, Worker

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.clock import Instant, Span
from token_keeper.errors import TokenCorrupt
from token_keeper.state import Identity, State

WORKERS = 3
TYPED = {"", "TokenMissing", "ReauthRequired", "ProviderUnavailable", "LockTimeout", "StorageError"}
STEPS = {"taken": 0}


class ProcessesMachine(RuleBasedStateMachine):
    """What may happen to processes that share a token."""

    @initialize(grace=st.booleans())
    def begin(self, grace: bool) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "token.json"
        self.provider = Provider(rotation=True, grace=3600 if grace else 0)
        push(TokenStore(self.path), self.provider.grant(), rotation="yes", reuse_grace=3600 if grace else 0)
        self.workers = [Worker(self.path) for _ in range(WORKERS)]
        self.generation = 0
        self.grants = 1

    def teardown(self) -> None:
        if hasattr(self, "workers"):
            for worker in self.workers:
                worker.kill()
            self.provider.close()
            shutil.rmtree(self.folder)

    def state(self) -> State | None:
        with contextlib.suppress(FileNotFoundError):
            return State.parse(state_path(self.path).read_bytes())
        return None

    def judge(self, *answers: Answer) -> None:
        for answer in answers:
            assert answer.error in TYPED, answer.reason

    @rule(who=st.integers(0, WORKERS - 1))
    def one_asks(self, who: int) -> None:
        before, fresh = len(self.provider.forms), on_disk(self.path).expires_in(time.time()) > 1000
        answer = self.workers[who].ask("access_token")
        self.judge(answer)
        asked = len(self.provider.forms) - before
        assert asked <= 1
        if fresh:
            assert asked == 0, "it was fresh"
            assert answer.value == on_disk(self.path).token

    @rule()
    def all_ask_at_once(self) -> None:
        before, misbehaves = len(self.provider.forms), bool(self.provider.script)
        for worker in self.workers:
            worker.tell("access_token")
        answers = [worker.answer() for worker in self.workers]
        self.judge(*answers)
        assert len(self.provider.forms) - before <= 1, "one need, one exchange"
        tokens = {answer.value for answer in answers} - {""}
        assert tokens <= self.provider.access_tokens
        if not misbehaves:
            assert len(tokens) <= 1

    @rule(who=st.integers(0, WORKERS - 1))
    def one_forces_a_refresh(self, who: int) -> None:
        before = len(self.provider.forms)
        if not self.is_unknown():
            self.judge(self.workers[who].ask("refresh", force=True))
            assert len(self.provider.forms) - before <= 1

    @rule()
    def all_force_a_refresh_at_once(self) -> None:
        if self.is_unknown() or self.provider.script:
            return
        before = len(self.provider.forms)
        for worker in self.workers:
            worker.tell("refresh", force=True)
        self.judge(*[worker.answer() for worker in self.workers])
        assert 1 <= len(self.provider.forms) - before <= WORKERS

    @precondition(lambda self: not self.provider.script)
    @rule(kind=st.sampled_from(["drop", "drop_after", "half", "fault", "busy"]))
    def the_provider_will_misbehave(self, kind: str) -> None:
        """Not by a fault after it has done the work: that is asked again at the old token's end, and rightly so."""
        self.provider.script.append(kind)

    @precondition(lambda self: not self.provider.script)
    @rule(who=st.integers(0, WORKERS - 1), when=st.sampled_from(["before", "after"]), stopped=st.booleans())
    def one_dies_while_it_asks(self, who: int, when: str, stopped: bool) -> None:
        """Before or after the provider has carried it out; meanwhile the others ask too."""
        self.token_ends()
        self.back_off_ends()
        self.provider.script.append("stall" if when == "before" else "stall_after")
        victim = self.workers[who]
        before, done = len(self.provider.forms), self.provider.exchanges
        victim.tell("access_token")
        asks = wait_until(lambda: len(self.provider.forms) > before, 0.3)
        if not asks:  # it may not: the grant is dead or unknown
            self.provider.script.clear()
            self.judge(victim.answer())
            return
        if when == "after":
            assert wait_until(lambda: self.provider.exchanges > done)
        if stopped:
            victim.stop()
            others = [worker for worker in self.workers if worker is not victim]
            for worker in others:
                worker.tell("access_token")
            self.judge(*[worker.answer() for worker in others])
            assert len(self.provider.forms) == before + 1, "somebody asked without the lock"
        victim.kill()
        self.release()
        self.workers[who] = Worker(self.path)

    @precondition(lambda self: not self.provider.script)
    @rule(who=st.integers(0, WORKERS - 1))
    def a_reply_is_late(self, who: int) -> None:
        """Nobody waits for it any more when it comes, and it is kept all the same."""
        self.token_ends()
        self.back_off_ends()
        self.provider.script.append("stall_after")
        before = self.provider.exchanges
        self.judge(self.workers[who].ask("access_token"))
        self.provider.script.clear()
        self.release()
        if self.provider.exchanges > before:
            wait_until(self.live_in_volume, 15.0)
            self.judge(self.workers[who - 1].ask("access_token"))
            assert self.live_in_volume()

    def release(self) -> None:
        self.provider.released.set()
        come_to_rest(self.provider)
        self.provider.released.clear()

    @rule()
    def token_ends(self) -> None:
        """Time passes: document, history and state are those of an hour ago."""
        state = self.state()
        document = on_disk(self.path)
        if state is None or state.identity is None or state.identity.document != document.fingerprint:
            return
        over = document.with_expires_in(-10, time.time())
        replaced(self.path, over.to_json())
        entry = self.folder / ".token.json.history" / f"{state.grant}.json"
        if entry.exists():
            entry.write_text(json.dumps(json.loads(entry.read_text()) | {"document": json.loads(over.to_json())}))
        journal = state.journal
        if journal is not None and journal.document == document.fingerprint:
            edit_state(self.path, journal=dataclasses.asdict(dataclasses.replace(journal, document=over.fingerprint)))
        life = Span(earlier(Instant.now(), 3610), 3600.0)  # what counts, whatever the document says
        edit_state(self.path, identity=dataclasses.asdict(Identity.of(over)), token_life=dataclasses.asdict(life))

    @rule()
    def back_off_ends(self) -> None:
        if self.state() is not None:
            edit_state(self.path, cooldown=None)

    @precondition(lambda self: self.grants < 4)
    @rule(who=st.integers(0, WORKERS - 1))
    def a_new_consent_is_pushed(self, who: int) -> None:
        self.grants += 1
        self.provider.live.clear()
        self.judge(self.workers[who].ask("push", document=self.provider.grant().to_json()))

    @precondition(lambda self: self.state() is not None)
    @rule(name=st.sampled_from(["history", "events"]))
    def a_side_file_vanishes(self, name: str) -> None:
        side = self.folder / f".token.json.{name}"
        shutil.rmtree(side) if side.is_dir() else side.unlink(missing_ok=True)

    @precondition(lambda self: self.is_remembered() and not self.is_unknown() and not self.waiting_replies())
    @rule()
    def the_state_vanishes(self) -> None:
        """Not while it alone knows that a reply was lost, or how far the generations have come."""
        state_path(self.path).unlink(missing_ok=True)
        self.judge(self.workers[0].ask("access_token"))

    def is_remembered(self) -> bool:
        """Tell whether something besides the state remembers the generation."""
        return any(self.folder.glob(".token.json.history/*.json")) or (self.folder / ".token.json.events").exists()

    def is_unknown(self) -> bool:
        state = self.state()
        return state is not None and (state.journal is not None or state.dead_grant is not None)

    def waiting_replies(self) -> list[TokenDocument]:
        found = []
        for pending in pendings(self.path):
            with contextlib.suppress(TokenCorrupt):
                found.append(TokenDocument.parse(pending.read_bytes()))
        return found

    def live_in_volume(self) -> bool:
        """Tell whether the volume holds a refresh token that works."""
        documents = [on_disk(self.path), *self.waiting_replies()]
        for entry in self.folder.glob(".token.json.history/*.json"):
            documents.append(TokenDocument.from_mapping(json.loads(entry.read_text())["document"]))
        return any(document.refresh_token in self.provider.live for document in documents)

    @invariant()
    def there_is_a_whole_document(self) -> None:
        if hasattr(self, "workers"):
            STEPS["taken"] += 1
            assert on_disk(self.path).token in self.provider.access_tokens

    @invariant()
    def no_spent_token_was_sent(self) -> None:
        if hasattr(self, "workers"):
            assert self.provider.live, "a refresh token was used twice, and the grant is dead"

    @invariant()
    def the_live_refresh_token_is_there_or_it_is_said_that_nobody_knows(self) -> None:
        if not hasattr(self, "workers") or self.live_in_volume():
            return
        state = self.state()
        assert state is not None
        spent = fingerprint(on_disk(self.path).refresh_token)
        told = state.conditions.get("ReauthRequired")
        assert (state.journal is not None and state.journal.refresh_token == spent) or (
            told is not None and told.status == "True" and told.reason == "ExchangeOutcomeUnknown"
        )

    @invariant()
    def the_generation_never_falls(self) -> None:
        state = self.state() if hasattr(self, "workers") else None
        if state is not None:
            assert state.generation >= self.generation
            self.generation = state.generation


def replaced(path: Path, text: str) -> None:
    temporary = path.with_name("tests-own")
    temporary.write_text(text)
    temporary.chmod(0o600)
    temporary.replace(path)


TestProcesses = ProcessesMachine.TestCase
TestProcesses.settings = settings(
    max_examples=amount(12, 150),
    stateful_step_count=amount(30, 50),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not SOAK,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink would take many processes a long time
    report_multiple_bugs=False,
)


def test_that_enough_steps_were_taken(figure: Callable[[str], None]) -> None:
    figure(f"many processes: {STEPS['taken']} steps")
    assert STEPS["taken"] >= amount(200, 3000) or STEPS["taken"] == 0, "0: another process has taken them"
