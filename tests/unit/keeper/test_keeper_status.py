"""A look at the volume: an answer whatever is found, and nothing changed by looking."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest
from keeper_parts import edit_state, ending, expired, make_old, on_disk, push, renewed, state_path, tree, write_in_place
from keeper_provider import Provider

from token_keeper import TokenStore, fingerprint
from token_keeper.clock import LATEST, Instant, Span
from token_keeper.errors import ProviderUnavailable, ReauthRequired, StorageError
from token_keeper.state import timestamp


def test_a_sound_document(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document, rotation="no")
    before = tree(path.parent)
    status = store.status()
    assert tree(path.parent) == before
    assert status.healthy
    assert status.document["state"] == "sound"
    assert status.document["settled"] is True
    assert status.document["content_fingerprint"] == fingerprint(path.read_bytes())
    assert (status.generation, status.rotation, status.failures) == (1, "no", 0)
    assert status.volume["filesystem"]
    text = json.dumps(status.as_dict())
    for secret in (document.token or "-", document.refresh_token, document.client_secret, document.client_id):
        assert secret not in text


def test_a_foreign_write_is_not_settled(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    write_in_place(path, renewed(document, "theirs"))
    assert store.status().document["settled"] is False
    assert store.snapshot().generation is None
    store.refresh()
    assert store.status().document["settled"] is True
    assert store.snapshot().generation == 2


def test_ready_follows_the_time(store: TokenStore, provider: Provider) -> None:
    push(store, expired(provider.grant()))
    ready = condition(store, "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "TokenExpired")
    store.access_token()
    assert (condition(store, "Ready")["status"], condition(store, "Refreshing")["status"]) == ("True", "False")


def condition(store: TokenStore, name: str) -> dict[str, str]:
    return next(entry for entry in store.status().conditions if entry["type"] == name)


def test_a_dead_grant(store: TokenStore, provider: Provider) -> None:
    push(store, ending(provider.grant()))
    provider.live.clear()
    with pytest.raises(ReauthRequired):
        store.refresh()
    status = store.status()
    assert not status.healthy
    assert condition(store, "ReauthRequired")["reason"] == "InvalidGrant"
    assert condition(store, "Ready")["status"] == "True", "the old token still works"


def test_an_exchange_whose_outcome_is_unknown(store: TokenStore, rotating: Provider, path: Path) -> None:
    push(store, expired(rotating.grant()), rotation="yes")
    rotating.script.append("drop_after")
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    edit_state(path, cooldown=None)
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert not store.status().healthy
    assert (condition(store, "Ready")["status"], condition(store, "Ready")["reason"]) == ("False", "ReauthRequired")


@pytest.mark.parametrize("junk", ["directory", "symlink", "bytes", "empty"])
def test_whatever_stands_in_the_place_of_the_state(
    store: TokenStore, provider: Provider, path: Path, junk: str
) -> None:
    store.replace(provider.grant())
    side = state_path(path)
    side.unlink()
    if junk == "directory":
        side.mkdir()
    elif junk == "symlink":
        side.symlink_to("/etc/passwd")
    else:
        side.write_bytes(os.urandom(500) if junk == "bytes" else b"")
    status = store.status()
    assert (status.document["state"], status.generation, status.healthy) == ("sound", 0, True)


@pytest.mark.parametrize("what", ["directory", "symlink", "fifo", "socket", "junk", "huge", "empty"])
def test_whatever_stands_in_the_place_of_the_document(store: TokenStore, path: Path, what: str) -> None:
    if what == "directory":
        path.mkdir()
    elif what == "symlink":
        path.symlink_to("/etc/passwd")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        os.mknod(path, 0o140600)
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 33)
    else:
        path.write_bytes(b"{" if what == "junk" else b"")
    status = store.status()
    assert (status.document["state"], status.healthy) == ("corrupt", False)
    assert status.document["reason"] in {"NotAFile", "NotJSON", "TooLarge", "Empty"}
    assert status.document["message"]


def test_a_cleared_volume_says_why(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    store.clear("Maintenance")
    status = store.status()
    assert (status.document["state"], status.document["reason"], status.healthy) == ("missing", "Maintenance", False)
    assert condition(store, "Ready")["status"] == "False"


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for where, reason in (("absent", "NoVolume"), ("file", "NotADirectory")):
        with pytest.raises(StorageError) as caught:
            TokenStore(tmp_path / where / "token.json").status()
        assert caught.value.reason == reason


def test_a_snapshot_is_not_parsed_again_while_nothing_changed(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace(provider.grant())
    make_old(path)
    first = store.snapshot()

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(type(store._volume), "read", fail)
    assert store.snapshot() == first
    assert store.access_token() == first.document.token


@pytest.mark.parametrize("offset", [86_400.0, -86_400.0])
def test_a_stepped_wall_clock_does_not_change_what_is_left(
    store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch, offset: float
) -> None:
    store.replace(provider.grant())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    status = store.status()
    assert 3590 < status.document["expires_in"] <= 3600
    assert status.healthy
    assert condition(store, "Ready")["status"] == "True"
    write_in_place(path, renewed(provider.grant(), "theirs", seconds=1000))
    assert 990 < store.status().document["expires_in"] <= 1000, "of a foreign document the wall clock is all there is"


def test_a_dead_token_is_over_although_the_wall_clock_was_set_back(
    store: TokenStore, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace(provider.grant())
    wall, kernel = time.time, time.clock_gettime
    monkeypatch.setattr(time, "time", lambda: wall() - 86_400)
    monkeypatch.setattr(time, "clock_gettime", lambda which: kernel(which) + 3601)
    assert store.status().document["expires_in"] < 0
    assert condition(store, "Ready")["reason"] == "TokenExpired"


def test_times_that_no_calendar_has(store: TokenStore, provider: Provider, path: Path) -> None:
    store.replace(provider.grant())
    span = dataclasses.asdict(Span(Instant.now(), 3e9))
    edit_state(path, cooldown=span, token_life=span, granted_at=LATEST, publishing="testing", grant_expiry=LATEST)
    status = store.status()
    assert status.cooldown_until is not None
    assert status.cooldown_until < timestamp(time.time() + 3700)
    assert {deadline["at"] for deadline in status.deadlines} == {"9999-12-31T23:59:59Z"}
    assert 0 < status.document["expires_in"] <= LATEST
    json.dumps(status.as_dict())


@pytest.mark.parametrize("seconds", [1e300, 1e12, LATEST])
def test_a_state_with_a_span_beyond_all_sense_is_none(
    store: TokenStore, provider: Provider, path: Path, seconds: float
) -> None:
    store.replace(provider.grant())
    for name in ("cooldown", "token_life"):
        fields = json.loads(state_path(path).read_text())
        state_path(path).write_text(json.dumps(fields | {name: dataclasses.asdict(Span(Instant.now(), seconds))}))
        assert store.status().document["state"] == "sound"
        assert store.access_token() == on_disk(path).token


def test_an_exchange_that_is_under_way_is_said_with_its_beginning(
    store: TokenStore, rotating: Provider, path: Path
) -> None:
    push(store, expired(rotating.grant()), rotation="yes")
    looks: list[dict[str, str]] = []
    renew = rotating.renew

    def looking(form: dict[str, str]) -> tuple[int, dict[str, object]]:
        looks.append(condition(TokenStore(path), "Refreshing"))
        return renew(form)

    rotating.renew = looking  # type: ignore[method-assign]
    store.refresh()
    [found] = looks
    assert found["status"] == "True"
    assert found["message"].endswith(f", under way since {found['last_transition_time']}")
    assert "since" not in condition(store, "Refreshing")["message"]


def test_the_last_event_says_who_wrote(store: TokenStore, provider: Provider, path: Path) -> None:
    assert store.status().last_event is None
    store.replace(provider.grant())
    event = store.status().last_event
    assert event is not None
    assert set(event) == {"time", "event", "service", "container", "pid"}
    assert (event["event"], event["service"], event["container"], event["pid"]) == (
        "Pushed", "test", os.uname().nodename, os.getpid()
    )  # fmt: skip
    log = path.parent / ".token.json.events"
    with log.open("a") as file:
        file.write('{"event": "Odd\\u001b[2J", "pid": [1], "service": "' + "s" * 5000 + '"}\n{"half')
    odd = store.status().last_event
    assert odd == {"time": None, "event": None, "service": "s" * 100, "container": None, "pid": None}
    log.unlink()
    log.mkdir()
    assert store.status().last_event is None


def test_the_last_refresh_says_who_renewed_the_token_whatever_came_after_it(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    store.replace(provider.grant())
    assert store.status().last_refresh is None
    store.refresh(force=True)
    store.replace(provider.grant(), force=True)
    found = store.status()
    assert found.last_event is not None
    assert found.last_event["event"] == "Pushed"
    assert found.last_refresh is not None
    assert (found.last_refresh["event"], found.last_refresh["service"]) == ("Refreshed", "test")
    with (path.parent / ".token.json.events").open("a") as file:
        file.write('{"event": ["Refreshed"]}\n')
    assert store.status().last_refresh == found.last_refresh
