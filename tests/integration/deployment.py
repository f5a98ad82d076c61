"""A deployment of the kit on the real engine, driven by its own playbooks under a name and ports of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PLAYBOOK = str(BIN / "ansible-playbook")

_RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """How a playbook ended: its exit code, what it printed, and the seconds it took."""

    code: int
    output: str
    seconds: float

    @property
    def changed(self) -> int:
        """Number of tasks that changed something, on all hosts."""
        recap = _RECAP.findall(self.output)
        assert recap, self.output
        return sum(int(changed) for _, changed, _, _ in recap)

    @property
    def text(self) -> str:
        """The output on one line, so that a message is found however it was wrapped."""
        return " ".join(self.output.split())

    def succeeded(self) -> Run:
        """Return this run, or fail with its output."""
        assert self.code == 0, f"{self.output[self.output.find('fatal:') :][:4000]}\n[...]\n{self.output[-2000:]}"
        return self


@dataclass(frozen=True)
class Deployment:
    """One deployment: its project name, its ports, and the folder for its rendered files."""

    project: str
    api_port: int
    sandbox_port: int
    state_home: Path
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def api(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self.api_port}/api/v1"

    @property
    def sandbox(self) -> str:
        """Address of the sandbox."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def keeper(self) -> str:
        """Address of the keeper, where there is one."""
        return f"http://127.0.0.1:{self.sandbox_port + 100}"

    @property
    def volume(self) -> str:
        """Name of the token volume."""
        return f"{self.project}_token_data"

    @property
    def project_dir(self) -> Path:
        """Folder with the rendered compose file and the proof."""
        return self.state_home / "token-keeper" / self.project

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """Return the command line that runs ``playbook`` for this deployment."""
        variables = {
            "token_keeper_project": self.project,
            "app_stack_api_port": self.api_port,
            "app_stack_keeper_port": self.sandbox_port + 100,
            "sandbox_port": self.sandbox_port,
            # the images depend on the sources alone: no need for a second set
            "images_prefix": "token-keeper-demo",
            **self.variables,
        }
        return [PLAYBOOK, playbook, "-e", json.dumps(variables), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment that playbooks run in."""
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "XDG_STATE_HOME": str(self.state_home), "NO_COLOR": "1", **more}

    def playbook(self, playbook: str, *arguments: str, timeout: float = 800, **environment: str) -> Run:
        """Run a playbook from the project's folder; fails when it takes longer than ``timeout`` seconds."""
        return run(self.command(playbook, *arguments), timeout=timeout, environment=self.environment(**environment))

    def status(self) -> dict[str, Any]:
        """Return what the store says of its volume, by the command in the api's container."""
        found: dict[str, Any] = json.loads(docker("exec", self.container("api"), "token-keeper", "status", "--json"))
        return found

    def counters(self) -> dict[str, Any]:
        """Return the sandbox's counters."""
        return self.get(f"{self.sandbox}/admin/counters")

    def exchanges(self) -> int:
        """Return how many refresh tokens the sandbox has exchanged."""
        return int(self.counters()["exchanges"]["refresh_token"])

    def get(self, url: str) -> dict[str, Any]:
        """Return the JSON object at ``url``."""
        answer = requests.get(url, timeout=10)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def container(self, service: str, number: int = 1) -> str:
        """Return the name of a container of the stack."""
        return f"{self.project}-{service}-{number}"

    def consumers(self) -> list[str]:
        """Return the names of the containers that use the token."""
        return [self.container("api"), self.container("celery", 1), self.container("celery", 2)]

    def expire_token(self) -> None:
        """Make the access token in the volume one that has run out, as after a night without requests."""
        inside = ["docker", "exec", "--interactive", self.container("api")]
        document = json.loads(docker(*inside[1:], "cat", "/app/tokens/token.json"))
        document["expiry"] = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        push = [*inside, "token-keeper", "push", "--force", "--json"]
        subprocess.run(push, input=json.dumps(document).encode(), capture_output=True, check=True, timeout=60)
        assert self.status()["document"]["expires_in"] <= 0

    def clear_away(self) -> None:
        """Remove what a run that was killed has left, whose rendered files are in a folder that nobody knows any more.

        The playbook rightly refuses to: to it they are another project's of the same name.
        """
        for project in (self.project, f"{self.project}-sandbox"):
            mine = f"label=com.docker.compose.project={project}"
            left = docker("ps", "--all", "--quiet", "--filter", mine).split()
            if left:
                docker("rm", "--force", *left)

    def remove(self) -> Run:
        """Remove everything, the volumes too."""
        return self.playbook("playbooks/teardown.yml", "-e", "teardown_volume=true")


def run(
    command: list[str], *, cwd: Path = ROOT, timeout: float = 120, environment: Mapping[str, str] | None = None
) -> Run:
    """Run a command, by default in the project's folder, and return how it ended with all that it printed."""
    begun = time.monotonic()
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Run(ended.returncode, ended.stdout, time.monotonic() - begun)


def docker(*arguments: str) -> str:
    """Run a docker command and return what it printed.

    Raises:
        AssertionError: it failed.
    """
    ended = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, f"docker {' '.join(arguments)}: {ended.stderr}"
    return ended.stdout


def eventually(condition: Callable[[], Any], *, within: float, what: str) -> Any:
    """Return what ``condition`` returns as soon as it is true; fail after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.1)
    return found
