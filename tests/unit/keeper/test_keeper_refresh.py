"""The refresh protocol: one attempt a journal entry, a reply that is never lost, and a dead grant said once."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keeper_parts import (
    earlier,
    edit_state,
    ending,
    events_of,
    expired,
    make_old,
    on_disk,
    pendings,
    push,
    renewed,
    state_of,
    tree,
    write_in_place,
)
from keeper_provider import Provider, running_provider

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper import exchange as exchange_module
from token_keeper import refresh as refresh_module
from token_keeper.clock import Instant, Span
from token_keeper.errors import (
    ClientRejected,
    LockTimeout,
    PolicyDenied,
    ProviderUnavailable,
    ReauthRequired,
    StorageError,
    TokenMissing,
)
from token_keeper.history import History
from token_keeper.ledger import Ledger
from token_keeper.lock import DirectoryLock
from token_keeper.reading import Reader
from token_keeper.volume import Volume


def test_an_expired_token_is_renewed_once(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, expired(provider.grant()))
    token = store.access_token()
    assert token in provider.access_tokens
    for _ in range(5):
        assert store.access_token() == token
        assert TokenStore(path).access_token() == token
    state = state_of(path)
    assert (provider.exchanges, len(provider.forms)) == (1, 1)
    assert (state.generation, state.exchanges, state.journal, state.failures) == (2, 1, None, 0)
    assert state.clock_skew is not None
    assert abs(state.clock_skew) < 3
    assert pendings(path) == []
    assert events_of(path) == ["Pushed", "Refreshed"]
    assert provider.forms[0]["grant_type"] == "refresh_token"


def test_a_token_at_its_end_is_renewed_ahead(store: TokenStore, provider: Provider) -> None:
    document = ending(provider.grant())
    push(store, document)
    assert store.access_token() != document.token
    assert provider.exchanges == 1


def test_a_fresh_token_is_one_stat_and_no_lock(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    store.access_token()
    with DirectoryLock(path.parent).hold(1):
        assert store.access_token() == document.token
        assert TokenStore(path).access_token() == document.token
        assert store.snapshot().generation == 1
    assert provider.forms == []


def test_nobody_waits_while_the_token_is_valid(provider: Provider, path: Path) -> None:
    store = TokenStore(path, lock_timeout=20)
    document = ending(provider.grant())
    push(store, document)
    with DirectoryLock(path.parent).hold(1):
        begun = time.monotonic()
        assert store.access_token() == document.token
        assert store.access_token() == document.token
        assert time.monotonic() - begun < 10


def test_an_expired_token_waits_for_the_lock_and_then_says_so(provider: Provider, path: Path) -> None:
    store = TokenStore(path, lock_timeout=0.2)
    push(store, expired(provider.grant()))
    with DirectoryLock(path.parent).hold(1), pytest.raises(LockTimeout):
        store.access_token()
    assert provider.forms == [], "nothing is exchanged without the lock"


def test_a_short_lived_token_is_not_renewed_in_a_loop(store: TokenStore, provider: Provider) -> None:
    provider.lifetime = 60
    push(store, expired(provider.grant()))
    for _ in range(10):
        store.access_token()
    assert provider.exchanges == 1


@pytest.mark.parametrize("lifetime", [0, 1])
def test_a_token_without_any_life_is_not_asked_for_in_a_loop(
    store: TokenStore, provider: Provider, lifetime: int
) -> None:
    provider.lifetime = lifetime
    push(store, expired(provider.grant()))
    assert store.access_token() in provider.access_tokens
    assert provider.exchanges == 1
    if lifetime == 0:
        with pytest.raises(ProviderUnavailable) as caught:
            store.access_token()
        assert caught.value.reason == "BackOff"
        assert provider.exchanges == 1


def test_a_provider_that_does_not_tell_the_lifetime(store: TokenStore, provider: Provider, path: Path) -> None:
    provider.extra = {"expires_in": None}
    push(store, expired(provider.grant()))
    store.access_token()
    assert 3590 < on_disk(path).expires_in(time.time()) <= 3600


def test_what_the_reply_says_is_kept(store: TokenStore, rotating: Provider, path: Path) -> None:
    rotating.extra = {"scope": "b a", "refresh_token_expires_in": 604_800}
    document = expired(rotating.grant())
    push(store, document)
    store.access_token()
    state, now = state_of(path), on_disk(path)
    assert now.scopes == ("b", "a")
    assert now.refresh_token in rotating.live
    assert fingerprint(document.refresh_token) in state.superseded
    assert state.rotation == "yes"
    assert state.grant_expiry is not None
    assert abs(state.grant_expiry - time.time() - 604_800) < 5


def test_a_rotating_provider_can_be_asked_again_and_again(store: TokenStore, rotating: Provider, path: Path) -> None:
    push(store, rotating.grant())
    for number in range(1, 6):
        assert store.refresh(force=True).exchanged
        assert state_of(path).generation == number + 1
    assert rotating.exchanges == 5
    assert on_disk(path).refresh_token in rotating.live
    assert len(list((path.parent / ".token.json.history").iterdir())) == 1


# -- a dead grant


def test_a_dead_grant_is_said_once(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, expired(provider.grant()))
    provider.live.clear()
    for attempt in range(4):
        with pytest.raises(ReauthRequired) as caught:
            (TokenStore(path) if attempt % 2 else store).access_token()
        assert caught.value.reason == "InvalidGrant"
        assert caught.value.exit_code == 5
    assert len(provider.forms) == 1, "the provider is asked no more"
    assert state_of(path).conditions["ReauthRequired"].status == "True"
    assert not store.status().healthy
    with pytest.raises(ReauthRequired):
        store.refresh(force=True)
    assert len(provider.forms) == 2, "force asks all the same"


def test_the_old_token_is_served_to_its_end_although_the_grant_is_dead(store: TokenStore, provider: Provider) -> None:
    document = ending(provider.grant())
    push(store, document)
    provider.live.clear()
    for _ in range(3):
        assert store.access_token() == document.token
    assert len(provider.forms) == 1
    with pytest.raises(ReauthRequired):
        store.refresh()


def test_a_push_of_another_grant_clears_it_and_the_same_grant_does_not(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    dead = expired(provider.grant())
    push(store, dead)
    provider.live.clear()
    with pytest.raises(ReauthRequired):
        store.access_token()
    store.replace(expired(renewed(dead, "same grant")), force=True)
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert len(provider.forms) == 1
    alive = provider.grant()
    store.replace(alive)
    assert store.access_token() == alive.token


def test_a_foreign_refresh_token_is_adopted_when_ours_is_refused(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, expired(provider.grant()))
    provider.live.clear()
    theirs = provider.grant()
    real = exchange_module.request_token

    def meanwhile(*args: Any, **options: Any) -> Any:
        write_in_place(path, theirs)
        return real(*args, **options)

    monkeypatch.setattr(refresh_module, "request_token", meanwhile)
    assert store.access_token() == theirs.token
    state = state_of(path)
    assert (state.generation, state.dead_grant, state.journal) == (2, None, None)
    assert on_disk(path) == theirs
    assert pendings(path) == []


def test_an_adopted_document_that_is_just_as_old_is_renewed_at_once(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, expired(provider.grant()))
    provider.live.clear()
    theirs = expired(provider.grant())
    real = exchange_module.request_token

    def meanwhile(*args: Any, **options: Any) -> Any:
        write_in_place(path, theirs)
        make_old(path)
        return real(*args, **options)

    monkeypatch.setattr(refresh_module, "request_token", meanwhile)
    assert store.access_token() in provider.access_tokens
    assert (provider.exchanges, len(provider.forms)) == (1, 2)
    assert on_disk(path).refresh_token == theirs.refresh_token


def test_a_consent_given_meanwhile_is_not_overwritten(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, expired(rotating.grant()))
    consented = rotating.grant()
    real = exchange_module.request_token

    def meanwhile(*args: Any, **options: Any) -> Any:
        reply = real(*args, **options)
        write_in_place(path, consented)
        return reply

    monkeypatch.setattr(refresh_module, "request_token", meanwhile)
    assert store.access_token() == consented.token
    assert on_disk(path) == consented
    assert state_of(path).generation >= 2
    assert pendings(path) == []
    kept = [json.loads(file.read_text())["document"] for file in (path.parent / ".token.json.history").iterdir()]
    assert {entry["refresh_token"] for entry in kept} == rotating.live, "both grants are still to be had"


def test_a_rejected_client_and_a_policy_are_typed_and_backed_off(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, expired(dataclasses.replace(provider.grant(), client_secret="wrong")))
    with pytest.raises(ClientRejected):
        store.access_token()
    with pytest.raises(ProviderUnavailable, match="due in"):
        store.access_token()
    assert len(provider.forms) == 1
    provider.script.append("policy")
    with pytest.raises(PolicyDenied):
        store.refresh(force=True)
    assert state_of(path).journal is None
    assert pendings(path) == []


# -- a provider that fails


@pytest.mark.parametrize("kind", ["busy", "redirect", "odd_code"])
def test_after_a_known_failure_the_same_refresh_token_is_used_again(
    store: TokenStore, rotating: Provider, path: Path, kind: str
) -> None:
    push(store, expired(rotating.grant()))
    rotating.script.append(kind)
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    assert (state_of(path).journal, state_of(path).failures, len(rotating.forms)) == (None, 1, 1)
    assert pendings(path) == []
    end_back_off(path)
    assert store.access_token() in rotating.access_tokens
    assert state_of(path).failures == 0


def end_back_off(path: Path) -> None:
    edit_state(path, cooldown=None)


@pytest.mark.parametrize("kind", ["fault", "html_502", "busy_date", "drop", "half", "html", "bad_json", "no_token"])
def test_without_rotation_every_failure_heals(store: TokenStore, provider: Provider, path: Path, kind: str) -> None:
    push(store, expired(provider.grant()), rotation="no")
    provider.script.extend([kind, kind])
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            store.access_token()
        end_back_off(path)
    assert len(provider.forms) == 2, "one attempt a journal entry"
    assert store.access_token() in provider.access_tokens
    assert state_of(path).journal is None


def test_a_failure_is_shared_by_all_and_the_old_token_served(store: TokenStore, provider: Provider, path: Path) -> None:
    document = ending(provider.grant())
    push(store, document)
    provider.script.append("fault")
    for _ in range(5):
        assert TokenStore(path).access_token() == document.token
        assert store.access_token() == document.token
    assert len(provider.forms) == 1
    status = store.status()
    assert status.failures == 1
    assert status.cooldown_until is not None
    assert status.healthy


def test_back_off_grows_with_jitter_and_keeps_to_what_was_asked(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, expired(provider.grant()), rotation="no")
    for number in range(1, 12):
        provider.script.append("fault")
        with pytest.raises(ProviderUnavailable):
            store.access_token()
        state = state_of(path)
        assert state.failures == number
        assert state.cooldown is not None
        expected = min(2 ** (number - 1), 300)
        assert 0.8 * expected <= state.cooldown.seconds <= 1.2 * expected
        end_back_off(path)
    provider.script.append("busy")
    with pytest.raises(ProviderUnavailable) as caught:
        store.access_token()
    assert caught.value.retry_after == 120
    edit_state(path, failures=0)
    left = state_of(path).cooldown_left()
    assert left > 115


def test_a_clock_that_was_stepped_back_does_not_stretch_a_back_off(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, expired(provider.grant()))
    before_a_reboot = {"wall": time.time() + 90_000, "boot": "another", "uptime": 5.0}
    edit_state(path, failures=1, cooldown={"begin": before_a_reboot, "seconds": 60})
    assert store.access_token() in provider.access_tokens


def test_a_provider_that_cannot_be_reached_spends_nothing(store: TokenStore, path: Path) -> None:
    with running_provider(rotation=True) as gone:
        document = expired(gone.grant())
    push(store, document)
    with pytest.raises(ProviderUnavailable) as caught:
        store.access_token()
    assert caught.value.reason == "Unreachable"
    assert state_of(path).journal is None


# -- a lost reply


@pytest.mark.parametrize("kind", ["drop_after", "half", "html", "bad_json"])
def test_a_lost_reply_under_rotation_is_not_tempted(
    store: TokenStore, rotating: Provider, path: Path, kind: str
) -> None:
    document = ending(rotating.grant())
    push(store, document, rotation="yes")
    rotating.script.append(kind)
    for _ in range(3):
        assert store.access_token() == document.token, "the old token is served to its end"
    with pytest.raises(ProviderUnavailable):
        store.refresh()
    end_back_off(path)
    for _ in range(3):
        with pytest.raises(ReauthRequired) as caught:
            store.refresh()
        assert caught.value.reason == "ExchangeOutcomeUnknown"
        assert store.access_token() == document.token
    assert len(rotating.forms) == 1, "no second attempt, whoever asks"
    assert rotating.live, "and so the grant is still alive"
    state = state_of(path)
    assert state.journal is not None
    assert (state.journal.outcome, state.conditions["ReauthRequired"].status) == ("no_reply", "True")
    assert events_of(path).count("ReauthRequired") == 1
    assert not store.status().healthy


def test_after_the_old_tokens_end_a_person_may_insist_once(store: TokenStore, rotating: Provider, path: Path) -> None:
    push(store, expired(rotating.grant()), rotation="yes")
    rotating.script.append("drop")
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    end_back_off(path)
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert store.refresh(force=True).exchanged
    assert store.status().healthy


def test_a_reuse_grace_allows_exactly_one_replay(store: TokenStore, path: Path) -> None:
    with running_provider(rotation=True, grace=30) as graceful:
        push(store, expired(graceful.grant()), rotation="yes", reuse_grace=30)
        graceful.script.extend(["drop_after", "drop_after"])
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                store.access_token()
            end_back_off(path)
        for _ in range(3):
            with pytest.raises(ReauthRequired) as caught:
                store.access_token()
            assert caught.value.reason == "ExchangeOutcomeUnknown"
        assert len(graceful.forms) == 2
        assert len({form["refresh_token"] for form in graceful.forms}) == 1


def test_the_replay_within_the_grace_heals(store: TokenStore, path: Path) -> None:
    with running_provider(rotation=True, grace=30) as graceful:
        push(store, expired(graceful.grant()), rotation="yes", reuse_grace=30)
        graceful.script.append("drop_after")
        with pytest.raises(ProviderUnavailable):
            store.access_token()
        end_back_off(path)
        assert store.access_token() in graceful.access_tokens
        assert on_disk(path).refresh_token in graceful.live
        assert state_of(path).journal is None


def test_a_grace_that_is_over_allows_none(store: TokenStore, rotating: Provider, path: Path) -> None:
    push(store, expired(rotating.grant()), rotation="yes", reuse_grace=30)
    rotating.script.append("drop_after")
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    end_back_off(path)
    journal = dataclasses.asdict(state_of(path).journal or pytest.fail("no journal"))
    edit_state(path, journal=journal | {"started": dataclasses.asdict(earlier(Instant.now(), 31))})
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert len(rotating.forms) == 1


def test_a_replay_that_is_refused_says_that_the_outcome_was_unknown(
    store: TokenStore, rotating: Provider, path: Path
) -> None:
    push(store, expired(rotating.grant()), rotation="yes", reuse_grace=30)
    rotating.script.append("drop_after")
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    end_back_off(path)
    with pytest.raises(ReauthRequired) as caught:
        store.access_token()
    assert caught.value.reason == "ExchangeOutcomeUnknown"


def test_without_rotation_a_refused_second_attempt_is_an_invalid_grant(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    push(store, expired(provider.grant()), rotation="no")
    provider.script.append("drop")
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    end_back_off(path)
    provider.live.clear()
    with pytest.raises(ReauthRequired) as caught:
        store.access_token()
    assert caught.value.reason == "InvalidGrant"


def test_a_server_error_under_rotation_waits_for_the_old_tokens_end(
    store: TokenStore, rotating: Provider, path: Path
) -> None:
    document = ending(rotating.grant())
    push(store, document, rotation="yes")
    rotating.script.append("fault")
    assert store.access_token() == document.token
    end_back_off(path)
    with pytest.raises(ProviderUnavailable) as caught:
        store.refresh()
    assert caught.value.reason == "OutcomeUncertain"
    assert len(rotating.forms) == 1


def test_a_server_error_before_anything_was_done_heals_after_the_old_tokens_end(
    store: TokenStore, rotating: Provider, path: Path
) -> None:
    push(store, expired(rotating.grant()), rotation="yes")
    rotating.script.append("fault")
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    end_back_off(path)
    assert store.access_token() in rotating.access_tokens


# -- a reply that comes late, and a disk that fails


def test_a_late_reply_is_written_and_rolled_forward(rotating: Provider, path: Path) -> None:
    store = TokenStore(path, exchange_deadline=0.3)
    push(store, expired(rotating.grant()), rotation="yes")
    rotating.script.append("stall_after")
    begun = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    assert time.monotonic() - begun < 10, "the lock is not held beyond the deadline"
    with DirectoryLock(path.parent).hold(0):
        assert state_of(path).generation == 1
    rotating.released.set()
    wait_for(lambda: any(pending.read_bytes().strip() for pending in pendings(path)))
    other = TokenStore(path)
    assert other.access_token() in rotating.access_tokens
    assert on_disk(path).refresh_token in rotating.live
    assert len(rotating.forms) == 1
    assert state_of(path).conditions["ReauthRequired"].status == "False"


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_provider_that_trickles_does_not_hold_the_lock(rotating: Provider, path: Path) -> None:
    store = TokenStore(path, exchange_deadline=0.3)
    push(store, expired(rotating.grant()), rotation="yes")
    rotating.script.append("trickle")
    begun = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    with DirectoryLock(path.parent).hold(0):
        assert time.monotonic() - begun < 10
    wait_for(lambda: any(pending.read_bytes().strip() for pending in pendings(path)))
    assert store.access_token() in rotating.access_tokens
    assert len(rotating.forms) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_disk_that_fails_after_the_reply_costs_nothing_but_time(
    rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Kept in memory and served, saved as soon as the disk takes it, and used by the others then."""
    monkeypatch.setattr(refresh_module, "_SAVE_ATTEMPTS", 3)
    monkeypatch.setattr(refresh_module, "_SAVE_PAUSE", 0.01)
    store = TokenStore(path)
    document = expired(rotating.grant())
    push(store, document, rotation="yes")
    broken = threading.Event()
    real_request, real_open = exchange_module.request_token, os.open

    def spoil_the_disk(*args: Any, **options: Any) -> Any:
        broken.set()
        return real_request(*args, **options)

    def failing_open(file: Any, flags: int, *args: Any, **options: Any) -> int:
        if broken.is_set() and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(number, os.strerror(number))
        return real_open(file, flags, *args, **options)

    monkeypatch.setattr(refresh_module, "request_token", spoil_the_disk)
    monkeypatch.setattr(os, "open", failing_open)
    token = store.access_token()
    assert token in rotating.access_tokens
    assert store.access_token() == token
    assert on_disk(path) == document
    with pytest.raises(StorageError):
        store.refresh()
    assert len(rotating.forms) == 1
    broken.clear()
    monkeypatch.setattr(refresh_module, "request_token", real_request)
    assert store.refresh().exchanged is False
    assert on_disk(path).token == token
    assert TokenStore(path).access_token() == token
    assert on_disk(path).refresh_token in rotating.live
    assert pendings(path) == []
    assert len(rotating.forms) == 1


