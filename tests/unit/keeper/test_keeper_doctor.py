"""The doctor: names what is wrong with a volume and what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from keeper_parts import edit_state, expired, state_path, tree, write_in_place
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.doctor import Finding, examine
from token_keeper.doctor import filesystem as doctor_filesystem
from token_keeper.doctor.locking import holders_of
from token_keeper.errors import ReauthRequired, StorageError
from token_keeper.filesystem import filesystem_of, is_shared
from token_keeper.initialise import initialise
from token_keeper.lock import DirectoryLock


def found(path: Path) -> dict[str, Finding]:
    findings = examine(path)
    for finding in findings:
        assert finding.remedy or finding.level == "ok" or finding.check == "History", finding
    return {finding.check: finding for finding in findings}


def levels(path: Path) -> dict[str, str]:
    return {check: finding.level for check, finding in found(path).items() if finding.level != "ok"}


@pytest.fixture
def sound(store: TokenStore, provider: Provider, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    store.replace(provider.grant())
    # wherever the tests' folder is
    monkeypatch.setattr(doctor_filesystem, "filesystem_of", lambda _: "ext4")
    return path


def test_a_sound_volume_has_nothing_wrong_and_is_not_changed(sound: Path) -> None:
    before = tree(sound.parent)
    assert levels(sound) == {}
    assert tree(sound.parent) == before


@pytest.mark.parametrize(
    ("kind", "level"),
    [("nfs4", "problem"), ("fuse.sshfs", "problem"), ("virtiofs", "problem"), ("overlay", "problem"),
     ("tmpfs", "warning"), (None, "warning")],
)  # fmt: skip
def test_file_systems(sound: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, level: str) -> None:
    monkeypatch.setattr(doctor_filesystem, "filesystem_of", lambda _: kind)
    assert levels(sound) == {"FileSystem": level}


def test_the_kernel_tells_the_file_system() -> None:
    assert filesystem_of(Path("/proc")) == "proc"
    assert not is_shared("ext4")


def test_a_volume_that_other_hosts_share_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("token_keeper.initialise.filesystem_of", lambda _: "nfs4")
    owner = {"uid": os.geteuid(), "gid": os.getegid(), "mode": 0o700}
    before = tree(path.parent)
    with pytest.raises(StorageError) as caught:
        initialise(path.parent, name=path.name, **owner)
    assert caught.value.reason == "SharedFileSystem"
    assert tree(path.parent) == before
    initialise(path.parent, name=path.name, **owner, force=True)


def test_who_holds_the_lock_is_named(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("token_keeper.doctor.locking._PATIENCE", 0.1)
    command = [sys.executable, "-m", "token_keeper", "--path", str(sound), "doctor", "--hold", "60"]
    with subprocess.Popen(command) as holder:
        try:
            deadline = time.monotonic() + 20
            while not holders_of(sound.parent) and time.monotonic() < deadline:
                time.sleep(0.02)
            finding = found(sound)["Lock"]
            assert finding.level == "problem"
            assert f"process {holder.pid} (" in finding.message
        finally:
            holder.kill()
    with DirectoryLock(sound.parent).hold(5):
        assert len(holders_of(sound.parent)) == 1


def test_a_lock_that_does_not_lock(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("token_keeper.doctor.locking.subprocess.run", lambda *_, **__: SimpleNamespace(returncode=0))
    assert levels(sound) == {"Lock": "problem"}


def test_a_directory_that_others_may_open(sound: Path) -> None:
    sound.parent.chmod(0o755)
    assert levels(sound) == {"LockAccess": "warning"}


@pytest.mark.parametrize("text", ["", "{", '{"token": "x"}'])
def test_a_corrupt_document(sound: Path, text: str) -> None:
    sound.write_text(text)
    assert levels(sound)["Document"] == "problem"


def test_a_directory_where_the_document_should_be(sound: Path) -> None:
    sound.unlink()
    sound.mkdir()
    assert "move it away" in found(sound)["Document"].remedy


def test_an_empty_volume(path: Path) -> None:
    assert levels(path)["Document"] == "problem"


def test_no_volume(tmp_path: Path) -> None:
    assert levels(tmp_path / "nowhere" / "token.json") == {"Directory": "problem"}
    (tmp_path / "file").touch()
    assert levels(tmp_path / "file" / "token.json") == {"Directory": "problem"}


def test_wrong_mode_leftovers_and_a_lost_state(sound: Path, provider: Provider) -> None:
    write_in_place(sound, provider.grant(), mode=0o644)
    stale = sound.parent / "token.json.tmp-0123"
    stale.touch()
    os.utime(stale, (0, 0))
    state_path(sound).write_text("junk")
    assert levels(sound) == {"Document": "warning", "Leftovers": "warning", "State": "warning"}
    state_path(sound).unlink()
    state_path(sound).mkdir()
    assert found(sound)["State"].level == "problem"


def test_a_dead_grant_and_a_clock_that_is_off(store: TokenStore, provider: Provider, sound: Path) -> None:
    store.replace(expired(provider.grant()), force=True)
    edit_state(sound, clock_skew=-120.0)
    assert levels(sound) == {"Clock": "warning"}
    provider.live.clear()
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert {"Document": "problem", "Conditions": "warning"}.items() <= levels(sound).items()
    assert "ReauthRequired" not in found(sound)["Clock"].message


def test_a_grant_that_dies_soon(sound: Path) -> None:
    edit_state(sound, grant_expiry=time.time() + 3 * 86_400)
    finding = found(sound)["Deadline"]
    assert (finding.level, "2 days" in finding.message) == ("warning", True)


def test_the_verb(sound: Path) -> None:
    command = [sys.executable, "-m", "token_keeper", "--path", str(sound), "doctor"]
    text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    assert "sound, generation 1" in text
    sound.write_text("")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=60)
    report = json.loads(done.stdout)
    assert done.returncode == 10
    assert report["problems"] >= 1
    assert {"check", "level", "message", "remedy"} == set(report["findings"][0])
