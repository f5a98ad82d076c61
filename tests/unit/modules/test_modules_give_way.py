"""A run of Ansible that gives way: the process that runs the playbook, all of its threads, and what it starts later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugins.action.give_way import lowered

ROOT = Path(__file__).resolve().parents[3]
THREADS = """
import os, sys, threading
threading.Thread(target=sys.stdin.read, daemon=True).start()
print(len(os.listdir("/proc/self/task")), flush=True)
sys.stdin.readline()
print(os.nice(0), flush=True)
"""
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - give_way: {nice: %s}
      register: given
    - ansible.builtin.command: nice
      changed_when: false
      register: said
    - ansible.builtin.debug:
        msg: "nice {{ given['nice'] }}, a later module has {{ said['stdout'] }}"
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process with two threads."""
    with subprocess.Popen(
        [sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "2\n"
        yield running
        running.kill()


def values(process: subprocess.Popen[str]) -> set[int]:
    threads = os.listdir(f"/proc/{process.pid}/task")
    return {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads}


def test_every_thread_gives_way(process: subprocess.Popen[str]) -> None:
    before = os.getpriority(os.PRIO_PROCESS, process.pid)
    assert lowered(process.pid, before + 5) == before + 5
    assert values(process) == {before + 5}


def test_a_priority_is_never_raised(process: subprocess.Popen[str]) -> None:
    before = os.getpriority(os.PRIO_PROCESS, process.pid)
    lowered(process.pid, before + 5)
    assert lowered(process.pid, before + 2) == before + 5
    assert lowered(process.pid, 0) == before + 5


def play(folder: Path, nice: int) -> subprocess.CompletedProcess[str]:
    book = folder / "play.yml"
    book.write_text(PLAY % nice)
    return subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "localhost,",
            "-c",
            "local",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            book,
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_a_playbook_starts_later_gives_way_too(tmp_path: Path) -> None:
    nice = os.nice(0) + 7
    done = play(tmp_path, nice)
    assert done.returncode == 0, done.stdout
    assert f"nice {nice}, a later module has {nice}" in done.stdout


@pytest.mark.parametrize("nice", [-1, 20])
def test_what_is_no_nice_value_is_said(tmp_path: Path, nice: int) -> None:
    done = play(tmp_path, nice)
    assert done.returncode != 0
    assert "has to be from 0 to 19" in done.stdout
