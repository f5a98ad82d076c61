"""What the action plugins share; it runs on the controller only and is never sent to a host.

Secrets go from here to the helper on its stdin, through the connection's own way to run a command. Ansible logs that
command's line and output at its debug level, but not its input; module arguments it would log, in spite of ``no_log``.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator  # type: ignore[import-untyped]
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]

from .arguments import ArgumentSpec
from .failure import ModuleFailure
from .process import Completed

_PACKAGE_FOLDER: Final = Path(__file__).resolve().parents[2] / "src"


class HelperAction(ActionBase):  # type: ignore[misc]
    """An action plugin that talks to helpers itself, instead of through a module."""

    _supports_check_mode = True
    _supports_async = False

    def parameters(self, specification: ArgumentSpec, constraints: dict[str, Any]) -> dict[str, Any]:
        """Return the task's arguments, checked and with their defaults.

        Raises:
            ModuleFailure: they do not fit the specification. Ansible's own way to say so would quote the playbook's
                lines, and with them a secret that was written there.
        """
        # by way of JSON: encrypted texts and dates of YAML are kinds of values that the validator does not know
        plain = json.loads(json.dumps(dict(self._task.args), default=str))
        outcome = ArgumentSpecValidator(specification, **constraints).validate(plain)
        if outcome.error_messages:
            raise ModuleFailure(
                "UsageError",
                "OptionInvalid",
                "; ".join(outcome.error_messages),
                f"see ansible-doc -t module {self._task.action}",
            )
        validated: dict[str, Any] = outcome.validated_parameters
        return validated

    def run_on_host(self, argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        """Run a command on the task's host; see :class:`~.process.Runner`."""
        # commands of a shell do not get the task's environment by themselves
        environment = self._compute_environment_string()
        command = f"{environment} {shlex.join(argv)}".strip()
        done = self._low_level_execute_command(command, in_data=stdin)
        return Completed(done["rc"], done["stdout"], done["stderr"])


def use_own_package() -> None:
    """Let the ``token_keeper`` package of this checkout be imported, installed or not."""
    if (_PACKAGE_FOLDER / "token_keeper").is_dir() and str(_PACKAGE_FOLDER) not in sys.path:
        sys.path.insert(0, str(_PACKAGE_FOLDER))


def package_missing(error: ImportError) -> ModuleFailure:
    """Return the failure for a controller that lacks a Python package."""
    return ModuleFailure(
        "ControllerError",
        "PackageMissing",
        f"the Python that runs Ansible ({sys.executable}) lacks the package {error.name}",
        "install requirements/controller.txt into it, or run the play from the environment that make creates",
    )
