"""The power fails at any moment of a push, a refresh, a clearing, a promotion or a recovery, and takes with it what was
not flushed.

What the store does to the disk is recorded once; then every state that the disk may be in after a loss is made and
opened, by a store on a machine that has just been booted.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aftermath import answer_directly, generation_of, is_outcome_unknown, no_litter, old_or_live, start_afresh
from crash_states import Disk, Recorder
from keeper_parts import ending, push, renewed, state_of, state_path
from keeper_provider import Provider
from soak import amount
from volume_calls import Call

from token_keeper import TokenDocument, TokenStore, clock, refresh
from token_keeper.errors import TokenMissing

AT_LEAST = 1000
SCENARIOS = 11
ANSWERED = "the provider has answered"
TRIED: dict[str, int] = {}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "_SAVE_PAUSE", 0.0)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # that it is called is what counts: the disk is a model


@dataclasses.dataclass
class Loss:
    """The states that are tried, one after another.

    Attributes:
        path: of the document in the one that is tried now.
        at: so many steps had been made when the power failed.
        steps: of these.
    """

    path: Path
    monkeypatch: pytest.MonkeyPatch
    at: int = 0
    steps: int = 0
    tried: int = 0

    def states(self, recorder: Recorder, *, each: int = 0) -> Iterator[Disk]:
        """Make each state, and boot."""
        self.steps = len(recorder.steps)
        boots = itertools.count()
        for at, disk in recorder.crash_states(each=each or amount(40, 400)):
            shutil.rmtree(self.path.parent, ignore_errors=True)
            disk.write_to(self.path.parent)
            name = f"boot-{next(boots)}"
            self.monkeypatch.setattr(clock, "boot_id", lambda name=name: name)
            self.at = at
            self.tried += 1
            try:
                yield disk
            except Exception as error:
                told = "; ".join(map(str, recorder.steps[:at]))
                raise AssertionError(f"the power failed after [{told}], and this was found: {disk.names}") from error

    @property
    def was_done(self) -> bool:
        """Tell whether all had been done, and said to be done."""
        return self.at == self.steps


@pytest.fixture
def loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Loss]:
    found = Loss(tmp_path / "after" / "token.json", monkeypatch)
    yield found
    TRIED[request.node.name] = found.tried


def test_a_push(path: Path, loss: Loss, provider: Provider) -> None:
    """Of another grant, of a newer token of the same grant, and into an empty volume."""
    first = provider.grant(expires_in=3000)
    documents = [None, first, renewed(first, "access-newer", seconds=3500), provider.grant()]
    provider.access_tokens.add("access-newer")
    for old, new in itertools.pairwise(documents):
        assert new is not None
        with Recorder(path.parent) as recorder:
            TokenStore(path).replace(new, force=True)
        before = documents.index(new) - 1
        for _ in loss.states(recorder):
            whole(loss, old, new)
            assert generation_of(loss.path) >= (before + 1 if loss.was_done else before)
            TokenStore(loss.path).replace(new, force=True)
            assert TokenStore(loss.path).read() == new


def whole(loss: Loss, old: TokenDocument | None, new: TokenDocument) -> None:
    """A reader sees one of them whole, and so does the next writer."""
    try:
        found: TokenDocument | None = TokenStore(loss.path).read()
    except TokenMissing:
        found = None
    assert found in ([new] if loss.was_done else [old, new])
    if old is None and found is None and not state_path(loss.path).exists():
        return
    try:
        token = TokenStore(loss.path).access_token()
    except TokenMissing:
        assert old is None
        return
    assert token in {new.token, old.token if old else None}
    now = TokenStore(loss.path).read()
    assert now in ([new] if loss.was_done else [old, new])


def history_fails(call: Call) -> None:
    if call.path.startswith(".token.json.history/") and call.changes:
        raise OSError(errno.EIO, "a bad disk")


def nothing_fails(_: Call) -> None:
    return


def spoil(volume: Path, what: str) -> None:
    if what == "bare":
        shutil.rmtree(volume / ".token.json.history")


@pytest.mark.parametrize("start", ["settled", "bare", "history fails"])
@pytest.mark.parametrize("rotation", [True, False])
def test_a_refresh(
    path: Path, loss: Loss, rotating: Provider, monkeypatch: pytest.MonkeyPatch, rotation: bool, start: str
) -> None:
    rotating.rotation = rotation
    old = ending(rotating.grant())
    push(TokenStore(path), old, rotation="yes" if rotation else "no")
    spoil(path.parent, start)
    with Recorder(path.parent, before=history_fails if start == "history fails" else nothing_fails) as recorder:
        asked = answer_directly(rotating, lambda: recorder.note(ANSWERED))
        monkeypatch.setattr(refresh, "request_token", asked)
        TokenStore(path).refresh()
    survive(loss, recorder, rotating, old)


def survive(loss: Loss, recorder: Recorder, provider: Provider, old: TokenDocument) -> None:
    """Judge every state that a refresh may leave, each with the provider as it is then."""
    kinds = [step.kind for step in recorder.steps]
    answered = kinds.index(ANSWERED) + 1
    flushed = [at for at, step in enumerate(recorder.steps) if step.kind == "flush" and "pending" in step.name]
    kept = next(at for at in flushed if at >= answered) + 1
    after = (set(provider.live), dict(provider.spent))
    before: tuple[set[str], dict[str, float]] = ({old.refresh_token}, {})
    again = Loss(loss.path.parent.parent / "again" / "token.json", loss.monkeypatch)

    def as_it_is_then() -> None:
        start_afresh(provider)
        live, spent = after if loss.at >= answered else before
        provider.live, provider.spent = set(live), dict(spent)

    for number, _ in enumerate(loss.states(recorder)):
        as_it_is_then()
        if loss.at >= kept and number % amount(3, 1) == 0:
            # the power fails once more, while the next one recovers
            with Recorder(loss.path.parent) as recovery:
                TokenStore(loss.path).access_token()
            for _ in again.states(recovery, each=amount(16, 100)):
                as_it_is_then()
                judge_refresh(again, provider, old, kept=True)
            as_it_is_then()
        judge_refresh(loss, provider, old, kept=loss.at >= kept)
    loss.tried += again.tried


def judge_refresh(loss: Loss, provider: Provider, old: TokenDocument, *, kept: bool) -> None:
    found = old_or_live(loss.path, old, provider)
    if loss.was_done:
        assert found.refresh_token in provider.live
    store = TokenStore(loss.path)
    assert store.access_token() in provider.access_tokens
    now = store.read()
    if kept:
        assert now.refresh_token in provider.live, "the reply was flushed, and is lost"
        assert now != old
        assert provider.forms == [], "the reply was flushed, and another one was asked for"
    elif now == old:
        assert provider.forms == []
        assert is_outcome_unknown(loss.path, store)
        assert provider.forms == [], "a refresh token that may be spent was sent"
    else:
        assert now.refresh_token in provider.live
    assert provider.live, "a spent refresh token was sent, and the grant is dead"
    assert generation_of(loss.path) >= 1
    if now != old:
        store.refresh(force=True)
        assert store.read().refresh_token in provider.live
        no_litter(loss.path)


class Died(BaseException):
    """It was killed."""


def test_a_recovery_of_a_reply_that_was_written_and_not_flushed(
    path: Path, loss: Loss, rotating: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who asked dies before the flush, the next one installs the reply, and then the power fails."""
    old = ending(rotating.grant())
    push(TokenStore(path), old, rotation="yes")
    deaths = [Died()]

    def die(call: Call) -> None:
        if call.name == "fsync" and "pending" in call.path and rotating.exchanges and deaths:
            raise deaths.pop()

    with Recorder(path.parent, before=die) as recorder:
        answer = answer_directly(rotating, lambda: recorder.note(ANSWERED))
        monkeypatch.setattr(refresh, "request_token", answer)
        with pytest.raises(Died):
            TokenStore(path).refresh()
        TokenStore(path).access_token()
    assert TokenStore(path).read().refresh_token in rotating.live
    survive(loss, recorder, rotating, old)


