"""The action ``compose_look``: whether a compose project is as its file would make it, by one command on the host."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.controller import HelperAction
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper.controller import HelperAction
    from ansible.module_utils.token_keeper_helper.frontend import concluded

_PROGRAM: Final = Path(__file__).resolve().parents[2] / "module_utils" / "token_keeper_helper" / "compose_look.py"
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "project": {"type": "str", "required": True},
    "folder": {"type": "str", "required": True},
    "folder_mode": {"type": "str", "default": "0755"},
    "file": {"type": "str", "default": "compose.yml"},
    "file_mode": {"type": "str", "default": "0644"},
    "content": {"type": "str", "required": True},
    "docker_cli": {"type": "str", "default": "docker"},
}


class ActionModule(HelperAction):
    """Compares what Compose itself goes by, so that `docker compose up` is run where it has something to do.

    Options:
        project: the project's name.
        folder: its folder on the host; a ``~/`` is the home of the user that the task runs as.
        folder_mode: the folder's mode.
        file: the compose file in it.
        file_mode: the file's mode.
        content: what the file has to hold. It names no secret: it lies on the host for everybody to read.
        docker_cli: the docker command, or its path, on the Docker host.

    Returns:
        folder: whether the folder is there, with that mode.
        file: whether the file is there, with that content and mode.
        objections: why the containers may not be as the file would make them; empty where they are, and are well.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        return concluded(lambda: self._look(task_vars or {}), check_mode=self._task.check_mode)

    def _look(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        parameters = self.parameters(_OPTIONS, {})
        asked = {
            "cli": parameters["docker_cli"],
            "sha256": hashlib.sha256(parameters["content"].encode()).hexdigest(),
            **{name: parameters[name] for name in ("project", "folder", "folder_mode", "file", "file_mode")},
        }
        return {"changed": False, **self.look_on_host(_PROGRAM, asked, task_vars)}
