"""The action ``token_report``: tells a person, or a machine, what a look at all hosts has come to."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ansible.module_utils  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import status_report
    from module_utils.token_keeper_helper.controller import HelperAction
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import status_report
    from ansible.module_utils.token_keeper_helper.controller import HelperAction
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "looks": {"type": "dict", "required": True},
    "output": {"type": "str", "choices": ["table", "json"], "default": "table"},
    "output_file": {"type": "str", "default": ""},
    "details": {"type": "bool", "default": False},
    "strict": {"type": "bool", "default": False},
    "deadline_days": {"type": "float", "default": 3.0},
}
_OWN: Final = frozenset(
    {"-", "/dev/stdout", "/dev/stderr", *(f"/{f}/{n}" for f in ("dev/fd", "proc/self/fd") for n in (0, 1, 2))}
)
"""What a task's process has in their place is not what the shell has given to ``ansible-playbook``."""


class ActionModule(HelperAction):
    """Puts what was seen on all hosts together, and prints it; nothing is asked and nothing is changed.

    It prints by itself, because a task's result would be indented, and escaped, by whatever callback shows it.

    Options:
        looks: by host, what the module ``token_status_info`` returned there; see :func:`.status_report.gathered`.
        output: ``table`` for a person, or ``json``: one line, the only one on stdout that begins with a brace.
        output_file: also write the JSON document to this file on the controller, in the place of what is there. A
            pipe or a descriptor such as ``/dev/fd/3`` is written to as it is.
        details: also show fingerprints, scopes and endpoint.
        strict: whether what is degraded counts as failed.
        deadline_days: from how many days before its grant's end on a token is degraded.

    Returns:
        report: the JSON document.
        verdicts: by host ``passes``, and ``why`` it doesn't or what is degraded.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        return concluded(self._tell, check_mode=self._task.check_mode)

    def _tell(self) -> dict[str, Any]:
        parameters = self.parameters(_OPTIONS, {})
        report = status_report.gathered(
            parameters["looks"],
            strict=parameters["strict"],
            deadline_days=parameters["deadline_days"],
            now=status_report.now(),
        )
        text = json.dumps(report, sort_keys=True)
        if parameters["output"] == "json":
            Display().display(text)
        else:
            Display().display(f"\n{status_report.tables(report)}\n")
            if parameters["details"]:
                Display().display(f"{status_report.details(report)}\n")
        if parameters["output_file"]:
            write(parameters["output_file"], text + "\n")
        verdicts = {
            host["host"]: {"passes": host["passes"], "why": status_report.failure(host)} for host in report["hosts"]
        }
        return {"changed": False, "report": report, "verdicts": verdicts}


def write(name: str, text: str) -> None:
    """Write a file that is there whole or not at all, or into a pipe.

    Args:
        name: the file; a relative one is in the folder that ``ansible-playbook`` was called in.
        text: what it holds; no secret.

    Raises:
        ModuleFailure: it can't be written.
    """
    if name in _OWN:
        raise _failure(
            name, "it is not what your shell calls so", "use output=json, or a descriptor: docs/status.md has one"
        )
    try:
        path = Path(name).expanduser()
        if path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            path.write_text(text, encoding="utf-8")
            return
        # through a link to the file itself: a link in a collector's folder stays one
        target = path.resolve()
        draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        try:
            # with the modes that the caller's umask leaves: a collector may be another user
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(draft, target)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(draft)
    except (OSError, RuntimeError) as error:  # the latter of a home that nobody has, and of links that go round
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _failure(name, why or "no reason given", "name a file where this user may write") from None


def _failure(name: str, why: str, remedy: str) -> ModuleFailure:
    return ModuleFailure("OutputError", "NotWritten", f"the report could not be written to {name}: {why}", remedy)
