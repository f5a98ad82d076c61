"""The record of a proof on the host: read in one command, and replaced whole or not at all."""

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
from plugins.action.proof_record import ActionModule, concluded

RECORD = {"stamp": "5" * 64, "generation": 8, "image": "keeper:1"}


def on_this_machine(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
    done = subprocess.run(list(argv), input=stdin or b"\n", capture_output=True, check=False)
    return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())


def act(
    folder: Path | str, record: dict[str, Any] | None = None, stamp: str = "", *, check_mode: bool = False
) -> dict[str, Any]:
    given: dict[str, Any] = {"folder": str(folder), "stamp": stamp}
    if record is not None:
        given["record"] = record
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args=given, check_mode=check_mode, action="proof_record")
    action.run_on_host = on_this_machine
    return concluded(action._work, check_mode=check_mode)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    assert act(tmp_path) == {"changed": False, "record": {}, "writable": True, "proven": False}
    kept = act(tmp_path, RECORD)
    assert (kept["changed"], kept["record"]) == (True, {})
    assert act(tmp_path) == {"changed": False, "record": RECORD, "writable": True, "proven": False}
    file = tmp_path / "proof.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert json.loads(file.read_text()) == RECORD
    assert os.listdir(tmp_path) == ["proof.json"]


def test_a_proof_holds_for_the_stamp_that_it_was_made_for(tmp_path: Path) -> None:
    assert not act(tmp_path, stamp="ab")["proven"]
    act(tmp_path, {**RECORD, "stamp": "ab"})
    assert act(tmp_path, stamp="ab")["proven"]
    assert not act(tmp_path, stamp="cd")["proven"]
    act(tmp_path, {"generation": 8})
    assert not act(tmp_path, stamp="")["proven"]


def test_a_diff_shows_both_and_the_same_again_is_no_change(tmp_path: Path) -> None:
    act(tmp_path, RECORD)
    replaced = act(tmp_path, {**RECORD, "generation": 9})
    assert replaced["changed"]
    assert replaced["record"] == RECORD
    assert '"generation": 8' in replaced["diff"]["before"]
    assert '"generation": 9' in replaced["diff"]["after"]
    assert not act(tmp_path, {**RECORD, "generation": 9})["changed"]


def test_check_mode_announces_and_writes_nothing(tmp_path: Path) -> None:
    announced = act(tmp_path, RECORD, check_mode=True)
    assert announced["changed"]
    assert list(tmp_path.iterdir()) == []
    act(tmp_path, RECORD)
    assert not act(tmp_path, RECORD, check_mode=True)["changed"]


def test_the_record_is_replaced_by_a_rename(tmp_path: Path) -> None:
    act(tmp_path, RECORD)
    with (tmp_path / "proof.json").open() as reader:
        act(tmp_path, {**RECORD, "generation": 9})
        assert json.loads(reader.read()) == RECORD


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", "ÿ".encode(), b"null"])
def test_what_is_no_record_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "proof.json").write_bytes(content)
    assert act(tmp_path)["record"] == {}
    act(tmp_path, RECORD)
    assert act(tmp_path)["record"] == RECORD


def test_a_folder_that_is_not_there_or_is_none_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "odd" / "proof.json").mkdir(parents=True)
    for folder in (tmp_path / "absent", tmp_path / "file", tmp_path / "odd"):
        assert act(folder) == {"changed": False, "record": {}, "writable": False, "proven": False}
        failed = act(folder, RECORD)
        assert failed["failed"]
        assert failed["msg"].startswith(f"the record of the proof could not be written to {folder}: ")
    assert [path.name for path in (tmp_path / "odd").iterdir()] == ["proof.json"], "nothing is left behind"


def test_a_home_is_the_host_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "state with spaces").mkdir()
    act("~/state with spaces", RECORD)
    assert json.loads((tmp_path / "state with spaces" / "proof.json").read_text()) == RECORD
    assert act("~/state with spaces")["writable"]