def test_a_reply_kept_in_memory_does_not_overwrite_a_newer_one(
    provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has renewed the token since, with the same refresh token; then the provider has failed."""
    monkeypatch.setattr(refresh_module, "_SAVE_ATTEMPTS", 1)
    provider.lifetime = 300
    store, other = TokenStore(path), TokenStore(path)
    push(store, expired(provider.grant()), rotation="no")

    def fail(*_: Any, **__: Any) -> None:
        raise StorageError("no space", reason="NoSpace")

    with monkeypatch.context() as patch:
        patch.setattr(Volume, "fill", fail)
        held = store.access_token()
    provider.lifetime = 3600
    newer = other.refresh(force=True).after["access_token_fingerprint"]
    provider.script.append("fault")
    with pytest.raises(ProviderUnavailable):
        other.refresh(force=True)
    store.declare(reuse_grace=1)  # the process takes the lock, for whatever reason
    assert fingerprint(on_disk(path).token or "") == newer
    assert store.access_token() != held


@pytest.mark.parametrize("token_type", ["DPoP", 5])
def test_an_access_token_of_another_kind_costs_no_grant(
    rotating: Provider, path: Path, store: TokenStore, token_type: object
) -> None:
    push(store, expired(rotating.grant()), rotation="yes")
    rotating.extra = {"token_type": token_type}
    with pytest.raises(ProviderUnavailable) as caught:
        store.access_token()
    assert caught.value.reason == "NotBearer"
    assert on_disk(path).refresh_token in rotating.live
    assert on_disk(path).token is None
    with pytest.raises(ProviderUnavailable) as caught:
        TokenStore(path).access_token()
    assert caught.value.reason == "BackOff"
    rotating.extra = {}
    edit_state(path, cooldown=None)
    assert TokenStore(path).access_token() in rotating.access_tokens


@pytest.mark.parametrize("failing", ["replace", "promote"])
def test_a_disk_that_fails_after_the_reply_was_saved(
    rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    store = TokenStore(path)
    push(store, expired(rotating.grant()), rotation="yes")
    real_request = exchange_module.request_token

    def fail(*_: Any, **__: Any) -> None:
        raise StorageError("no space", reason="NoSpace")

    with monkeypatch.context() as patch:

        def spoil_the_disk(*args: Any, **options: Any) -> Any:
            reply = real_request(*args, **options)
            patch.setattr(Volume, failing, fail)
            return reply

        patch.setattr(refresh_module, "request_token", spoil_the_disk)
        token = store.access_token()
        assert token in rotating.access_tokens
        assert store.access_token() == token
        if failing == "replace":
            assert TokenStore(path).access_token() == token, "a rename needs no space: the others have it too"
    assert TokenStore(path).access_token() == token
    store.refresh()
    assert on_disk(path).refresh_token in rotating.live
    assert state_of(path).generation == 2
    assert len(rotating.forms) == 1
    assert store.snapshot().generation == 2


@pytest.mark.parametrize("step", ["reserve", "replace"])
def test_a_disk_that_is_full_before_the_exchange_spends_nothing(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    push(store, expired(rotating.grant()))

    def fail(*_: Any, **__: Any) -> None:
        raise StorageError("no space", reason="NoSpace")

    with monkeypatch.context() as patch:
        patch.setattr(Volume, step, fail)
        with pytest.raises(StorageError):
            store.access_token()
        assert rotating.forms == []
    assert pendings(path) == []
    assert store.access_token() in rotating.access_tokens


def test_a_journal_whose_flush_fails_is_taken_back(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name may stand there all the same, and the next writer would take the refresh token for spent."""
    push(store, expired(rotating.grant()), rotation="yes")
    fsync = os.fsync
    failures = [OSError(errno.EIO, "a bad disk")]

    def fail_once(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) and failures:
            raise failures.pop()
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_once)
        with pytest.raises(StorageError):
            store.access_token()
    assert rotating.forms == []
    state = state_of(path)
    assert state.journal is None
    assert state.conditions["Refreshing"].status == "False"
    assert pendings(path) == []
    assert TokenStore(path).access_token() in rotating.access_tokens
    assert rotating.exchanges == 1


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_a_signal_while_the_journal_is_written_has_asked_nobody(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """Ctrl-C or a worker's time limit, and another one while the journal is taken back."""
    push(store, expired(rotating.grant()), rotation="yes")
    save, signals = Ledger.save, [TimeLimit(), KeyboardInterrupt()]

    def interrupted(ledger: Ledger) -> None:
        if ledger.state.journal is None and len(signals) == 2:  # what came before the exchange
            save(ledger)
            return
        if written:
            save(ledger)
        if signals:
            raise signals.pop(0)
        save(ledger)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "save", interrupted)
        with pytest.raises(TimeLimit):
            store.access_token()
    assert signals == []
    assert rotating.forms == []
    state = state_of(path)
    assert (state.journal, state.conditions["Refreshing"].status) == (None, "False")
    assert pendings(path) == []
    assert TokenStore(path).access_token() in rotating.access_tokens


