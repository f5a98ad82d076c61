"""The host's side of a look that an action plugin sends there: what runs by itself in the host's Python.

Ansible's own way to run a module costs a host half as much again, for what a look does not use (docs/decisions, 0010).
:mod:`.packing` sends this, with what it imports, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .frontend import concluded
from .process import Completed, Runner


def token_volume_info(parameters: Mapping[str, Any], runner: Runner) -> dict[str, Any]:
    """Look at one volume; each look imports by itself, since what it doesn't need costs more than all the rest."""
    from .arguments import helper_of  # noqa: PLC0415
    from .survey import survey  # noqa: PLC0415

    return survey(helper_of(parameters, runner), parameters)


def token_status_info(parameters: Mapping[str, Any], runner: Runner) -> dict[str, Any]:
    """Look at all tokens."""
    from .statuses import look_at_all  # noqa: PLC0415

    return look_at_all(parameters, runner)


LOOKS: Final[Mapping[str, Callable[[Mapping[str, Any], Runner], dict[str, Any]]]] = {
    "token_volume_info": token_volume_info,
    "token_status_info": token_status_info,
}
"""What each module of that name does, given its parameters and what runs a command."""


def run(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
    """Run a command as a child; see :class:`~.process.Runner`."""
    try:
        done = subprocess.run(list(argv), input=stdin or b"", capture_output=True, check=False)
    except OSError as error:
        return Completed(127, "", f"{argv[0]}: {error.strerror}")
    return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def main(asked: str) -> None:
    """Look, and print the task's result as JSON on one line.

    Args:
        asked: JSON with ``module``, one of :data:`LOOKS`, and its ``parameters``, checked and with their defaults.
    """
    question = json.loads(asked)
    look, parameters = LOOKS[question["module"]], question["parameters"]
    result = concluded(lambda: look(parameters, run), check_mode=False)
    sys.stdout.write(json.dumps(result) + "\n")
