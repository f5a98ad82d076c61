"""The action ``oauth_client``: reads an OAuth client's file on the controller, judges it, and forgets it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded


class ActionModule(HelperAction):
    """Finds out before any change whether a client's file can be read and is one; nothing of it is returned."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        return concluded(self._judge, check_mode=self._task.check_mode)

    def _judge(self) -> dict[str, Any]:
        specification = {"client_secrets_file": {"type": "str", "required": True}}
        name = self.parameters(specification, {})["client_secrets_file"]
        use_own_package()
        try:
            from token_keeper.consent import ClientSecrets  # noqa: PLC0415 - needs the path that was just set
            from token_keeper.errors import ConsentError  # noqa: PLC0415
        except ImportError as error:
            raise package_missing(error) from None
        text, path = self.client_file(name, "oauth_token_client_secrets_file")
        try:
            ClientSecrets.parse(text, path)
        except ConsentError as error:
            remedy = f"{error.remedy}. Nothing has been changed"
            raise ModuleFailure("ConsentError", error.reason, error.message, remedy) from None
        return {"changed": False}
