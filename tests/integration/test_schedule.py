"""What the timer runs is run once, as systemd would run it."""

from __future__ import annotations

import fcntl
import json
import re
import shlex
from pathlib import Path

import pytest
from deployment import ROOT, Deployment, Run, run

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(900)]


def command(deployment: Deployment, folder: Path, where: str) -> list[str]:
    """Have the units written, and return what the service runs, with a lock in the test's folder."""
    lasting = json.loads(deployment.command("")[3])
    variables = {
        "schedule_where": where,
        "rotation_schedule_start": False,
        "rotation_schedule_unit_dir": str(folder),
        "rotation_schedule_arguments": ["-e", json.dumps(lasting)],
    }
    deployment.playbook("playbooks/schedule_rotation.yml", "-e", json.dumps(variables)).succeeded()
    name = f"token-keeper-rotation-{deployment.project}"
    (folder / name).mkdir()  # RuntimeDirectory
    [line] = re.findall(r"^ExecStart=(.*)$", (folder / f"{name}.service").read_text(), re.MULTILINE)
    return [word.replace("%t", str(folder)).replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


def service(deployment: Deployment, words: list[str]) -> Run:
    return run(words, cwd=ROOT, timeout=300, environment=deployment.environment())


@pytest.mark.parametrize("where", ["host", "controller"])
def test_what_the_timer_runs_renews_the_token(deployment: Deployment, tmp_path: Path, where: str) -> None:
    before = deployment.status()
    words = command(deployment, tmp_path, where)
    service(deployment, words).succeeded()
    assert deployment.status()["generation"] == before["generation"] + 1
    # a run that finds another one under way leaves it to that, and the unit counts this as a success
    with open(words[4], "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert service(deployment, words).code == 75
    assert deployment.status()["generation"] == before["generation"] + 1
