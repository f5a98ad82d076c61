"""Images on the controller: what its engine lacks is built there by role images, once for all hosts that ask.

It runs on the controller only and is never sent to a host.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from . import places
from .failure import ModuleFailure

_LONGEST_REPORT: Final = 4000
"""Characters of what a failed build said: its end says why."""
LOCK: Final = Path(".ansible", "token-keeper-images.lock")
"""Below the home of whoever runs Ansible."""


@dataclasses.dataclass(frozen=True)
class Builder:
    """Has role images build on the controller.

    Attributes:
        root: the checkout.
        variables: those of the role, which the names of the images depend on.
    """

    root: Path
    variables: Mapping[str, Any]

    def build(self, names: list[str]) -> None:
        """Build images by their names in the role (``keeper``); those that the engine has are left as they are.

        Raises:
            ModuleFailure: with the end of what the role printed.
        """
        variables = {
            **self.variables,
            "images_build": names,
            "images_built_on": "host",
            "images_registry": "",
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        }
        # A mirror's address may hold a password, and arguments are for everybody to read: 0600, and gone afterwards
        with places.place() as folder:
            file = folder / "variables.json"
            file.touch(0o600)
            file.write_text(json.dumps(variables))
            role = ["-i", "controller,", "-m", "ansible.builtin.include_role", "-a", "name=images"]
            done = subprocess.run(
                [sys.executable, "-m", "ansible", "adhoc", "controller", *role, "-e", f"@{file}"],
                cwd=self.root,
                env={**os.environ, "ANSIBLE_ROLES_PATH": str(self.root / "roles")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        if done.returncode:
            said = done.stdout[-_LONGEST_REPORT:].strip()
            raise ModuleFailure(
                "ImageError",
                "BuildFailed",
                f"the controller could not build {', '.join(names)}:\n{said}\n",
                "correct that, or have each host build its own: images_built_on: host, without images_registry",
            )


@contextmanager
def turn(lock: Path | None = None) -> Iterator[None]:
    """Wait until nobody else of this user builds or pushes, and keep others waiting meanwhile."""
    file = lock or Path.home() / LOCK
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
