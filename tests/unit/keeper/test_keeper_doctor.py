"""The doctor: names what is wrong with a volume and what to do, and changes nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from keeper_parts import edit_state, expired, state_path, tree, write_in_place
from keeper_provider import Provider
from test_keeper_init_as_root import as_the_app

from token_keeper import TokenStore, filesystem
from token_keeper.doctor import Finding, examine
from token_keeper.doctor import filesystem as doctor_filesystem
from token_keeper.doctor.locking import holders_of
from token_keeper.errors import ReauthRequired, StorageError
from token_keeper.filesystem import filesystem_of, is_shared
from token_keeper.initialise import initialise
from token_keeper.lock import DirectoryLock

QUIET = {"ok", "info"}


def found(path: Path) -> dict[str, Finding]:
    findings = examine(path)
    for finding in findings:
        assert finding.remedy or finding.level == "ok" or finding.check == "History", finding
    return {finding.check: finding for finding in findings}


def levels(path: Path) -> dict[str, str]:
    return {check: finding.level for check, finding in found(path).items() if finding.level not in QUIET}


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
    [("nfs4", "error"), ("fuse.sshfs", "error"), ("virtiofs", "error"), ("overlay", "error"),
     ("tmpfs", "warning"), (None, "warning")],
)  # fmt: skip
def test_file_systems(sound: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, level: str) -> None:
    monkeypatch.setattr(doctor_filesystem, "filesystem_of", lambda _: kind)
    assert levels(sound) == {"FileSystem": level}


def test_the_kernel_tells_the_file_system() -> None:
    assert filesystem_of(Path("/proc")) == "proc"
    assert not is_shared("ext4")


def test_a_mount_point_of_any_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank is escaped in the table, a letter beyond ASCII and a no-break space are not."""
    point = tmp_path / "jetons partag\u00e9s\u00a0ici"
    point.mkdir()
    name = str(point).replace(" ", "\\040")
    table = f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {name} rw,relatime shared:7 - nfs4 server:/tokens rw\n"
    monkeypatch.setattr(filesystem, "_mount_table", lambda: io.StringIO(table))
    assert filesystem_of(point) == "nfs4"
    assert filesystem_of(tmp_path) == "ext4"


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
            assert finding.level == "error"
            assert f"process {holder.pid} (" in finding.message
        finally:
            holder.kill()
    with DirectoryLock(sound.parent).hold(5):
        assert len(holders_of(sound.parent)) == 1


