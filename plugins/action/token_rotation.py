"""The part of ``token_rotation`` that handles secrets: they go to the helper on stdin and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, rotation
    from module_utils.token_keeper_helper.controller import HelperAction
    from module_utils.token_keeper_helper.engine_errors import no_volume
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.rotation_arguments import TOKEN_ROTATION, TOKEN_ROTATION_CONSTRAINTS
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments, rotation
    from ansible.module_utils.token_keeper_helper.controller import HelperAction
    from ansible.module_utils.token_keeper_helper.engine_errors import no_volume
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.rotation_arguments import TOKEN_ROTATION, TOKEN_ROTATION_CONSTRAINTS

_SECRET = ("document", "client_secrets", "client_secrets_file")


class ActionModule(HelperAction):
    """Runs the module of the same name, or takes the two steps that read a secret itself."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        if self._task.args.get("step") in ("stage", "reclient"):
            return concluded(self._with_secret, check_mode=self._task.check_mode)
        rest = {name: value for name, value in self._task.args.items() if name not in _SECRET}
        result: dict[str, Any] = self._execute_module("token_rotation", rest, task_vars=task_vars)
        return result

    def _with_secret(self) -> dict[str, Any]:
        parameters = self.parameters(TOKEN_ROTATION, TOKEN_ROTATION_CONSTRAINTS)
        helper = arguments.helper_of(parameters, self.run_on_host)
        outward = arguments.outward_of(parameters)
        if helper.engine.volume(helper.volume) is None:
            raise no_volume(helper.volume)
        force, check_mode = parameters["force"], self._task.check_mode
        if parameters["step"] == "stage":
            document = json.dumps(parameters["document"]).encode()
            outcome = rotation.staged(helper, document, parameters["expires_in"], force=force, check_mode=check_mode)
        else:
            outcome = rotation.client_changed(
                helper, outward, self._client(parameters), force=force, check_mode=check_mode
            )
        return outcome.as_result()

    def _client(self, parameters: Mapping[str, Any]) -> bytes:
        name = parameters["client_secrets_file"]
        if name:
            return self.client_file(name, "client_secrets_file")[0]
        return json.dumps(parameters["client_secrets"]).encode()
