"""A model of a store and its provider: some hundred steps in any order, and what must hold after each of them.

The provider is in the same process, rotates or does not, drops replies before and after the work, and ends the family
when a spent refresh token comes back. Stock apps write without the lock, side files vanish, time passes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keeper_parts import earlier, edit_state, make_old, state_path

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper import refresh as refresh_module
from token_keeper.clock import Instant, Span
from token_keeper.document import expiry_after
from token_keeper.errors import Conflict, ProviderUnavailable, ReauthRequired, TokenKeeperError
from token_keeper.exchange import TokenReply
from token_keeper.state import Identity, State


class FakeProvider:
    """An authorization server as the security BCP wants it."""

    def __init__(self, *, rotation: bool) -> None:
        self.rotation = rotation
        self.numbers = itertools.count(1)
        self.live: set[str] = set()
        self.spent: set[str] = set()
        self.family_of: dict[str, int] = {}
        self.asked: list[str] = []
        self.kills = 0
        self.next = "ok"

    def grant(self, seconds: float) -> TokenDocument:
        number = next(self.numbers)
        refresh = f"refresh-{number}"
        self.live.add(refresh)
        self.family_of[refresh] = number
        return TokenDocument(
            token=f"access-{number}",
            refresh_token=refresh,
            token_uri="https://provider.test/token",
            client_id="client",
            client_secret="secret",
            expiry=expiry_after(seconds, time.time()),
        )

    def request_token(
        self,
        token_uri: str,
        form: Mapping[str, str],
        *,
        deadline: float,
        on_reply: Callable[[TokenReply], None],
    ) -> TokenReply:
        kind, self.next = self.next, "ok"
        refresh = form["refresh_token"]
        self.asked.append(refresh)
        lost = ProviderUnavailable("lost", reason="NoReply", outcome_known=False)
        if kind == "unreachable":
            raise ProviderUnavailable("away", reason="Unreachable")
        if kind == "lost before":
            raise lost
        if kind == "fault":
            raise ProviderUnavailable("fault", reason="Status500", outcome_known=False)
        if refresh in self.spent:
            family = self.family_of[refresh]
            self.live = {token for token in self.live if self.family_of[token] != family}
            self.kills += 1
        if refresh not in self.live:
            raise ReauthRequired("400 invalid_grant", reason="InvalidGrant")
        number = next(self.numbers)
        successor = None
        if self.rotation:
            successor = f"refresh-{number}"
            self.live = self.live - {refresh} | {successor}
            self.spent.add(refresh)
            self.family_of[successor] = self.family_of[refresh]
        if kind == "lost after":
            raise lost
        reply = TokenReply(f"access-{number}", successor, 3600.0, None, None, None, time.time(), time.time())
        on_reply(reply)
        if kind == "late":
            raise lost
        return reply


class StoreMachine(RuleBasedStateMachine):
    """What may happen to a volume."""

    @initialize(rotation=st.booleans(), declared=st.sampled_from(["yes", "no", "unknown"]))
    def begin(self, rotation: bool, declared: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "token.json"
        self.provider = FakeProvider(rotation=rotation)
        self.patch = mock.patch.object(refresh_module, "request_token", self.provider.request_token)
        self.patch.start()
        self.stores = [TokenStore(self.path, service=name, lock_timeout=1) for name in "ab"]
        self.generation = 0
        # a provider that rotates and is said not to would be asked twice, and rightly so
        known = declared if not rotation or declared != "no" else "unknown"
        self.stores[0].replace(self.provider.grant(100), rotation=known)  # type: ignore[arg-type]
        self.superseded: set[str] = set()
        self.insisted = False

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.stop()
            shutil.rmtree(self.folder)

    def document(self) -> TokenDocument | None:
        try:
            return TokenDocument.parse(self.path.read_bytes())
        except (FileNotFoundError, TokenKeeperError):
            return None

    def state(self) -> State | None:
        return State.parse(state_path(self.path).read_bytes()) if state_path(self.path).exists() else None

    @rule(who=st.sampled_from([0, 1]))
    def ask(self, who: int) -> None:
        asked = len(self.provider.asked)
        document = self.document()
        with contextlib.suppress(TokenKeeperError):
            token = self.stores[who].access_token()
            assert token.startswith("access-")
        assert len(self.provider.asked) - asked <= 1, "at most one exchange"
        if document is not None and document.expires_in(time.time()) > 1000:
            assert len(self.provider.asked) == asked, "none while the token is fresh"

    @rule(who=st.sampled_from([0, 1]), force=st.booleans())
    def refresh(self, who: int, force: bool) -> None:
        asked = len(self.provider.asked)
        self.insisted |= force
        with contextlib.suppress(TokenKeeperError):
            self.stores[who].refresh(force=force)
        assert len(self.provider.asked) - asked <= 1

    @rule(kind=st.sampled_from(["lost before", "lost after", "late", "fault", "unreachable"]))
    def provider_will_misbehave(self, kind: str) -> None:
        self.provider.next = kind

    @rule()
    def consent_and_push(self) -> None:
        self.stores[0].replace(self.provider.grant(3600), force=True)

    @rule()
    def push_something_old(self) -> None:
        document = self.document()
        if document is None or not self.superseded:
            return
        old = dataclasses.replace(document, refresh_token=sorted(self.superseded)[0], token="access-old")
        try:
            self.stores[1].replace(old)
        except Conflict:
            return
        raise AssertionError("a superseded token was taken")

    @precondition(lambda self: self.state() is not None and self.document() is not None)
    @rule()
    def token_ends(self) -> None:
        """Time passes: document, history and state are those of an hour ago."""
        state, document = self.state(), self.document()
        if document is None or state is None or state.identity is None:
            return
        if state.identity.document != document.fingerprint:
            return
        over = document.with_expires_in(-10, time.time())
        self.path.write_text(over.to_json())
        make_old(self.path)
        life = Span(earlier(Instant.now(), 3610), 3600.0)  # what counts, whatever the document says
        edit_state(self.path, identity=dataclasses.asdict(Identity.of(over)), token_life=dataclasses.asdict(life))
        entry = self.folder / ".token.json.history" / f"{state.grant}.json"
        if entry.exists():
            entry.write_text(json.dumps(json.loads(entry.read_text()) | {"document": json.loads(over.to_json())}))

    @precondition(lambda self: self.state() is not None)
    @rule()
    def back_off_ends(self) -> None:
        edit_state(self.path, cooldown=None)

    @rule(what=st.sampled_from(["rewrite", "old", "torn", "empty"]))
    def stock_app_writes(self, what: str) -> None:
        document = self.document()
        if document is None:
            return
        if what == "rewrite":
            self.path.write_text(dataclasses.replace(document, account="stock").to_json())
        elif what == "old" and self.superseded:
            old = dataclasses.replace(document, refresh_token=sorted(self.superseded)[-1], token="access-back")
            self.path.write_text(old.with_expires_in(5000, time.time()).to_json())
        elif what in {"torn", "empty"}:
            self.path.write_text(document.to_json()[:60] if what == "torn" else "")
        make_old(self.path)
        for store in self.stores:
            with contextlib.suppress(TokenKeeperError):
                store.refresh()

    @rule(name=st.sampled_from(["state", "history"]))
    def side_file_vanishes(self, name: str) -> None:
        side = self.folder / f".token.json.{name}"
        if side.is_dir():
            shutil.rmtree(side)
        elif side.exists():
            side.unlink()
            self.superseded.clear()
            self.insisted = True

    @rule()
    def clear(self) -> None:
        self.stores[1].clear()
        assert self.document() is None

    @invariant()
    def the_generation_never_falls(self) -> None:
        state = self.state() if hasattr(self, "path") else None
        if state is not None:
            assert state.generation >= self.generation
            self.generation = state.generation

    @invariant()
    def what_was_superseded_does_not_become_current(self) -> None:
        state = self.state() if hasattr(self, "path") else None
        if state is None or state.identity is None:
            return
        self.superseded = {f"refresh-{n}" for n in range(1, 400) if fingerprint(f"refresh-{n}") in state.superseded}
        assert state.identity.refresh_token not in state.superseded

    @invariant()
    def no_spent_token_is_sent_unless_somebody_insisted_or_the_state_was_lost(self) -> None:
        if hasattr(self, "provider") and not self.insisted:
            assert self.provider.kills == 0


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
