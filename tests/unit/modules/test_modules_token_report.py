"""The report's file: whole or not at all, or into what the shell has opened."""

from __future__ import annotations

import importlib
import os
import stat
import sys
from pathlib import Path

import pytest
from pretended import ROOT

sys.path.insert(0, str(ROOT / "plugins" / "action"))
token_report = importlib.import_module("token_report")


def test_a_file_is_replaced_whole_with_the_modes_that_the_umask_leaves(tmp_path: Path) -> None:
    target, link = tmp_path / "report.json", tmp_path / "link.json"
    target.write_text("before")
    link.symlink_to(target)
    before = os.umask(0o027)
    try:
        token_report.write(str(link), "after\n")
    finally:
        os.umask(before)
    assert (target.read_text(), link.is_symlink()) == ("after\n", True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "report.json"]


def test_a_descriptor_is_written_to_as_it_is() -> None:
    reader, writer = os.pipe()
    try:
        token_report.write(f"/dev/fd/{writer}", "report\n")
        assert os.read(reader, 100) == b"report\n"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/2"])
def test_what_would_be_lost_is_refused(name: str) -> None:
    with pytest.raises(token_report.ModuleFailure) as caught:
        token_report.write(name, "report\n")
    assert (caught.value.reason, "output=json" in caught.value.remedy) == ("NotWritten", True)


def test_where_nothing_can_be_written_nothing_is_left(tmp_path: Path) -> None:
    for target in (tmp_path / "no" / "report.json", tmp_path):
        with pytest.raises(token_report.ModuleFailure):
            token_report.write(str(target), "report\n")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_nobody_has_and_links_that_go_round_are_told(tmp_path: Path) -> None:
    round_and_round = tmp_path / "round"
    round_and_round.symlink_to(round_and_round)
    for name in ("~nobody-of-that-name/report.json", str(round_and_round / "report.json")):
        with pytest.raises(token_report.ModuleFailure) as caught:
            token_report.write(name, "report\n")
        assert (caught.value.reason, name in caught.value.message) == ("NotWritten", True)
