"""Places of archives: gone with the run that made them, and with the next one where that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from module_utils.token_keeper_helper import places
from pretended import ROOT

RUN = """
import sys
sys.path.insert(0, {root!r})
from module_utils.token_keeper_helper import places
with places.place() as folder:
    (folder / "images.tar").write_text("archive")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(places.tempfile, "tempdir", None)
    return folder


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    folder = tmp_path / "aside"
    folder.mkdir()
    return folder


def begun() -> tuple[subprocess.Popen[str], Path]:
    """Begin another run, and return it with its place."""
    program = [sys.executable, "-c", RUN.format(root=str(ROOT))]
    other = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    return other, Path(other.stdout.readline().strip())


def killed(other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.communicate()


def made_on_host(folder: Path, aside: Path) -> Path:
    """Have the place on the host made that belongs to one here, and removed what is left there."""
    return ran_on_host(places.on_host(folder, str(aside)), folder, aside)


def ran_on_host(script: str, folder: Path, aside: Path) -> Path:
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    *found, made = told.strip().splitlines()
    for path in places.left(found, folder, str(aside)):
        shutil.rmtree(path)
    return Path(made)


def test_a_place_is_gone_with_its_run_and_what_a_killed_one_left_with_the_next(temporary: Path) -> None:
    other, left = begun()
    with places.place() as folder:
        assert left.is_dir(), "the other run lives"
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == [left]
    killed(other)
    somebody_s = temporary / "token-keeper-images.abc"
    somebody_s.mkdir()
    with places.place() as folder:
        assert sorted(temporary.iterdir()) == sorted([folder, somebody_s])
    assert list(temporary.iterdir()) == [somebody_s]


def test_what_a_killed_run_left_on_a_host_goes_with_the_next_of_its_controller(
    aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, theirs = begun()
    there = made_on_host(theirs, aside)
    (there / "images.tar").write_text("archive")
    with places.place() as folder:
        mine = made_on_host(folder, aside)
        again = made_on_host(folder, aside)  # another host of the run, which is the same machine
        assert (there / "images.tar").exists(), "the other run lives"
        assert sorted(aside.iterdir()) == sorted([there, mine, again])
    killed(other)
    with places.place() as folder:
        mine = made_on_host(folder, aside)
        assert list(aside.iterdir()) == [mine]

    # Of another controller nobody knows whether it lives, unless nothing has happened for a day
    with monkeypatch.context() as elsewhere, places.place() as folder:
        elsewhere.setattr(places.socket, "gethostname", lambda: "elsewhere")
        other_s = made_on_host(folder, aside)
        assert mine.is_dir()
        (mine / "images.tar").write_text("archive")
        yesterday = time.time() - 25 * 3600
        for path in (mine / "images.tar", mine):
            os.utime(path, (yesterday, yesterday))
        again = made_on_host(folder, aside)
        assert sorted(aside.iterdir()) == sorted([again, other_s])


def test_a_folder_whose_name_means_something_to_a_shell_is_one_all_the_same(tmp_path: Path) -> None:
    odd = tmp_path / "it's; here"
    odd.mkdir()
    with places.place() as folder:
        assert made_on_host(folder, odd).parent == odd


def test_a_run_that_begins_while_another_reaches_for_the_host_keeps_its_place(aside: Path) -> None:
    with places.place() as folder:
        script = places.on_host(folder, str(aside))
        # a slow connection: what has begun meanwhile is on the host before the script gets there
        other, theirs = begun()
        there = made_on_host(theirs, aside)
        mine = ran_on_host(script, folder, aside)
        assert sorted(aside.iterdir()) == sorted([mine, there])
        killed(other)


def test_what_a_host_says_is_removed_only_if_it_is_a_place_of_this_controller(aside: Path) -> None:
    with places.place() as folder:
        mine = made_on_host(folder, aside)
        dead = mine.name.replace(folder.name.removeprefix(places.PREFIX), "dead")
        said = ["Welcome to one", "/etc", f"{mine}", f"{aside}/{dead}/../../etc", f"{aside}/{dead}"]
        assert places.left(said, folder, str(aside)) == [f"{aside}/{dead}"]


def test_two_containers_of_one_name_are_two_controllers(aside: Path, temporary: Path) -> None:
    """Neither sees the locks in the other's temporary folder, which is called the same."""
    with places.place() as folder:
        theirs = made_on_host(folder, aside)
        temporary.rename(temporary.with_name("theirs"))
        temporary.mkdir()
        with places.place() as other:
            made_on_host(other, aside)
            assert theirs.is_dir()


def test_where_age_cannot_be_told_what_others_have_is_left(aside: Path, tmp_path: Path) -> None:
    foreign = aside / f"{places.PREFIX}0123.abc.def"
    foreign.mkdir()
    os.utime(foreign, (0, 0))
    (tmp_path / "find").write_text("#!/bin/sh\necho find: unrecognized: -mmin >&2\nexit 1\n")
    (tmp_path / "find").chmod(0o755)
    with places.place() as folder:
        ran_on_host(f"PATH={tmp_path}:$PATH; {places.on_host(folder, str(aside))}", folder, aside)
        assert foreign.is_dir()
        made_on_host(folder, aside)
        assert not foreign.exists()