def test_a_fault_of_our_own_in_the_midst_of_it_leaves_an_outcome_that_is_unknown(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, expired(rotating.grant()), rotation="yes")

    def fault(*_: Any, **__: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(exchange_module, "_post", fault)
        with pytest.raises(ProviderUnavailable) as caught:
            store.access_token()
    assert caught.value.outcome_known is False
    assert (state_of(path).journal or pytest.fail("no journal")).outcome == "no_reply"


class TimeLimit(Exception):
    """What a task queue raises in a worker whose time is up."""


def alarm_at_the_request(provider: Provider, thread: int) -> None:
    """Send SIGALRM to a thread once the provider has its request."""
    deadline = time.monotonic() + 20
    while not provider.forms and time.monotonic() < deadline:
        time.sleep(0.01)
    signal.pthread_kill(thread, signal.SIGALRM)


@pytest.mark.parametrize("before", [expired, ending])
def test_the_callers_own_exception_goes_on_its_way_and_the_reply_is_kept(
    store: TokenStore, rotating: Provider, path: Path, before: Callable[[TokenDocument], TokenDocument]
) -> None:
    rotating.latency = 0.4
    push(store, before(rotating.grant()), rotation="yes")

    def interrupt(*_: object) -> None:
        raise TimeLimit

    old = signal.signal(signal.SIGALRM, interrupt)
    late = threading.Thread(target=alarm_at_the_request, args=(rotating, threading.get_ident()))
    try:
        late.start()
        with pytest.raises(TimeLimit):
            store.access_token()
    finally:
        late.join()
        signal.signal(signal.SIGALRM, old)
    assert on_disk(path).refresh_token in rotating.live
    assert TokenStore(path).access_token() in rotating.access_tokens
    assert (len(rotating.forms), state_of(path).journal) == (1, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_sees_an_exchange_to_its_end(rotating: Provider, path: Path, number: signal.Signals) -> None:
    rotating.latency = 1.0
    push(TokenStore(path), expired(rotating.grant()), rotation="yes")
    # a shell starts what runs in its background with SIGINT ignored, and that is inherited
    verb = ["env", "--default-signal=INT", sys.executable, "-m", "token_keeper", "--path", str(path), "refresh"]
    with subprocess.Popen(verb, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as command:
        deadline = time.monotonic() + 20
        while not rotating.forms and time.monotonic() < deadline:
            time.sleep(0.01)
        command.send_signal(number)
        assert command.wait(20) != 0
    assert on_disk(path).refresh_token in rotating.live
    assert TokenStore(path).access_token() in rotating.access_tokens
    assert len(rotating.forms) == 1


def test_an_uncertain_outcome_leaves_no_gap_at_the_tokens_end(
    store: TokenStore, rotating: Provider, path: Path
) -> None:
    """After a fault under rotation the retry waits for the old token's end, and until then that one is given out."""
    document = rotating.grant().with_expires_in(3600, time.time())
    push(store, document, rotation="yes")
    life = state_of(path).token_life or pytest.fail("no life")
    edit_state(path, token_life=dataclasses.asdict(Span(earlier(life.begin, 3540), life.seconds)))
    rotating.script.append("fault")
    assert TokenStore(path).access_token() == document.token
    end_back_off(path)
    edit_state(path, token_life=dataclasses.asdict(Span(earlier(life.begin, 3595), life.seconds)))
    assert TokenStore(path).access_token() in rotating.access_tokens


def test_the_last_seconds_of_a_token_are_better_than_none(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant().with_expires_in(3600, time.time())
    push(store, document)
    life = state_of(path).token_life or pytest.fail("no life")
    edit_state(path, token_life=dataclasses.asdict(Span(earlier(life.begin, 3595), life.seconds)))
    provider.script.extend(["fault"] * 3)
    for _ in range(3):
        assert TokenStore(path).access_token() == document.token


def test_a_process_without_room_for_a_thread_spends_nothing(
    store: TokenStore, rotating: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, expired(rotating.grant()), rotation="yes")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ProviderUnavailable) as caught:
            store.access_token()
    assert caught.value.reason == "NoThread"
    assert state_of(path).journal is None


@pytest.mark.parametrize(
    "extra", [{"refresh_token": "a\nb"}, {"access_token": "x" * 70_000}, {"scope": "a\u0000b"}, {"scope": ""}]
)
def test_a_reply_never_makes_the_document_unreadable(
    store: TokenStore, provider: Provider, path: Path, extra: dict[str, str]
) -> None:
    document = expired(provider.grant())
    push(store, document, rotation="no")
    provider.extra = extra
    try:
        store.access_token()
    except ProviderUnavailable as error:
        assert error.reason == "NoReply"
    assert on_disk(path).refresh_token == document.refresh_token
    assert on_disk(path).scopes == document.scopes


# -- forced, rejected, missing


def test_force_renews_a_fresh_token(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    outcome = store.refresh(force=True)
    assert (outcome.exchanged, outcome.generation, outcome.exchanges) == (True, 2, 1)
    assert outcome.before is not None
    assert outcome.before["access_token_fingerprint"] == fingerprint(document.token or "")
    assert outcome.after["access_token_fingerprint"] == fingerprint(store.access_token())


def test_who_gets_the_lock_looks_again_before_it_asks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters that never leave the queue by themselves, but take the lock one after another."""
    for look in ("fresh_token", "usable_token"):
        monkeypatch.setattr(Reader, look, lambda self: None)
    with running_provider(latency=0.1) as slow:
        push(TokenStore(path), expired(slow.grant()))
        tokens: list[str] = []
        threads = [threading.Thread(target=lambda: tokens.append(TokenStore(path).access_token())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (slow.exchanges, len(tokens), len(set(tokens))) == (1, 6, 1)


@pytest.mark.parametrize("options", [{"force": True}, {"rejected": None}])
def test_many_who_want_a_new_token_at_once_make_one_exchange(path: Path, options: dict[str, Any]) -> None:
    with running_provider(latency=0.2) as slow:
        document = slow.grant()
        write_in_place(path, document)  # without any state, as a foreign hand left it
        if "rejected" in options:
            options = {"rejected": document.token}
        outcomes: list[Any] = []

        def renew() -> None:
            outcomes.append(TokenStore(path).refresh(**options))

        threads = [threading.Thread(target=renew) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert slow.exchanges == 1
        assert sum(outcome.exchanged for outcome in outcomes) == 1
        assert {outcome.generation for outcome in outcomes} == {2}


def test_a_rejected_token_that_was_replaced_meanwhile_costs_no_exchange(store: TokenStore, provider: Provider) -> None:
    document = provider.grant(expires_in=900)
    store.replace(document)
    store.replace(renewed(document, "newer"))
    assert store.refresh(rejected=document.token).exchanged is False
    assert provider.forms == []


def test_a_missing_token_is_told_at_once_although_the_lock_is_busy(store: TokenStore, path: Path) -> None:
    with DirectoryLock(path.parent).hold(1):
        begun = time.monotonic()
        with pytest.raises(TokenMissing):
            store.access_token()
        assert time.monotonic() - begun < 4


def test_the_token_in_memory_is_served_while_the_volume_cannot_be_read(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = provider.grant()
    store.replace(document)
    assert store.access_token() == document.token

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", fail)
        patch.setattr(os, "open", fail)
        assert store.access_token() == document.token
        with pytest.raises(StorageError):
            TokenStore(path).access_token()
    assert store.access_token() == document.token


def test_leftovers_of_the_dead_are_swept_before_an_exchange_and_replies_are_not(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    document = provider.grant()
    push(store, document)
    (path.parent / "token.json.tmp-dead").write_text("x")
    unknown = path.parent / f".token.json.pending.{'ab' * 16}"
    unknown.write_text(renewed(document, "of another grant", refresh_token="unknown").to_json())
    duplicate = path.parent / f".token.json.pending.{'cd' * 16}"
    duplicate.write_text(document.to_json())
    weird = path.parent / ".token.json.pending.dir"
    weird.mkdir()
    store.refresh(force=True)
    assert not (path.parent / "token.json.tmp-dead").exists()
    assert not unknown.exists()
    kept = [entry.document.refresh_token for entry in History(Volume(path)).entries()]
    assert "unknown" in kept, "it may be the only copy of a token that lives"
    assert not duplicate.exists()
    assert on_disk(path).refresh_token == document.refresh_token


def test_a_read_only_directory_serves_the_token_and_changes_nothing(
    provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TokenStore(path)
    document = ending(provider.grant())
    push(store, document)

    def fail(self: Volume, directory: int, name: str, *_: Any) -> None:
        raise StorageError("read-only", reason="ReadOnly")

    monkeypatch.setattr(Volume, "reserve", fail)
    before = tree(path.parent)
    assert store.access_token() == document.token
    with pytest.raises(StorageError):
        store.refresh()
    assert tree(path.parent) == before
    assert provider.forms == []


def test_a_document_survives_side_files_deleted_at_any_time(store: TokenStore, provider: Provider, path: Path) -> None:
    push(store, expired(provider.grant()))
    generations = []
    for _ in range(4):
        for side_file in path.parent.glob(".token.json.*"):
            if side_file.is_file() and not side_file.name.endswith(".events"):
                side_file.unlink()
        generations.append(store.refresh(force=True).generation)
    assert generations == sorted(set(generations))
    assert isinstance(on_disk(path), TokenDocument)


def test_a_reply_that_lives_shorter_than_the_token_it_replaces_is_taken(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    """A provider may shorten what it gives: the document that the exchange began with has not overtaken it."""
    store.replace(provider.grant(expires_in=3600))
    before = store.read().token
    provider.lifetime = 300
    outcome = store.refresh(force=True)
    assert outcome.exchanged
    assert outcome.generation == 2
    assert on_disk(path).token not in {None, before}
    assert state_of(path).conditions["Refreshing"].status == "False"
