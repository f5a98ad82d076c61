"""Each failure inside a volume is made on purpose, found, explained, and mended or left to a person."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from keeper_parts import edit_state, events_of, expired, on_disk, renewed, state_of, state_path, tree, write_in_place
from keeper_provider import Provider

from token_keeper import TokenStore, fingerprint
from token_keeper.doctor import Action, Finding, examine, repair
from token_keeper.doctor import filesystem as doctor_filesystem
from token_keeper.errors import ReauthRequired
from token_keeper.lock import DirectoryLock
from token_keeper.state import REVOKED


@pytest.fixture
def sound(store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    store.replace(provider.grant())
    monkeypatch.setattr(doctor_filesystem, "filesystem_of", lambda _: "ext4")
    return path


def wrong(path: Path) -> dict[str, Finding]:
    """What is wrong, by its reason."""
    findings = [finding for finding in examine(path) if finding.level != "ok"]
    for finding in findings:
        assert finding.reason, finding
        assert finding.remedy or finding.reason == "NoHistory", finding
    return {finding.reason: finding for finding in findings}


def mended(path: Path) -> list[tuple[str, bool]]:
    actions, findings = repair(path, service="doctor")
    assert findings == examine(path) or [f.key for f in findings] == [f.key for f in examine(path)]
    return [(action.finding.reason, action.mended) for action in actions]


def age(path: Path, seconds: float) -> Path:
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def stale(path: Path) -> None:
    for name in ("token.json.tmp-0123", ".token.json.state.tmp-45", ".token.json.history/0123456789abcdef.json.tmp-6"):
        (path.parent / name).write_text("{")
        (path.parent / name).chmod(0o600)
        age(path.parent / name, 7200)


def directory_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def state_directory(path: Path) -> None:
    state_path(path).unlink()
    state_path(path).mkdir(mode=0o700)


def superseded(path: Path) -> None:
    old = on_disk(path)
    new = dataclasses.replace(renewed(old, "access-2"), refresh_token="refresh-2")
    TokenStore(path).replace(new, force=True)
    edit_state(path, superseded=[fingerprint(old.refresh_token)])
    write_in_place(path, old, mode=0o600)


def pending(path: Path) -> None:
    """The reply to an exchange whose writer died before it could install it."""
    document, identifier = on_disk(path), f"0123456789abcdef{fingerprint(on_disk(path).refresh_token)}"
    journal = {
        "id": identifier,
        "document": document.fingerprint,
        "refresh_token": fingerprint(document.refresh_token),
        "generation": 2,
        "started": dataclasses.asdict(state_of(path).token_life.begin),  # type: ignore[union-attr]
        "outcome": "open",
        "grant": None,
    }
    edit_state(path, journal=journal)
    reply = path.parent / f".{path.name}.pending.{identifier}"
    reply.write_text(renewed(document, "access-of-the-reply").to_json())
    reply.chmod(0o600)


BY_THE_DOCUMENT: dict[str, Callable[[Path], object]] = {
    "Empty": lambda path: path.write_text("\n"),  # echo "" > token.json
    "NotJSON": lambda path: path.write_text(path.read_text()[:100]),
    "FieldMissing": lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), "refresh_token": None})),
    "NotAnObject": lambda path: path.write_text("[]"),
    "NotAFile": directory_in_place,
    "NoDocument": lambda path: path.unlink(),
    "SupersededRefreshToken": superseded,
    "ForeignWrite": lambda path: write_in_place(path, renewed(on_disk(path), "theirs"), mode=0o600),
    "WrongMode": lambda path: path.chmod(0o644),
    "StateMissing": lambda path: state_path(path).unlink(),
    "StateCorrupt": lambda path: state_path(path).write_text("junk"),
    "PendingReply": pending,
    "StaleTemporaryFiles": stale,
}


@pytest.mark.parametrize("reason", BY_THE_DOCUMENT)
def test_each_failure_is_found_explained_and_mended(sound: Path, provider: Provider, reason: str) -> None:
    BY_THE_DOCUMENT[reason](sound)
    if sound.is_file():
        age(sound, 5)  # nobody is about to finish it
    before = tree(sound.parent)
    found = wrong(sound)
    assert reason in found
    assert found[reason].mend
    assert tree(sound.parent) == before, "looking changes nothing"
    asked = provider.exchanges
    done = mended(sound)
    assert (reason, True) in done
    assert {mended for _, mended in done} == {True}
    assert wrong(sound) == {}
    assert provider.exchanges == asked, "nobody asked the provider"
    assert TokenStore(sound).read().token
    again = tree(sound.parent)
    assert mended(sound) == []
    assert tree(sound.parent) == again, "a second run changes nothing"


def test_the_generation_never_falls(sound: Path) -> None:
    edit_state(sound, generation=7)
    state_path(sound).unlink()
    repair(sound, service="doctor")
    assert state_of(sound).generation >= 2
    generation = state_of(sound).generation
    sound.write_text("")
    repair(sound, service="doctor")
    assert state_of(sound).generation == generation


def test_a_pending_reply_becomes_the_document_and_is_never_deleted(sound: Path) -> None:
    pending(sound)
    repair(sound, service="doctor")
    assert on_disk(sound).token == "access-of-the-reply"
    assert events_of(sound)[-1] == "RolledForward"


def test_a_reply_that_nobody_remembers_stays(sound: Path, provider: Provider) -> None:
    reply = sound.parent / ".token.json.pending.0123456789abcdef"
    reply.write_text(provider.grant().to_json())
    reply.chmod(0o600)
    age(reply, 100_000)
    assert mended(sound) == [("PendingReply", False)]
    assert reply.exists()


def test_what_was_refused_is_put_back_from_the_history(sound: Path) -> None:
    superseded(sound)
    repair(sound, service="doctor")
    assert on_disk(sound).refresh_token == "refresh-2"


def test_side_files_get_their_mode(sound: Path) -> None:
    history = sound.parent / ".token.json.history"
    for side in (state_path(sound), history, next(history.iterdir())):
        side.chmod(side.stat().st_mode | 0o055)
    assert mended(sound) == [("WrongMode", True)] * 3
    assert wrong(sound) == {}


def test_directories_in_the_place_of_side_files_go_if_they_are_empty(sound: Path) -> None:
    state_directory(sound)
    (sound.parent / ".token.json.events").unlink()
    (sound.parent / ".token.json.events").mkdir(mode=0o700)
    done = mended(sound)
    assert ("NotAFile", True) in done
    assert not [one for one in done if not one[1]]
    assert wrong(sound) == {}
    state_path(sound).unlink()
    state_path(sound).mkdir()
    (state_path(sound) / "somebody's").touch()
    assert mended(sound) == []
    assert "move it away" in wrong(sound)["NotAFile"].remedy
    assert (state_path(sound) / "somebody's").exists()


def test_a_directory_with_something_in_it_is_a_person_s(sound: Path) -> None:
    directory_in_place(sound)
    (sound / "precious").touch()
    finding = wrong(sound)["NotAFile"]
    assert (finding.level, finding.mend) == ("error", "")
    assert "move it away" in finding.remedy
    assert mended(sound) == []
    assert (sound / "precious").exists()


def test_without_a_history_only_a_new_consent_helps(sound: Path) -> None:
    shutil.rmtree(sound.parent / ".token.json.history")
    sound.write_text("")
    age(sound, 5)
    finding = wrong(sound)["Empty"]
    assert (finding.level, finding.mend) == ("error", "")
    assert "site.yml" in finding.remedy
    assert mended(sound) == []


def test_files_of_other_programs_and_fresh_ones_are_not_touched(sound: Path) -> None:
    stale(sound)
    kept = [
        sound.parent / name for name in ("token.json.tmp", "token.json.bak", "other.json.tmp-1", "token.json.tmp-9")
    ]
    for path in kept:
        path.write_text("{}")
    for path in kept[:3]:
        age(path, 100_000)
    assert mended(sound) == [("StaleTemporaryFiles", True)]
    assert [path for path in kept if not path.exists()] == []
    assert "rm them in" in wrong(sound)["ForeignFiles"].remedy


@pytest.mark.parametrize("reason", ["Cleared", REVOKED])
def test_what_was_taken_away_on_purpose_stays_away(sound: Path, store: TokenStore, reason: str) -> None:
    store.clear(reason)
    finding = wrong(sound)["TakenAway"]
    assert (finding.level, finding.mend) == ("warning", "")
    assert mended(sound) == []
    assert not sound.exists()


def test_a_grant_that_is_dead_is_told_with_the_reason_and_not_put_back(
    sound: Path, store: TokenStore, provider: Provider
) -> None:
    store.replace(expired(provider.grant()), force=True)
    provider.live.clear()
    with pytest.raises(ReauthRequired):
        store.access_token()
    found = wrong(sound)
    assert found["ReauthRequired"].level == "error"
    assert "InvalidGrant" in found["ReauthRequired"].message
    assert "oauth_token_reconsent=true" in found["ReauthRequired"].remedy
    assert found["AccessTokenOver"].level == "error" if "AccessTokenOver" in found else "NotRenewable" in found
    sound.unlink()
    assert wrong(sound)["NoDocument"].mend == ""
    assert mended(sound) == []


def test_an_empty_volume_is_told_from_one_that_lost_its_document(path: Path, sound: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o700)
    found = wrong(empty / "token.json")
    assert found.keys() == {"EmptyVolume"}
    assert "never was" in found["EmptyVolume"].message
    assert mended(empty / "token.json") == []
    path.unlink()
    assert "generation 1 was" in wrong(path)["NoDocument"].message


def test_an_access_token_that_nobody_renews(sound: Path, store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant().with_expires_in(-600, time.time()), force=True)
    finding = wrong(sound)["AccessTokenOver"]
    assert finding.level == "warning"
    assert "nobody has renewed it" in finding.message


@pytest.mark.parametrize(
    ("room", "inodes", "reason", "level"),
    [(10, 10_000, "NoSpace", "error"), (10_000_000, 3, "NoInodes", "error"), (2_000, 10_000, "LittleSpace", "warning"),
     (10_000_000, 50, "LittleSpace", "warning"), (10_000_000, 10_000, None, None)],
)  # fmt: skip
def test_a_disk_that_is_full(
    sound: Path, monkeypatch: pytest.MonkeyPatch, room: int, inodes: int, reason: str | None, level: str | None
) -> None:
    told = SimpleNamespace(
        f_bavail=room, f_frsize=1024, f_blocks=20_000_000, f_files=100_000, f_favail=inodes, f_flag=0
    )
    monkeypatch.setattr("token_keeper.doctor.filesystem.os.statvfs", lambda _: told)
    assert {reason: finding.level for reason, finding in wrong(sound).items()} == ({reason: level} if reason else {})


def test_a_file_system_without_a_number_of_inodes(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(f_bavail=10**7, f_frsize=1024, f_blocks=2 * 10**7, f_files=0, f_favail=0, f_flag=0)
    monkeypatch.setattr("token_keeper.doctor.filesystem.os.statvfs", lambda _: told)
    assert wrong(sound) == {}


def test_what_can_not_be_written_is_said_and_nothing_is_lost(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound.write_text("")
    age(sound, 5)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("token_keeper.volume._write_all", full)
    actions, findings = repair(sound, service="doctor")
    assert [action.mended for action in actions] == [False]
    assert "No space left on device" in actions[0].why_not
    assert "Empty" in {finding.reason for finding in findings}


def test_a_lock_that_is_held_keeps_the_repair_out(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("token_keeper.doctor.mending._PATIENCE", 0.1)
    monkeypatch.setattr("token_keeper.doctor.locking._PATIENCE", 0.1)
    stale(sound)
    with DirectoryLock(sound.parent).hold(5):
        [action] = repair(sound, service="doctor")[0]
    assert isinstance(action, Action)
    assert (action.mended, "holds the lock" in action.why_not) == (False, True)
    assert (sound.parent / "token.json.tmp-0123").exists()


def test_the_verb_repairs_and_says_what_it_did(sound: Path) -> None:
    command = [sys.executable, "-m", "token_keeper", "--path", str(sound), "doctor"]
    sound.write_text("\n")
    age(sound, 5)
    looked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert looked.returncode == 10
    assert looked.stdout.startswith("error ")
    assert "--repair: the last sound document is put back" in looked.stdout
    done = subprocess.run([*command, "--repair", "--json"], capture_output=True, text=True, check=False, timeout=60)
    told = json.loads(done.stdout)
    assert [(action["reason"], action["mended"]) for action in told["actions"]] == [("Empty", True)]
    assert told["errors"] == 0
    assert str(os.stat(sound.parent).st_ino) == told["lock"].split(":")[2]