def test_a_clearing(path: Path, loss: Loss, provider: Provider) -> None:
    old = provider.grant()
    TokenStore(path).replace(old)
    with Recorder(path.parent) as recorder:
        TokenStore(path).clear()
    for _ in loss.states(recorder):
        begun = state_of(loss.path).tombstone is not None
        assert begun or not loss.was_done
        if loss.path.exists():
            assert not loss.was_done
            assert TokenStore(loss.path).read() == old
        else:
            assert begun, "it is gone, and nobody knows why"
        if not begun:
            assert TokenStore(loss.path).access_token() == old.token
        else:
            TokenStore(loss.path).clear()
            with pytest.raises(TokenMissing, match="cleared"):
                TokenStore(loss.path).access_token()
        TokenStore(loss.path).replace(old)
        assert TokenStore(loss.path).access_token() == old.token


def test_a_promotion(path: Path, loss: Loss, provider: Provider) -> None:
    old, new = provider.grant(), provider.grant()
    TokenStore(path).replace(old)
    grant = state_of(path).grant
    TokenStore(path).rotation.stage(new)
    with Recorder(path.parent) as recorder:
        TokenStore(path).rotation.promote(unchecked=True)
    for number, _ in enumerate(loss.states(recorder)):
        whole(loss, old, new)
        if number % 2:
            TokenStore(loss.path).rotation.promote(unchecked=True)
            assert TokenStore(loss.path).read() == new
        status = TokenStore(loss.path).status()
        found = TokenStore(loss.path).read()
        record = status.rotation_record
        assert record is not None
        assert record["phase"] == ("promoted" if found == new else "staged")
        assert record["grant_before"] == grant
        assert (status.staged is None) is (found == new)
        assert status.grant == record["grant_after" if found == new else "grant_before"]
    assert provider.forms == []


def test_a_mending_of_what_a_stock_app_has_torn(path: Path, loss: Loss, provider: Provider) -> None:
    old = provider.grant()
    push(TokenStore(path), old)
    path.write_text(old.to_json()[:100])
    os.utime(path, (0, 0))
    with Recorder(path.parent) as recorder:
        assert TokenStore(path).access_token() == old.token
    for _ in loss.states(recorder):
        os.utime(loss.path, (0, 0))
        assert TokenStore(loss.path).access_token() == old.token
        assert TokenStore(loss.path).read() == old


def test_that_enough_was_tried(figure: Callable[[str], None]) -> None:
    tried = sum(TRIED.values())
    figure(f"power loss: {tried} states ({', '.join(f'{name[5:]}: {count}' for name, count in TRIED.items())})")
    assert tried >= AT_LEAST or len(TRIED) < SCENARIOS, "fewer than all ran in this process"
