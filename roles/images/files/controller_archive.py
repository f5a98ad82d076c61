"""Saves images of the controller's engine to an archive for a host, and first has those built that the engine lacks.

What is wanted comes on stdin as JSON: ``images`` (reference by the image's name in role images), ``variables`` of that
role, which the names depend on, and the host's ``architecture`` as ``uname -m`` says it. Hosts that ask at the same
time take turns, so that the first one's build serves them all.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_REPORT = 4000
"""Characters of what a failed build said: its end says why."""


class ArchiveError(Exception):
    """An archive that can't be made; the message says what to do."""


@dataclass(frozen=True)
class Wanted:
    """What a host asks for."""

    images: dict[str, str]
    variables: dict[str, Any]
    architecture: str

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read what came on stdin."""
        asked = json.loads(text)
        return cls(asked["images"], asked["variables"], asked["architecture"])


def docker(*arguments: str) -> str:
    """Run a docker command on the controller, and return what it printed.

    Raises ArchiveError with what it said where it fails, or isn't there.
    """
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 - ours
    except OSError as error:
        raise ArchiveError(f"docker can't be run on the controller: {error.strerror}") from error
    if done.returncode:
        raise ArchiveError(f"docker {arguments[0]} failed on the controller: {done.stderr.strip()}")
    return done.stdout.strip()


def missing(images: Mapping[str, str]) -> list[str]:
    """Return the names of those images that the controller's engine lacks."""
    there = set(docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines())
    return [name for name, reference in images.items() if reference not in there]


def build(root: Path, wanted: Wanted, names: list[str]) -> None:
    """Have role images build them here.

    Raises ArchiveError with the end of what it printed.
    """
    variables = {
        **wanted.variables,
        "images_build": names,
        "images_built_on": "host",
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    arguments = ["-i", "controller,", "-m", "ansible.builtin.include_role", "-a", "name=images"]
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        [sys.executable, "-m", "ansible", "adhoc", "controller", *arguments, "-e", json.dumps(variables)],
        cwd=root,
        env={**os.environ, "ANSIBLE_ROLES_PATH": str(root / "roles")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ArchiveError(f"the controller could not build {', '.join(names)}:\n{done.stdout[-LONGEST_REPORT:]}")


@contextmanager
def turn(lock: Path) -> Iterator[None]:
    """Wait until nobody else of this user builds, and keep others waiting meanwhile."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def archive(root: Path, wanted: Wanted, into: Path, lock: Path) -> None:
    """Write the archive; raises ArchiveError where that can't be done."""
    own = docker("info", "--format", "{{.Architecture}}")
    if own != wanted.architecture:
        raise ArchiveError(f"its images are for {own}, and this host is {wanted.architecture}")
    with turn(lock):
        if lacking := missing(wanted.images):
            build(root, wanted, lacking)
    docker("save", "--output", str(into), *wanted.images.values())


def main() -> int:
    """Run with what is wanted on stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the checkout")
    parser.add_argument("--into", type=Path, required=True, help="the archive")
    options = parser.parse_args()
    try:
        archive(
            options.root,
            Wanted.parse(sys.stdin.read()),
            options.into,
            Path.home() / ".ansible" / "token-keeper-images.lock",
        )
    except ArchiveError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
