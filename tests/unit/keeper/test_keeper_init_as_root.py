"""The first owner and mode of a volume, by a root that may do nothing but chown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keeper_parts import tree
from keeper_provider import Provider

import token_keeper
from token_keeper import TokenStore
from token_keeper.errors import StorageError
from token_keeper.initialise import initialise

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def volume() -> Iterator[Path]:
    """A fresh volume as Docker makes it: root's, 0755, empty; the folders above may be passed by anybody.

    Not in pytest's own folder: each run of pytest, and the tests start some, closes it to others.
    """
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        folder = Path(name) / "volume"
        folder.mkdir(mode=0o755)
        yield folder


def with_only_chown(volume: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run ``init-volume`` as root whose capabilities are CAP_CHOWN and no other."""
    # root's next program gets all of the bounding set, which is CAP_CHOWN alone
    command = ["setpriv", "--bounding-set", "-all,+chown", "--inh-caps", "-all", "--no-new-privs"]
    command += [sys.executable, "-m", "token_keeper", "--path", str(volume / "token.json"), "init-volume"]
    done = subprocess.run(
        [*command, "--uid", "1999", "--gid", "1998", *arguments, "--json"], capture_output=True, check=False, timeout=30
    )
    assert done.stderr == b"", done.stderr
    return done.returncode, json.loads(done.stdout)


def as_the_app(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as the app's user, without any capability."""
    command = ["setpriv", "--reuid", "1999", "--regid", "1998", "--clear-groups", "--bounding-set", "-all"]
    # the one these tests run with may lie in a home directory that is closed to others
    for interpreter in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([*command, interpreter, "-c", ""], check=False, capture_output=True).returncode == 0:
            break
    return subprocess.run(
        [*command, interpreter, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def owners(volume: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (volume, *volume.rglob("*"))}


def test_a_fresh_volume_is_given_to_the_app(volume: Path) -> None:
    code, answer = with_only_chown(volume)
    assert code == 0
    assert answer == {
        "changed": True,
        "before": {"uid": 0, "gid": 0, "mode": "0755"},
        "after": {"uid": 1999, "gid": 1998, "mode": "0700"},
    }
    assert owners(volume) == {(1999, 1998)}
    assert volume.stat().st_mode & 0o7777 == 0o700
    assert [path.name for path in volume.iterdir()] == [".token-keeper"], "a first file, lest Docker fills it"


def test_a_second_run_changes_nothing(volume: Path) -> None:
    with_only_chown(volume)
    before = {name: (*facts[:5], facts[6]) for name, facts in tree(volume).items()}
    code, answer = with_only_chown(volume)
    assert (code, answer["changed"]) == (0, False)
    assert {name: (*facts[:5], facts[6]) for name, facts in tree(volume).items()} == before
    code, answer = with_only_chown(volume, "--dry-run")
    assert (code, answer["changed"]) == (0, False)


def test_a_dry_run_changes_nothing(volume: Path) -> None:
    before = tree(volume)
    code, answer = with_only_chown(volume, "--dry-run")
    assert (code, answer["changed"]) == (0, True)
    assert tree(volume) == before


@pytest.mark.parametrize("mode", ["0700", "0750", "0770"])
def test_the_mode_is_the_one_that_was_asked_for(volume: Path, mode: str) -> None:
    assert with_only_chown(volume, "--mode", mode)[1]["after"]["mode"] == mode
    assert f"{volume.stat().st_mode & 0o7777:04o}" == mode
    assert with_only_chown(volume, "--mode", mode)[1]["changed"] is False


@pytest.mark.parametrize("owner", [0, 1000])
@pytest.mark.parametrize("mode", [0o755, 0o700, 0o000])
def test_a_volume_of_another_owner_is_taken_over_with_all_that_is_in_it(
    volume: Path, provider: Provider, owner: int, mode: int
) -> None:
    """As ``docker cp`` and a container with the wrong user leave it: foreign files, some of them 0644."""
    TokenStore(volume / "token.json").replace(provider.grant())
    (volume / "token.json").chmod(0o644)
    (volume / "token.json.bak").write_text("")
    (volume / "token.json.bak").chmod(0o000)
    (volume / "link.json").symlink_to("/etc/passwd")
    for path in (*volume.rglob("*"), volume):
        os.chown(path, owner, owner, follow_symlinks=False)
    volume.chmod(mode)
    code, answer = with_only_chown(volume)
    assert (code, answer["changed"]) == (0, True)
    assert answer["before"]["mode"] == f"{mode:04o}"
    assert owners(volume) == {(1999, 1998)}
    assert (volume / ".token.json.history").stat().st_mode & 0o7777 == 0o700
    modes = {path.stat().st_mode & 0o7777 for path in volume.rglob("*") if path.is_file() and not path.is_symlink()}
    assert modes == {0o600}
    assert os.stat("/etc/passwd").st_uid == 0, "links are not followed"
    assert with_only_chown(volume)[1]["changed"] is False


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_somebody_elses_volume_is_left_as_it_was(volume: Path, mode: int) -> None:
    (volume / "base").mkdir()
    (volume / "PG_VERSION").write_text("16")
    for path in (*volume.rglob("*"), volume):
        os.chown(path, 1000, 1000)
    volume.chmod(mode)
    before = {name: (*facts[:5], facts[6]) for name, facts in tree(volume).items()}
    code, answer = with_only_chown(volume)
    assert (code, answer["error"]["reason"]) == (11, "ForeignContent")
    assert {name: (*facts[:5], facts[6]) for name, facts in tree(volume).items()} == before


def test_a_foreign_file_in_a_volume_that_is_right_is_given_to_the_app(volume: Path, provider: Provider) -> None:
    with_only_chown(volume)
    (volume / "token.json").write_text(provider.grant().to_json())
    (volume / "token.json").chmod(0o600)
    code, answer = with_only_chown(volume)
    assert (code, answer["changed"]) == (0, True)
    assert owners(volume) == {(1999, 1998)}


def test_the_app_can_work_in_it_without_any_capability(volume: Path, provider: Provider) -> None:
    with_only_chown(volume)
    library = volume.parent / "library"
    shutil.copytree(Path(token_keeper.__file__).parent, library / "token_keeper")
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(library)!r})\n"
        "from token_keeper.document import TokenDocument\n"
        "from token_keeper.store import TokenStore\n"
        "store = TokenStore(sys.argv[1])\n"
        "store.replace(TokenDocument.parse(sys.argv[2]))\n"
        "print(store.snapshot().generation)\n"
    )
    done = as_the_app(code, str(volume / "token.json"), provider.grant().to_json())
    assert done.stdout == "1\n", done.stderr
    assert owners(volume) == {(1999, 1998)}


