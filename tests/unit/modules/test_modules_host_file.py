"""A token that goes from a file of the host into the volume, or back, without anybody else seeing it."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from module_utils.token_keeper_helper.engine import Engine
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.helper import Helper
from module_utils.token_keeper_helper.host_file import HostFile
from module_utils.token_keeper_helper.process import Completed

DOCKER = """#!/bin/sh
# Stands for the docker command: the volume is the file that $VOLUME names
case "$*" in
  "volume inspect"*) test ! -e "$VOLUME.gone" || { echo "Error: no such volume" >&2; exit 1; }
    echo '[{"Name": "tokens"}]';;
  *" policy --json") test ! -e "$VOLUME.mended" || mv "$VOLUME.mended" "$VOLUME"; echo '{}';;
  *" show --json") grep -q torn "$VOLUME" || { echo '{}'; exit 0; }
    echo '{"error": {"type": "TokenCorrupt", "reason": "NotJSON", "message": "is not JSON", "remedy": ""}}'; exit 4;;
  *--entrypoint=cat*) cat "$VOLUME"; if test -e "$VOLUME.ending"; then kill "$PPID"; sleep 0.2; fi;;
  *" push --dry-run "*) cat >/dev/null; echo "$REPLY";;
  *" push "*) cat >"$VOLUME"; echo "$REPLY";;
esac
"""
FACTS = {"state": "sound", "fingerprint": "5" * 16}
REPLY = {"changed": True, "reason": "Created", "before": None, "after": FACTS, "generation": 1}


def file_in(folder: Path, source: str = "token.json") -> HostFile:
    """Return the file, reached with a docker command of the test's own, on this machine."""
    docker = folder / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {**os.environ, "VOLUME": str(folder / "volume"), "REPLY": json.dumps(REPLY)}

    def on_this_machine(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        done = subprocess.run(list(argv), input=stdin or b"\n", capture_output=True, check=False, env=environment)
        return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())

    engine = Engine(on_this_machine, str(docker))
    return HostFile(str(folder / source), Helper(engine, "keeper:1", "tokens", uid=os.getuid(), gid=os.getgid()))


def given(folder: Path, **options: bool) -> bool:
    """Write the volume's document into the file, and tell whether that is another now."""
    answer: bool = file_in(folder).give(**options)["changed"]
    return answer


def refused(act: Callable[[], Any]) -> ModuleFailure:
    """Return what an attempt fails with."""
    with pytest.raises(ModuleFailure) as caught:
        act()
    return caught.value


def test_the_file_is_handed_to_the_helper_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text('{"token": "canary"}')
    result = file_in(tmp_path).take()
    assert (result["changed"], result["reason"], result["generation"]) == (True, "Created", 1)
    assert (tmp_path / "volume").read_text() == '{"token": "canary"}'
    assert "canary" not in json.dumps(result)


