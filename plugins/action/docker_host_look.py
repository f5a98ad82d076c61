"""The action ``docker_host_look``: what a Docker host has, by one command through the connection."""

from __future__ import annotations

import json
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

_PROGRAM: Final = Path(__file__).resolve().parents[2] / "module_utils" / "token_keeper_helper" / "host_look.py"
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "docker_cli": {"type": "str", "default": "docker"},
    "compose": {"type": "bool", "default": True},
    "state": {"type": "bool", "default": True},
    "modules": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(HelperAction):
    """Asks the docker command for all at once; where there is none, or no engine, that is the answer.

    Options:
        docker_cli: the docker command, or its path, on the Docker host.
        compose: ask for the version of Compose as well.
        state: list images, volumes, containers and networks as well.
        modules: of Python, which the host's interpreter is to have.

    Returns:
        docker: ``rc``, ``stdout`` and ``stderr`` of ``docker version --format '{{json .}}'``.
        compose: the same of ``docker compose version --short``, if it was asked for.
        images: names with tags, if the state was asked for. A list that the engine did not give, this or one of those
            below, is not there: an empty one would say that it has nothing.
        volumes: names.
        listing: a line each, ``engine|version of its API``, ``compose|version``,
            ``container|project|name|folder|ports|service|state|files|role|owner|status`` and
            ``network|project|name``.
        modules: whether Python can import them.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result."""
        super().run(tmp, task_vars)
        return concluded(lambda: self._look(task_vars or {}), check_mode=self._task.check_mode)

    def _look(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        parameters = self.parameters(_OPTIONS, {})
        options = ("compose", "state", "modules")
        asked = {"cli": parameters["docker_cli"], **{name: parameters[name] for name in options}}
        return {"changed": False, **_told(self.look_on_host(_PROGRAM, asked, task_vars))}


def _told(told: dict[str, Any]) -> dict[str, Any]:
    """Return the answers as the roles read them."""
    kept: dict[str, Any] = {name: told[name] for name in ("docker", "compose", "modules") if name in told}
    lines = {
        name: told[name]["stdout"].splitlines()
        for name in ("images", "volumes", "containers", "networks")
        if name in told and told[name]["rc"] == 0
    }
    kept.update({name: lines[name] for name in ("images", "volumes") if name in lines})
    if "containers" in lines and "networks" in lines:
        kept["listing"] = [*_versions(told), *lines["containers"], *lines["networks"]]
    return kept


def _versions(told: dict[str, Any]) -> list[str]:
    """Return what the engine speaks, and which Compose there is, as far as they have said it."""
    engine = json.loads(told["docker"]["stdout"] or "{}").get("Server") or {}
    compose = told.get("compose", {"stdout": ""})["stdout"].strip()
    return [f"engine|{engine.get('ApiVersion', '')}", f"compose|{compose}"]
