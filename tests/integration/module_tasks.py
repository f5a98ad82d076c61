"""Single tasks on the real engine, as a playbook runs them, and what they leave in a volume."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
Task = Mapping[str, Any]

_INTERPRETER = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


class Vaulted(str):
    """A value that stands in the playbook as an encrypted text, in YAML's ``!vault``."""


class _Dumper(yaml.SafeDumper):
    """Writes playbooks."""


_Dumper.add_representer(Vaulted, lambda dumper, value: dumper.represent_scalar("!vault", str(value), style="|"))


@dataclasses.dataclass(frozen=True)
class Played:
    """A play that has ended: its exit code, the results of its tasks in order, and all that it printed."""

    code: int
    results: list[dict[str, Any]]
    output: str

    @property
    def result(self) -> dict[str, Any]:
        """The last task's result."""
        return self.results[-1]


def play(
    folder: Path, *tasks: Task, arguments: Sequence[str] = (), play_keywords: Task | None = None, **environment: str
) -> Played:
    """Run tasks on this machine, and return their results.

    Args:
        folder: where the playbook is written.
        tasks: the tasks.
        arguments: further arguments of ``ansible-playbook``.
        play_keywords: further keywords of the play.
        environment: environment variables.
    """
    completed = run_playbook(
        folder, tasks, arguments, play_keywords or {}, {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", **environment}
    )
    told = json.loads(completed.stdout[completed.stdout.index("{\n") :])
    results = [task["hosts"]["localhost"] for each in told["plays"] for task in each["tasks"]]
    return Played(completed.returncode, results, completed.stdout + completed.stderr)


def run_playbook(
    folder: Path, tasks: Sequence[Task], arguments: Sequence[str], keywords: Task, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run tasks as a playbook from the project's folder."""
    head = {"hosts": "localhost", "gather_facts": False, "vars": _INTERPRETER, **keywords}
    playbook = folder / f"play-{uuid.uuid4().hex[:8]}.yml"
    playbook.write_text(yaml.dump([{**head, "tasks": list(tasks)}], Dumper=_Dumper), encoding="utf-8")
    playbook.chmod(0o600)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", "localhost,", str(playbook), *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def docker(*arguments: str, stdin: str | None = None) -> str:
    """Run a docker command and return what it prints."""
    completed = subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@dataclasses.dataclass(frozen=True)
class TokenVolume:
    """A volume of a test's own, and the keeper image to reach into it with."""

    name: str
    image: str

    @property
    def options(self) -> dict[str, Any]:
        """The options by which a task reaches it."""
        return {"volume": self.name, "image": self.image}

    def inside(self, script: str, user: str = "0:0", *, stdin: str | None = None) -> str:
        """Run a shell script in the volume, with root's usual rights, and return what it prints."""
        mount = f"type=volume,source={self.name},target=/app/tokens,volume-nocopy"
        run = (
            "run",
            "--rm",
            "--interactive",
            "--network=none",
            f"--user={user}",
            "--mount",
            mount,
            "--workdir=/app/tokens",
        )
        return docker(*run, "--entrypoint=/bin/sh", self.image, "-ec", script, stdin=stdin)

    @property
    def helper(self) -> list[str]:
        """The docker command's words before a verb of the keeper, run as the consumers' user."""
        mount = f"type=volume,source={self.name},target=/app/tokens,volume-nocopy"
        return ["run", "--rm", "-i", "--network=none", "--user=999:999", "--mount", mount, self.image]

    def push(self, document: Mapping[str, Any]) -> None:
        """Put a document into the volume without Ansible."""
        docker(*self.helper, "push", stdin=json.dumps(document))

    def contents(self) -> str:
        """Return owner, mode, times and content of everything in the volume."""
        return self.inside(
            "find . -exec stat -c '%n %U:%G %a %Y %Z %i' {} + | sort; find . -type f -exec sha256sum {} + | sort"
        )

    def document(self) -> dict[str, Any]:
        """Return the document, secrets and all."""
        found: dict[str, Any] = json.loads(self.inside("cat token.json"))
        return found

    @contextmanager
    def mounted_by(self, name: str, target: str = "/app/tokens", *more: str) -> Iterator[str]:
        """Run a consumer that does nothing but mount the volume; gone when the block ends."""
        name = f"{self.name}-{name}"
        mount = f"{self.name}:{target}:nocopy"
        run = ("run", "--detach", "--network=none", "--name", name, "--user=999:999", "-v", mount)
        try:
            docker(*run, *more, "--entrypoint=sleep", self.image, "600")
            yield name
        finally:
            docker("rm", "--force", name)


@contextmanager
def token_volume(image: str, *options: str) -> Iterator[TokenVolume]:
    """Create a volume, and remove it when the block ends."""
    name = f"tk-e-{uuid.uuid4().hex[:10]}"
    docker("volume", "create", "--label", "tk-e=test", *options, name)
    try:
        yield TokenVolume(name, image)
    finally:
        docker("volume", "rm", "--force", name)
