"""One person is asked one thing at a time, by processes that know nothing of each other."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from module_utils.token_keeper_helper.turns import turn

PATIENCE = 10
AT_ONCE = 0.2


def host(folder: Path, pipe: Connection) -> None:
    """Say when it waits and when it has its turn; end the turn when told to."""
    with turn(folder, lambda: pipe.send("waits")):
        pipe.send("asks")
        pipe.recv()
    pipe.send("done")


def test_a_host_waits_until_the_person_has_answered_another(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")  # as Ansible's workers are
    ours, theirs = zip(*(fork.Pipe() for _ in range(2)), strict=True)
    hosts = [fork.Process(target=host, args=(tmp_path, end), daemon=True) for end in theirs]
    hosts[0].start()
    assert ours[0].poll(PATIENCE)
    assert ours[0].recv() == "asks"
    hosts[1].start()
    assert ours[1].poll(PATIENCE)
    assert ours[1].recv() == "waits"
    assert not ours[1].poll(AT_ONCE)
    ours[0].send("an answer")
    assert ours[1].poll(PATIENCE)
    assert ours[1].recv() == "asks"
    ours[1].send("an answer")
    for each in hosts:
        each.join(PATIENCE)
        assert each.exitcode == 0


def test_a_host_that_dies_in_its_turn_holds_up_nobody(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    dying = fork.Process(target=host, args=(tmp_path, theirs), daemon=True)
    dying.start()
    assert ours.recv() == "asks"
    dying.kill()
    dying.join(PATIENCE)
    waited: list[str] = []
    with turn(tmp_path, lambda: waited.append("waits")):
        assert waited == []