def test_of_a_holder_in_another_container_the_volume_tells_what_it_can(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("token_keeper.doctor.locking._PATIENCE", 0.1)
    monkeypatch.setattr("token_keeper.doctor.locking.holders_of", lambda _: [])
    since = "2026-01-02T03:04:05Z"
    began = {"status": "True", "reason": "ExchangeStarted", "message": "", "last_transition_time": since}
    conditions = json.loads(state_path(sound).read_text())["conditions"]
    edit_state(sound, conditions=conditions | {"Refreshing": began})
    with DirectoryLock(sound.parent).hold(5):
        finding = found(sound)["Lock"]
    who = f"the last event is Pushed by test (container {os.uname().nodename}, process {os.getpid()} in it) at 20"
    assert who in finding.message
    assert f"an exchange is under way since {since}" in finding.message
    assert who in found(sound)["Events"].message


def test_a_lock_that_does_not_lock(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("token_keeper.doctor.locking.subprocess.run", lambda *_, **__: SimpleNamespace(returncode=0))
    assert levels(sound) == {"Lock": "error"}


@pytest.mark.parametrize("error", [PermissionError(13, "no"), subprocess.TimeoutExpired("python3", 30)])
def test_where_no_other_process_can_try_the_lock(
    sound: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("token_keeper.doctor.locking.subprocess.run", fail)
    assert levels(sound) == {"Lock": "warning"}


def test_a_directory_that_others_may_open(sound: Path) -> None:
    sound.parent.chmod(0o755)
    assert levels(sound) == {"LockAccess": "warning"}


@pytest.mark.parametrize("text", ["", "{", '{"token": "x"}'])
def test_a_corrupt_document(sound: Path, text: str) -> None:
    sound.write_text(text)
    assert levels(sound)["Document"] == "error"


def test_a_directory_where_the_document_should_be(sound: Path) -> None:
    sound.unlink()
    sound.mkdir()
    assert "move it away" in found(sound)["Document"].remedy


def test_an_empty_volume(path: Path) -> None:
    assert levels(path)["Document"] == "error"


def test_no_volume(tmp_path: Path) -> None:
    assert levels(tmp_path / "nowhere" / "token.json") == {"Directory": "error"}
    (tmp_path / "file").touch()
    assert levels(tmp_path / "file" / "token.json") == {"Directory": "error"}


def test_wrong_mode_leftovers_and_a_lost_state(sound: Path, provider: Provider) -> None:
    write_in_place(sound, provider.grant(), mode=0o644)
    stale = sound.parent / "token.json.tmp-0123"
    stale.touch()
    os.utime(stale, (0, 0))
    state_path(sound).write_text("junk")
    assert levels(sound) == {"Document": "warning", "Leftovers": "warning", "State": "warning"}
    state_path(sound).unlink()
    state_path(sound).mkdir()
    assert found(sound)["State"].level == "error"


def all_found(path: Path, check: str) -> list[Finding]:
    return [finding for finding in examine(path) if finding.check == check and finding.level not in QUIET]


def test_what_is_advised_for_a_wrong_mode_helps(sound: Path) -> None:
    sound.chmod(0o644)
    assert "`token-keeper refresh`" in found(sound)["Document"].remedy
    TokenStore(sound).refresh()
    assert levels(sound) == {}


def test_a_document_that_is_gone_is_not_said_to_come_back(sound: Path) -> None:
    sound.unlink()
    assert found(sound)["Document"].remedy == "run site.yml to obtain one"


@pytest.mark.parametrize(
    ("name", "age", "advice"),
    [
        (".token.json.state.tmp-01", 7200, "the next exchange sweeps them"),
        (".token.json.consent.tmp-01", 7200, "the next exchange sweeps them"),
        (".token.json.history/0123456789abcdef.json.tmp-01", 7200, "the next exchange sweeps them"),
        ("token.json.tmp", 100, "nobody sweeps them: rm them in "),
        ("token.json.tmp1a2b", 100, "nobody sweeps them: rm them in "),
        ("token.json.bak", 100, "nobody sweeps them: rm them in "),
        (".token.json.swp", 100, "nobody sweeps them: rm them in "),
        ("token.json~", 100, "nobody sweeps them: rm them in "),
        ("token.json.tmp", 0, None),
        ("token.json.tmp-01", 100, None),
        ("other.json.tmp", 100, None),
        (".other.json.state.tmp-01", 7200, None),
    ],
)
def test_temporary_files(sound: Path, name: str, age: float, advice: str | None) -> None:
    path = sound.parent / name
    path.write_text("{}")
    path.chmod(0o600)
    os.utime(path, (time.time() - age,) * 2)
    remedies = [finding.remedy for finding in all_found(sound, "Leftovers")]
    assert [advice in remedy for remedy in remedies if advice] == ([True] if advice else [])
    assert len(remedies) == (1 if advice else 0)
    TokenStore(sound).refresh(force=True)
    swept = advice is not None and "sweeps them" in advice and "nobody" not in advice
    assert path.exists() == (not swept and name != "token.json.tmp-01"), "what is advised is what happens"


@pytest.mark.parametrize(
    ("text", "age", "words"),
    [("\n" * 16_384, 10, None), ("\n" * 16_384, 7200, "no reply came into"), ('{"token": "acc' + "\n" * 99, 10, None),
     ('{"token": "acc' + "\n" * 99, 7200, "hold no whole reply"), ("{}", 7200, "hold no whole reply")],
)  # fmt: skip
def test_pending_files(sound: Path, provider: Provider, text: str, age: float, words: str | None) -> None:
    path = sound.parent / ".token.json.pending.0123456789abcdef"
    path.write_text(text)
    path.chmod(0o600)
    os.utime(path, (time.time() - age,) * 2)
    findings = all_found(sound, "Leftovers")
    assert [(finding.level, (words or "") in finding.message) for finding in findings] == (
        [("warning", True)] if words else []
    )
    TokenStore(sound).refresh(force=True)
    assert path.exists() == (words is None), "what is advised is what happens"


def test_a_whole_reply_waits_for_the_next_writer(sound: Path, provider: Provider) -> None:
    path = sound.parent / ".token.json.pending.0123456789abcdef"
    path.write_text(provider.grant().to_json())
    path.chmod(0o600)
    assert levels(sound) == {}
    assert "1 replies wait" in found(sound)["Leftovers"].message


SIDE_FILES = (".token.json.state", ".token.json.events", ".token.json.pending.0123", ".token.json.keeper")


def side_files(path: Path) -> list[Path]:
    history = path.parent / ".token.json.history"
    for name in SIDE_FILES:
        (path.parent / name).touch(mode=0o600)
    return [*(path.parent / name for name in SIDE_FILES), history, *history.iterdir()]


def test_a_side_file_that_others_may_read(sound: Path) -> None:
    for side in side_files(sound):
        right = side.stat().st_mode & 0o777
        side.chmod(right | 0o055)
        [finding] = all_found(sound, "Files")
        assert (finding.level, finding.remedy) == ("warning", f"chmod {right:04o} {side}")
        side.chmod(right)
    assert all_found(sound, "Files") == []


def test_a_side_file_of_another_kind(sound: Path) -> None:
    for name in (*SIDE_FILES, ".token.json.history"):
        side = sound.parent / name
        if side.is_dir():
            side.rename(sound.parent / "away")
            side.touch(mode=0o600)
        else:
            side.unlink(missing_ok=True)
            side.mkdir(mode=0o700)
        [finding] = [finding for finding in all_found(sound, "Files") if str(side) in finding.message]
        spare = name in {".token.json.events", ".token.json.keeper"}
        assert (finding.level, finding.remedy) == ("warning" if spare else "error", "move it away")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def of_the_app(sound: Path) -> Iterator[Path]:
    """A volume that belongs to the app's user, with all that is in it.

    Not in pytest's own folder: each run of pytest, and the tests start some, closes it to others.
    """
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        moved = Path(shutil.move(sound.parent, name)) / sound.name
        for path in (moved.parent, moved, *side_files(moved)):
            os.chown(path, 1999, 1998)
        yield moved


def found_as_the_app(path: Path) -> dict[str, dict[str, Any]]:
    code = """
import json, sys
from pathlib import Path
from token_keeper.doctor import examine
print(json.dumps([finding.as_dict() for finding in examine(Path(sys.argv[1]))]))
"""
    done = as_the_app(code, str(path))
    assert done.returncode == 0, done.stderr
    findings = [finding for finding in json.loads(done.stdout) if finding["level"] != "ok"]
    # where the tests' folder is, and whether its interpreter lies where this user may run it
    return {finding["check"]: finding for finding in findings if finding["check"] not in {"FileSystem", "Lock"}}


@as_root
def test_a_document_that_the_app_cannot_read_hides_nothing_else(of_the_app: Path) -> None:
    assert found_as_the_app(of_the_app) == {}
    os.chown(of_the_app, 0, 0)
    (of_the_app.parent / "token.json.bak").touch()
    os.utime(of_the_app.parent / "token.json.bak", (0, 0))
    edit_state(of_the_app, clock_skew=120.0)
    findings = found_as_the_app(of_the_app)
    assert set(findings) == {"Document", "Leftovers", "Clock"}
    document = findings["Document"]
    assert document["level"] == "error"
    assert f"uid 1999 may not read {of_the_app}" in document["message"]
    assert "puts the last sound document back" in document["remedy"]
    seen_by_root = found(of_the_app)["Document"]
    chown = f"as root: chown 1999:1998 {of_the_app} && chmod 0600 {of_the_app}"
    assert (seen_by_root.level, seen_by_root.remedy) == ("error", chown)
    assert as_the_app("import sys; from token_keeper import TokenStore; TokenStore(sys.argv[1]).access_token()",
                      str(of_the_app)).returncode == 0  # fmt: skip
    assert found_as_the_app(of_the_app).keys() == {"Leftovers", "Clock"}


@as_root
def test_a_side_file_that_the_app_cannot_read_is_named(of_the_app: Path) -> None:
    for side in side_files(of_the_app):
        mode = 0o700 if side.is_dir() else 0o600
        os.chown(side, 0, 0)
        for finding in (found_as_the_app(of_the_app)["Files"], found(of_the_app)["Files"].as_dict()):
            spare = side.name in {".token.json.events", ".token.json.keeper"}
            assert finding["level"] == ("warning" if spare else "error")
            assert finding["message"].startswith(f"{side} belongs to 0:0, mode {mode:04o}")
            assert finding["remedy"] == f"as root: chown 1999:1998 {side} && chmod {mode:04o} {side}"
        os.chown(side, 1999, 1998)
    assert found_as_the_app(of_the_app) == {}


def test_one_check_that_fails_hides_no_other(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> list[Finding]:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr("token_keeper.doctor.examination.examine_owners", fail)
    findings = found(sound)
    assert levels(sound) == {"Files": "error"}
    assert "/somewhere" in findings["Files"].message
    assert {"Directory", "Lock", "Document", "State", "Leftovers", "Conditions", "Events"} <= set(findings)


def test_a_dead_grant_and_a_clock_that_is_off(store: TokenStore, provider: Provider, sound: Path) -> None:
    store.replace(expired(provider.grant()), force=True)
    edit_state(sound, clock_skew=-120.0)
    assert levels(sound) == {"Clock": "warning"}
    provider.live.clear()
    with pytest.raises(ReauthRequired):
        store.access_token()
    assert {"Document": "error", "Conditions": "warning"}.items() <= levels(sound).items()
    assert "ReauthRequired" not in found(sound)["Clock"].message


def test_a_grant_that_dies_soon(sound: Path) -> None:
    edit_state(sound, grant_expiry=time.time() + 3 * 86_400)
    finding = found(sound)["Deadline"]
    assert (finding.level, "2 days" in finding.message) == ("warning", True)
    edit_state(sound, grant_expiry=time.time() - 3 * 86_400)
    assert "should have come already" in found(sound)["Deadline"].message


def test_the_verb(sound: Path) -> None:
    command = [sys.executable, "-m", "token_keeper", "--path", str(sound), "doctor"]
    text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    assert "sound, generation 1" in text
    sound.write_text("")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=60)
    report = json.loads(done.stdout)
    assert done.returncode == 10
    assert report["errors"] >= 1
    assert {"check", "level", "message", "remedy", "reason", "mend", "where"} == set(report["findings"][0])
