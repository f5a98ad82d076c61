"""The action ``proof_record``: keeps on the Docker host what has been proven, and tells it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.controller import HelperAction
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper.controller import HelperAction
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded

_NAME: Final = "proof.json"
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "folder": {"type": "str", "required": True},
    "record": {"type": "dict"},
    "stamp": {"type": "str", "default": ""},
}

# A ~ is the home of the user on the host, which isn't known here
_FOLDER: Final = "case $1 in '~/'*) d=$HOME/${1#'~/'};; *) d=$1;; esac; "
_TELL: Final = f'cat "$d/{_NAME}" 2>/dev/null || :'
_LOOK: Final = f'{_FOLDER}test -d "$d" && test -w "$d" && ! test -d "$d/{_NAME}" && echo writable || echo; {_TELL}'
# By a file of its own and a rename: whoever reads meanwhile, or after a crash, has a whole record
_KEEP: Final = (
    f'{_FOLDER}{_TELL}; t=$(mktemp "$d/.{_NAME}.XXXXXX") || exit; trap \'rm -f "$t"\' EXIT; '
    f'cat >"$t" && chmod 0644 "$t" && mv -fT "$t" "$d/{_NAME}"'
)


class ActionModule(HelperAction):
    """Reads or writes ``proof.json``: one command through the connection, where modules would take several.

    Options:
        folder: where it lies on the host; a ``~/`` is the home of the user that the task runs as.
        record: what to write, in the place of what is there; without it, the record is only read. Never a secret.
        stamp: what a record has to hold for, where one is read.

    Returns:
        record: what was there, ``{}`` where there is nothing, or nothing that can be read.
        writable: whether another could be written; only where it was read.
        proven: whether there is a record, and it holds for that stamp; only where it was read.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        return concluded(self._work, check_mode=self._task.check_mode)

    def _work(self) -> dict[str, Any]:
        parameters = self.parameters(_OPTIONS, {})
        folder, record = parameters["folder"], parameters["record"]
        if record is None or self._task.check_mode:
            writable, _, there = self._on_host(_LOOK, folder).partition("\n")
            if record is None:
                found = _decoded(there)
                proven = bool(parameters["stamp"]) and found.get("stamp") == parameters["stamp"]
                return {"changed": False, "record": found, "writable": writable == "writable", "proven": proven}
        wanted = json.dumps(record, indent=4, sort_keys=True) + "\n"
        if not self._task.check_mode:
            there = self._on_host(_KEEP, folder, wanted.encode())
        diff = {"before": there, "after": wanted, "before_header": _NAME, "after_header": f"{folder}/{_NAME}"}
        return {"changed": there != wanted, "record": _decoded(there), "diff": diff}

    def _on_host(self, command: str, folder: str, stdin: bytes | None = None) -> str:
        done = self.run_on_host(["sh", "-c", command, "sh", folder], stdin)
        if done.exit_code != 0:
            raise ModuleFailure(
                "ProofError",
                "NotRecorded",
                f"the record of the proof could not be written to {folder}: {done.stderr.strip() or 'no reason given'}",
                "see that the folder is there, that this user may write to it, and that its disk has room",
            )
        return done.stdout


def _decoded(text: str) -> Mapping[str, Any]:
    """Return a record; a file that holds none is none, and the proof is made again."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