def test_a_dry_run_only_asks(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("{}")
    assert file_in(tmp_path).take(dry_run=True)["changed"]
    assert not (tmp_path / "volume").exists()


def test_where_there_is_no_volume_yet_a_dry_run_makes_none(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("{}")
    (tmp_path / "volume.gone").touch()
    asked: list[str] = []
    file = file_in(tmp_path)
    run = file.helper.engine.run

    def noted(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        asked.extend(argv)
        return run(argv, stdin)

    engine = dataclasses.replace(file.helper.engine, run=noted)
    assert HostFile(file.path, dataclasses.replace(file.helper, engine=engine)).take(dry_run=True)["changed"]
    assert f"--tmpfs=/app/tokens:uid={os.getuid()},gid={os.getgid()},mode=0700" in asked
    assert not any(word.startswith("--mount") for word in asked)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"there is no file {tmp_path}/gone.json" in str(refused(file_in(tmp_path, "gone.json").take))
    assert file_in(tmp_path, "gone.json").signature() is None


def test_whoever_writes_the_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("1")
    before = file_in(tmp_path).signature()
    assert before == file_in(tmp_path).signature() is not None
    os.utime(tmp_path / "token.json", ns=(1, 1))
    assert file_in(tmp_path).signature() != before


def test_an_app_that_is_rewriting_its_file_may_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It empties it first."""
    (tmp_path / "token.json").write_text("")
    file, run, asked = file_in(tmp_path), Helper.run, []

    def half(helper: Helper, verb: str, *options: str, **more: Any) -> dict[str, Any]:
        asked.append(verb)
        if len(asked) < 3:
            raise ModuleFailure("TokenCorrupt", "Empty", "is empty")
        return run(helper, verb, *options, **more)

    monkeypatch.setattr(Helper, "run", half)
    assert file.take()["changed"]
    assert asked == ["push"] * 3


def test_it_comes_back_whole_and_keeps_the_mode_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    file.write_text("old")
    file.chmod(0o640)
    (tmp_path / "volume").write_text("new")
    assert given(tmp_path)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o640)
    assert not given(tmp_path)
    file.unlink()
    assert given(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_read_is_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("old")
    assert refused(lambda: given(tmp_path)).reason == "FileNotWritten"
    assert (tmp_path / "token.json").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["docker", "token.json"]


def test_half_a_document_is_mended_first_or_nothing_is_written(tmp_path: Path) -> None:
    """An unmodified app that was stopped in the midst of its write was the last to write into the volume."""
    (tmp_path / "token.json").write_text("old")
    (tmp_path / "volume").write_text("torn")
    assert refused(lambda: given(tmp_path)).reason == "NotJSON"
    assert (tmp_path / "token.json").read_text() == "old"
    (tmp_path / "volume.mended").write_text("sound")
    assert given(tmp_path)
    assert (tmp_path / "token.json").read_text() == "sound"


def test_a_volume_that_is_not_there_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("old")
    (tmp_path / "volume.gone").touch()
    assert refused(lambda: given(tmp_path)).reason == "VolumeMissing"
    assert (tmp_path / "token.json").read_text() == "old"


def test_a_link_stays_one(tmp_path: Path) -> None:
    """The old secrets would stay where it leads."""
    real, link = tmp_path / "real.json", tmp_path / "token.json"
    real.write_text("old")
    link.symlink_to(real)
    (tmp_path / "volume").write_text("new")
    assert given(tmp_path)
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_folder_in_its_place_is_named_before_anything_is_written(tmp_path: Path) -> None:
    """Docker makes one where a file that is to be mounted is missing; its mode would let everybody read the copy."""
    (tmp_path / "token.json").mkdir()
    (tmp_path / "volume").write_text("new")
    assert f"{tmp_path}/token.json is a folder" in str(refused(lambda: given(tmp_path)))
    assert sorted(os.listdir(tmp_path)) == ["docker", "token.json", "volume"]


def test_a_signal_leaves_no_copy_of_the_secrets(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("old")
    (tmp_path / "volume").write_text("canary")
    (tmp_path / "volume.ending").touch()
    refused(lambda: given(tmp_path))
    assert (tmp_path / "token.json").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["docker", "token.json", "volume", "volume.ending"]


@pytest.mark.parametrize("old", ["old", '{"token": "a much longer one than the new one is"}'])
def test_a_file_that_is_mounted_alone_stays_the_same_file(tmp_path: Path, old: str) -> None:
    """A container has the file itself, whatever its name leads to later; and it finds a whole document there."""
    file = tmp_path / "token.json"
    file.write_text(old)
    inode = file.stat().st_ino
    (tmp_path / "volume").write_text('{"token": "new"}')
    assert given(tmp_path, in_place=True)
    assert file.stat().st_ino == inode
    assert json.loads(file.read_text()) == {"token": "new"}
    assert sorted(os.listdir(tmp_path)) == ["docker", "token.json", "volume"]
    file.unlink()
    assert "is gone" in str(refused(lambda: given(tmp_path, in_place=True)))
    assert sorted(os.listdir(tmp_path)) == ["docker", "volume"]


def test_a_file_that_is_written_in_place_is_never_cut(tmp_path: Path) -> None:
    """A reader at that moment would find half a document."""
    file = tmp_path / "token.json"
    file.write_text("x" * 5000)
    (tmp_path / "volume").write_text('{"token": "new"}')
    assert given(tmp_path, in_place=True)
    assert file.stat().st_size == 5000