def test_the_app_goes_on_while_a_second_run_looks_inside(volume: Path, provider: Provider) -> None:
    """A token in memory outlives the moment in which the directory is root's."""
    with_only_chown(volume)
    library = volume.parent / "library"
    shutil.copytree(Path(token_keeper.__file__).parent, library / "token_keeper")
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(library)!r})\n"
        "from token_keeper.document import TokenDocument\n"
        "from token_keeper.store import TokenStore\n"
        "store = TokenStore(sys.argv[1])\n"
        "store.replace(TokenDocument.parse(sys.argv[2]))\n"
        "token = store.access_token()\n"
        "print('ready', flush=True)\n"
        "count = 0\n"
        "import threading\n"
        "done = threading.Event()\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), done.set())).start()\n"
        "while not done.is_set():\n"
        "    assert store.access_token() == token\n"
        "    count += 1\n"
        "print(count > 10)\n"
    )
    command = ["setpriv", "--reuid", "1999", "--regid", "1998", "--clear-groups", "--bounding-set", "-all"]
    for interpreter in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([*command, interpreter, "-c", ""], check=False, capture_output=True).returncode == 0:
            break
    arguments = [*command, interpreter, "-c", code, str(volume / "token.json"), provider.grant().to_json()]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        assert app.stdout.readline() == "ready\n"
        for _ in range(4):
            assert with_only_chown(volume)[0] == 0
        assert app.communicate("", timeout=20)[0] == "True\n"
        assert app.returncode == 0


def test_root_writes_for_the_app(volume: Path, provider: Provider) -> None:
    """``docker exec -u 0`` leaves no file that the app could not replace."""
    initialise(volume, name="token.json", uid=1999, gid=1998, mode=0o700)
    store = TokenStore(volume / "token.json")
    store.replace(provider.grant())
    store.refresh(force=True)
    assert owners(volume) == {(1999, 1998)}


def test_what_is_no_directory_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, reason in (("file", "NotADirectory"), ("absent", "WrongOwner")):
        with pytest.raises(StorageError) as caught:
            initialise(tmp_path / name, name="token.json", uid=1, gid=1, mode=0o700)
        assert caught.value.reason == reason


def in_a_mount_namespace(script: str) -> list[dict[str, Any]]:
    """Run a shell script whose mounts nobody else sees; return the JSON it prints, line by line."""
    command = ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", script]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_read_only_mount_serves_and_refuses(volume: Path, provider: Provider) -> None:
    TokenStore(volume / "token.json").replace(provider.grant())
    keeper = f"{sys.executable} -m token_keeper --path {volume / 'token.json'}"
    before = tree(volume)
    shown, status, fresh, verified, forced, cleared, prepared = in_a_mount_namespace(
        f"mount --bind {volume} {volume} && mount -o remount,ro,bind {volume} && {keeper} show --json;"
        f"{keeper} status --json; {keeper} refresh --json; {keeper} verify --json;"
        f"{keeper} refresh --force --json; {keeper} clear --json;"
        f"{keeper} init-volume --uid 1999 --gid 1998 --json; true"
    )
    assert shown["state"] == "sound"
    assert status["volume"]["writable"] is False
    assert fresh["changed"] is False
    assert verified["error"]["reason"] == "NotWritable"
    assert forced["error"]["reason"] == "ReadOnly"
    assert cleared["error"]["reason"] == "ReadOnly"
    assert prepared["error"]["reason"] == "ReadOnly"
    assert tree(volume) == before
    assert provider.forms == []


def test_a_full_disk_is_found_before_the_provider_is_asked(volume: Path, provider: Provider) -> None:
    """A volume of 64 KiB that something else has filled."""
    keeper = f"{sys.executable} -m token_keeper --path {volume / 'token.json'}"
    Path(f"{volume}.json").write_text(provider.grant().to_json())
    pushed, full, again = in_a_mount_namespace(
        f"mount -t tmpfs -o size=64k,mode=0700 none {volume} && "
        f"{keeper} push --rotation yes --json <{volume}.json && "
        f"(head -c 100000 /dev/zero >{volume}/filler 2>{volume}.log; {keeper} refresh --force --json;"
        f" rm {volume}/filler; {keeper} refresh --force --json)"
    )
    assert pushed["changed"] is True
    assert (full["error"]["type"], full["error"]["reason"]) == ("StorageError", "NoSpace")
    assert again["exchanged"] is True
    assert provider.exchanges == 1
