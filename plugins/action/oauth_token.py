"""The action ``oauth_token``: decides on the Docker host, asks a person on the controller, pushes on stdin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]
from ansible import constants
from ansible.utils.display import Display  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments
    from ansible.module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from ansible.module_utils.token_keeper_helper.frontend import concluded


class ActionModule(HelperAction):
    """Makes sure that a volume holds a token; there is no module to run on the host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        self._host = (task_vars or {}).get("inventory_hostname", "this host")
        return concluded(self._bring_about, check_mode=self._task.check_mode)

    def _bring_about(self) -> dict[str, Any]:
        parameters = self.parameters(arguments.OAUTH_TOKEN, arguments.OAUTH_TOKEN_CONSTRAINTS)
        helper = arguments.helper_of(parameters, self.run_on_host)
        use_own_package()
        try:
            # imported here because it needs the path that was just set, and a message if it isn't there
            if TYPE_CHECKING:
                from module_utils.token_keeper_helper import consenting  # noqa: PLC0415
            else:
                from ansible.module_utils.token_keeper_helper import consenting  # noqa: PLC0415
        except ImportError as error:
            raise package_missing(error) from None
        return consenting.settle(
            parameters,
            self._client_secrets(parameters),
            helper,
            # Ansible makes this folder for each run, and all hosts of it have the same
            consenting.Person(self._announce, Path(constants.DEFAULT_LOCAL_TMP)),
            check_mode=self._task.check_mode,
        )

    def _announce(self, text: str) -> None:
        """Show a text to the person, who may be asked for several hosts in turn."""
        Display().display(f"{self._host}: {text}")

    def _client_secrets(self, parameters: dict[str, Any]) -> tuple[Any, str]:
        """Return the client's JSON and where it came from; an encrypted file is decrypted in memory only."""
        name = parameters["client_secrets_file"]
        if not name:
            return parameters["client_secrets"], "the option client_secrets"
        return self.client_file(name, "client_secrets_file (oauth_token_client_secrets_file)")
