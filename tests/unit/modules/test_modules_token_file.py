"""A token that goes from a file of the host into the volume, or back, without anybody else seeing it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from module_utils.token_keeper_helper.process import Completed
from plugins.action.token_file import ActionModule, concluded

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


def act(folder: Path, *, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    """Run the action with a docker command of the test's own, on this machine."""
    docker = folder / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {**os.environ, "VOLUME": str(folder / "volume"), "REPLY": json.dumps(REPLY)}

    def on_this_machine(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        done = subprocess.run(list(argv), input=stdin or b"\n", capture_output=True, check=False, env=environment)
        return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())

    owner = {"uid": os.getuid(), "gid": os.getgid()}
    arguments = {"source": str(folder / "token.json"), "volume": "tokens", "image": "keeper:1", **owner, **given}
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(
        args={**arguments, "docker_cli": str(docker)}, check_mode=check_mode, action="token_file"
    )
    action.run_on_host = on_this_machine
    return concluded(action._work, check_mode=False)


def test_the_file_is_handed_to_the_helper_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text('{"token": "canary"}')
    result = act(tmp_path)
    assert (result["changed"], result["reason"], result["generation"]) == (True, "Created", 1)
    assert (tmp_path / "volume").read_text() == '{"token": "canary"}'
    assert "canary" not in json.dumps(result)


def test_check_mode_only_asks(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("{}")
    assert act(tmp_path, check_mode=True)["changed"]
    assert not (tmp_path / "volume").exists()


@pytest.mark.parametrize(("source", "said"), [("/nowhere/token.json", "no file /nowhere"), ("token.json", "full path")])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, source: str, said: str) -> None:
    failed = act(tmp_path, source=source)
    assert failed["failed"]
    assert said in failed["msg"]


def test_it_comes_back_whole_and_keeps_the_mode_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    file.write_text("old")
    file.chmod(0o640)
    (tmp_path / "volume").write_text("new")
    assert act(tmp_path, direction="out") == {"changed": True}
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o640)
    assert act(tmp_path, direction="out") == {"changed": False}
    file.unlink()
    assert act(tmp_path, direction="out") == {"changed": True}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_read_is_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("old")
    failed = act(tmp_path, direction="out")
    assert failed["failed"]
    assert (tmp_path / "token.json").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["docker", "token.json"]


def test_half_a_document_is_mended_first_or_nothing_is_written(tmp_path: Path) -> None:
    """An unmodified app that was stopped in the midst of its write was the last to write into the volume."""
    (tmp_path / "token.json").write_text("old")
    (tmp_path / "volume").write_text("torn")
    failed = act(tmp_path, direction="out")
    assert failed["error"]["reason"] == "NotJSON"
    assert (tmp_path / "token.json").read_text() == "old"
    (tmp_path / "volume.mended").write_text("sound")
    assert act(tmp_path, direction="out") == {"changed": True}
    assert (tmp_path / "token.json").read_text() == "sound"


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_volume_that_is_not_there_takes_nothing_and_gives_nothing(tmp_path: Path, direction: str) -> None:
    (tmp_path / "token.json").write_text("old")
    (tmp_path / "volume.gone").touch()
    failed = act(tmp_path, direction=direction)
    assert failed["error"]["reason"] == "VolumeMissing"
    assert act(tmp_path, direction=direction, check_mode=True)["changed"]
    assert (tmp_path / "token.json").read_text() == "old"


def test_a_link_stays_one(tmp_path: Path) -> None:
    """The old secrets would stay where it leads."""
    real, link = tmp_path / "real.json", tmp_path / "token.json"
    real.write_text("old")
    link.symlink_to(real)
    (tmp_path / "volume").write_text("new")
    assert act(tmp_path, direction="out") == {"changed": True}
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_folder_in_its_place_is_named_before_anything_is_written(tmp_path: Path) -> None:
    """Docker makes one where a file that is to be mounted is missing; its mode would let everybody read the copy."""
    (tmp_path / "token.json").mkdir()
    (tmp_path / "volume").write_text("new")
    failed = act(tmp_path, direction="out")
    assert f"{tmp_path}/token.json is a folder" in failed["msg"]
    assert sorted(os.listdir(tmp_path)) == ["docker", "token.json", "volume"]


def test_a_signal_leaves_no_copy_of_the_secrets(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("old")
    (tmp_path / "volume").write_text("canary")
    (tmp_path / "volume.ending").touch()
    assert act(tmp_path, direction="out")["failed"]
    assert (tmp_path / "token.json").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["docker", "token.json", "volume", "volume.ending"]
