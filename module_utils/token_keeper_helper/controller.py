"""What the action plugins share; it runs on the controller only and is never sent to a host.

Secrets go from here to the helper on its stdin, through the connection's own way to run a command. Ansible logs that
command's line and output at its debug level, but not its input; module arguments it would log, in spite of ``no_log``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ansible import constants  # type: ignore[import-untyped]
from ansible.errors import AnsibleError  # type: ignore[import-untyped]
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator  # type: ignore[import-untyped]
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]

from . import packing
from .arguments import ArgumentSpec
from .failure import ModuleFailure
from .frontend import concluded
from .process import Completed

_PROJECT: Final = Path(__file__).resolve().parents[2]
_PACKAGE_FOLDER: Final = _PROJECT / "src"
_LIBRARY: Final = _PROJECT / "library"
_OLDEST: Final = (3, 9)
_BEGIN: Final = (
    "import sys; sys.version_info < {oldest} and sys.exit('it is Python %d.%d' % sys.version_info[:2]); "
    "sys.path = [path for path in sys.path if path]; exec(sys.stdin.buffer.read())"
)
"""Runs a program from stdin without what lies in the current folder: a program may be root's, that folder a user's."""
_CRASHED: Final = re.compile(r"Traceback \(most recent call last\):\n(?:  .*\n)+(?:\w+\.)*(\w+)")
_LACKING: Final = re.compile(r"\w*(Import|ModuleNotFound|Syntax|Indentation|Tab)Error")
"""How a program ends where a Python is not whole, or not what it says it is."""


class HelperAction(ActionBase):  # type: ignore[misc]
    """An action plugin that talks to helpers itself, instead of through a module."""

    _supports_check_mode = True
    _supports_async = False
    _arguments: dict[str, Any] | None = None
    """The task's arguments as they came; a task that is tried again finds them here."""

    def parameters(self, specification: ArgumentSpec, constraints: dict[str, Any]) -> dict[str, Any]:
        """Return the task's arguments, checked and with their defaults.

        Raises:
            ModuleFailure: they do not fit the specification. Ansible's own way to say so would quote the playbook's
                lines, and with them a secret that was written there.
        """
        if self._arguments is None:
            # by way of JSON: encrypted texts and dates of YAML are kinds of values that the validator does not know
            self._arguments = json.loads(json.dumps(dict(self._task.args), default=str))
            # A callback that shows a task late, such as the default one where skipped tasks are hidden, shows its
            # arguments as they are by then (display_args_to_stdout). What is no option may be a secret's misspelt one.
            self._task.args = {
                name: "(not shown)" if specification.get(name, {"no_log": True}).get("no_log") else value
                for name, value in self._task.args.items()
            }
        plain = self._arguments
        outcome = ArgumentSpecValidator(specification, **constraints).validate(plain)
        if outcome.error_messages:
            raise ModuleFailure(
                "UsageError",
                "OptionInvalid",
                "; ".join(outcome.error_messages),
                self._where_documented(),
            )
        validated: dict[str, Any] = outcome.validated_parameters
        return validated

    def _where_documented(self) -> str:
        name = self._task.action
        if (_LIBRARY / f"{name}.py").is_file():
            return f"see ansible-doc -t module {name}"
        return f"see the options at the head of plugins/action/{name}.py"

    def client_file(self, name: str, option: str) -> tuple[bytes, str]:
        """Read an OAuth client's file on the controller; an encrypted one is decrypted in memory only.

        Args:
            name: the file, as Ansible looks for files.
            option: what the operator sets it by, for the message.

        Returns:
            Its bytes, and its path.

        Raises:
            ModuleFailure: it is missing, or can't be read or decrypted.
        """
        try:
            path = self._find_needle("files", name)
            # every byte is one character of Latin-1: what they mean, JSON says by itself
            return self._loader.get_text_file_contents(path, encoding="latin-1").encode("latin-1"), str(path)
        except AnsibleError as error:
            raise ModuleFailure(
                "ConsentError",
                "ClientSecretsUnreadable",
                f"the client secrets cannot be read from {name}: {error.message}",
                f"correct {option}, a path on the controller, or give the vault password that it needs",
            ) from None

    def look_on_host(
        self, program: Path | bytes, asked: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a program of ours with the host's Python, which gets it on stdin, and return the JSON that it prints.

        Args:
            program: itself or its file; it needs nothing but Python's own library.
            asked: its only argument, as JSON, for everybody on the host to see.
            task_vars: the task's variables, among which the interpreter is.

        Raises:
            ModuleFailure: it could not be run.
        """
        discovered = task_vars.get("ansible_facts", {}).get("discovered_interpreter_python", "python3")
        # As for modules: the inventory's, else that of the environment or of ansible.cfg; it may have words after it
        configured = constants.config.get_config_value("INTERPRETER_PYTHON", variables=task_vars)
        named = str(self._templar.template(configured))
        python = discovered if named.startswith("auto") or not named.strip() else named
        done = self.run_on_host(
            [*shlex.split(python), "-c", _BEGIN.format(oldest=_OLDEST), json.dumps(asked)],
            program if isinstance(program, bytes) else program.read_bytes(),
        )
        try:
            # The last line: a shell's own files may print something before
            told: dict[str, Any] = json.loads(done.stdout.rstrip().rpartition("\n")[2])
        except ValueError:
            said = done.stderr.strip() or done.stdout.strip()
            become = getattr(getattr(self, "_connection", None), "become", None)
            if not said and become is not None:
                # One that lets nobody in has its words swallowed on the way, by the wait for its prompt
                raise ModuleFailure(
                    "HostError",
                    "RootRefused",
                    f"{become.name} ran nothing on the Docker host (exit code {done.exit_code}), and said nothing",
                    f"see there what `{become.name} -l` says for the user who connects; root is what it has to allow",
                ) from None
            crashes = _CRASHED.findall(said)
            if crashes and not _LACKING.fullmatch(crashes[-1]):
                raise ModuleFailure(
                    "HostError",
                    "LookFailed",
                    f"a look at the Docker host ended by an error that nobody has thought of: {said}",
                    "nothing was changed by it; unless the host lacks memory, space or rights, it is a fault of the "
                    "kit's: report this text, without what is secret in it",
                ) from None
            raise ModuleFailure(
                "HostError",
                "PythonUnsuitable",
                f"{python} on the Docker host did not answer (exit code {done.exit_code}): {said or 'it said nothing'}",
                "install Python 3.9 or later there, or name it in ansible_python_interpreter",
            ) from None
        return told

    def run_on_host(self, argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        """Run a command on the task's host; see :class:`~.process.Runner`."""
        # commands of a shell do not get the task's environment by themselves
        environment = self._compute_environment_string()
        command = f"{environment} {shlex.join(argv)}".strip()
        # Without any input, SSH would be asked for a terminal (-tt), on which the host merges stderr into stdout.
        # Nobody reads what is given here: the docker command takes input for a container with --interactive alone.
        done = self._low_level_execute_command(command, in_data=stdin or b"\n")
        return Completed(done["rc"], done["stdout"], done["stderr"])


class LookAction(HelperAction):
    """An action plugin that does what the module of its name does, by :mod:`.looking` on the host."""

    specification: ArgumentSpec

    @staticmethod
    def warm() -> None:
        """Pack what every worker will send."""
        packing.packed("looking")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        return concluded(lambda: self._look(task_vars or {}), check_mode=False)

    def _look(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        module = self._task.action.rpartition(".")[2]  # by its full name it may be ansible.legacy's
        question = {"module": module, "parameters": self.parameters(self.specification, {})}
        return self.look_on_host(packing.program("looking", question), {}, task_vars)


def use_own_package() -> None:
    """Let the ``token_keeper`` package of this checkout be imported, installed or not."""
    if (_PACKAGE_FOLDER / "token_keeper").is_dir() and str(_PACKAGE_FOLDER) not in sys.path:
        sys.path.insert(0, str(_PACKAGE_FOLDER))


def warm_consent() -> None:
    """Import what the actions of a consent need, in the process that all workers are copies of.

    Where it can't be imported that is for the task to say, of each host.
    """
    use_own_package()
    with contextlib.suppress(ImportError):
        for name in ("asking", "consenting"):
            importlib.import_module(f"{__package__}.{name}")


def package_missing(error: ImportError) -> ModuleFailure:
    """Return the failure for a controller that lacks a Python package."""
    return ModuleFailure(
        "ControllerError",
        "PackageMissing",
        f"the Python that runs Ansible ({sys.executable}) lacks the package {error.name}",
        "install requirements/controller.txt into it, or run the play from the environment that make creates",
    )
