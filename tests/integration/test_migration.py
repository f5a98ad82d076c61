"""A project moves from a token in a file of the host to the volume and back under load, and no refresh is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from deployment import ROOT, Deployment, Run, docker
from theirs import Steady, Theirs, started, theirs

from token_keeper import fingerprint

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

MOVE = "playbooks/migrate_bind_mount.yml"
PORT = 28191
RATE = 20.0
DONE = re.compile(r"service by service: \w+ \(.*? into the file: \d+")


@pytest.fixture
def project(image: str, tmp_path: Path) -> Iterator[Theirs]:
    """The project on its file, whose provider rotates refresh tokens."""
    folder = tmp_path / "tk-mig-theirs"
    variables = {"app_stack_compose_dir": str(folder), "app_stack_api_port": 28180, "app_stack_keeper_port": 29480}
    with theirs(folder, Deployment("tk-mig", 28180, 28190, tmp_path, variables), image, PORT) as found:
        yield found


def begun(project: Theirs, *arguments: str) -> subprocess.Popen[str]:
    """Begin a migration."""
    return subprocess.Popen(
        project.deployed.command(MOVE, *arguments),
        cwd=ROOT,
        env=project.deployed.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> Run:
    """Return how a migration has ended, which has to be well."""
    output, _ = process.communicate(timeout=420)
    return Run(process.returncode, output, 0.0).succeeded()


def places(project: Theirs) -> set[str]:
    """Return where the containers of the project have their token from."""
    names = [name for service in ("api", "worker", "direct") for name in project.containers(service)]
    assert len(names) == 4
    mounts = [mount for one in json.loads(docker("inspect", *names)) for mount in one["Mounts"]]
    return {mount.get("Name") or mount["Source"] for mount in mounts if mount["Destination"].startswith("/data/creds")}


def grant(project: Theirs) -> str:
    """Return the fingerprint of the refresh token in the file."""
    return fingerprint(json.loads(project.file.read_text())["refresh_token"])


def events(project: Theirs) -> str:
    """Return what the store has noted, by a container that has the volume."""
    return docker("exec", project.containers("worker")[0], "cat", "/data/creds/.token.json.events")


def reused(project: Theirs) -> int:
    """Return how often a refresh token was used that was spent."""
    found: dict[str, Any] = requests.get(f"{project.deployed.sandbox}/admin/counters", timeout=10).json()
    return int(found["rotation"]["reuse_detected"])


@pytest.mark.long
def test_nobody_notices_and_no_refresh_is_lost(project: Theirs) -> None:
    project.consent(rotation=True, access_token_lifetime=3600)
    project.up()
    planned = project.deployed.playbook(MOVE, "--check").succeeded()
    assert "service by service: the access token lives for" in planned.text
    assert "api: 2 containers, start first" in planned.text
    assert f"direct: 1 container, stop first (host port {PORT + 1})" in planned.text
    figures = {}
    for way, arguments in (("there", ()), ("back", ("-e", "undo=true"))):
        with (
            Steady(f"http://127.0.0.1:{PORT}/", RATE) as load,
            Steady(f"http://127.0.0.1:{PORT + 1}/alive", 10.0, 0.5) as direct,
        ):
            old = project.containers("api")
            since, process = time.monotonic(), begun(project, *arguments)
            started(project, "api", 3)
            project.renew(old[0])  # what the new ones have is spent now
            run = ended(process)
        assert load.failed() == []
        figures[way] = {
            "requests": load.sent,
            "failed": len(load.failed()),
            "gap of the published port": round(direct.gap(), 2),
            "seconds": round(time.monotonic() - since, 1),
            "said": found.group(0) if (found := DONE.search(run.text)) else "",
        }
        assert reused(project) == 0
        if way == "there":
            assert places(project) == {project.deployed.volume}
            assert "Adopted" in events(project)
            assert "level container" in run.text
        else:
            assert places(project) == {str(project.file)}
    print(json.dumps(figures, indent=1))
    last = grant(project)
    project.renew(project.containers("worker")[0])
    assert grant(project) != last, "the grant lives"
    assert project.deployed.playbook(MOVE, "-e", "undo=true").succeeded().changed == 0


@pytest.mark.long
def test_where_a_refresh_is_due_all_are_stopped_at_once(project: Theirs) -> None:
    project.consent(rotation=True, access_token_lifetime=600)
    project.up()
    run = project.deployed.playbook(MOVE).succeeded()
    assert "all at once: the access token ends in" in run.text
    assert places(project) == {project.deployed.volume}
    assert reused(project) == 0


@pytest.mark.long
def test_a_run_that_is_killed_in_the_midst_is_taken_back_by_the_next(project: Theirs) -> None:
    project.consent(rotation=True, access_token_lifetime=3600)
    project.up()
    with Steady(f"http://127.0.0.1:{PORT}/", RATE) as load:
        old, process = project.containers("api"), begun(project)
        started(project, "api", 3)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        project.renew(old[0])
        run = project.deployed.playbook(MOVE, "-e", "undo=true").succeeded()
    assert load.failed() == []
    assert "service by service" in run.text
    assert places(project) == {str(project.file)}
    assert reused(project) == 0
    last = grant(project)
    project.renew(project.containers("worker")[0])
    assert grant(project) != last
