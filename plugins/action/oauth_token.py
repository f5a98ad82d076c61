"""The action ``oauth_token``: decides on the Docker host, asks a person on the controller, pushes on stdin."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]
from ansible import constants
from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package, warm_consent
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments
    from ansible.module_utils.token_keeper_helper.controller import (
        HelperAction,
        package_missing,
        use_own_package,
        warm_consent,
    )
    from ansible.module_utils.token_keeper_helper.frontend import concluded


def _is_at_terminal() -> bool:
    """Tell whether Ansible can prompt somebody here; by the same signs as :meth:`Display.prompt_until`."""
    try:
        terminal = sys.stdin.fileno()
        return os.isatty(terminal) and os.getpgrp() == os.tcgetpgrp(terminal)
    except (AttributeError, OSError, ValueError):
        return False


# As the plugin is loaded, which the strategy does before it forks: a worker has no terminal (since ansible-core 2.19)
_AT_TERMINAL = _is_at_terminal()


class ActionModule(HelperAction):
    """Makes sure that a volume holds a token; there is no module to run on the host."""

    warm = staticmethod(warm_consent)

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
                from module_utils.token_keeper_helper import asking, consenting  # noqa: PLC0415
            else:
                from ansible.module_utils.token_keeper_helper import asking, consenting  # noqa: PLC0415
        except ImportError as error:
            raise package_missing(error) from None
        return consenting.settle(
            parameters,
            self._client_secrets(parameters),
            helper,
            arguments.outward_of(parameters),
            # Ansible makes this folder for each run, and all hosts of it have the same
            asking.Person(self._announce, self._ask, Path(constants.DEFAULT_LOCAL_TMP), _AT_TERMINAL),
            check_mode=self._task.check_mode,
        )

    def _announce(self, text: str) -> None:
        """Show a text to the person, who may be asked for several hosts in turn."""
        Display().display(f"{self._host}: {text}")

    def _ask(self, prompt: str, seconds: float) -> str:
        """Ask the person for what must not be shown; the main process does so, which has the terminal.

        Raises:
            ConsentError: nobody can be asked, or they do not want to be.
        """
        if TYPE_CHECKING:
            from module_utils.token_keeper_helper.asking import given_up, no_terminal  # noqa: PLC0415
        else:
            from ansible.module_utils.token_keeper_helper.asking import given_up, no_terminal  # noqa: PLC0415
        try:
            typed = Display().prompt_until(f"{self._host}: {prompt}", private=True, seconds=seconds)
        except AnsiblePromptNoninteractive:
            raise no_terminal() from None
        except AnsiblePromptInterrupt:
            raise given_up() from None
        return str(typed.decode(errors="replace"))

    def _client_secrets(self, parameters: dict[str, Any]) -> tuple[Any, str]:
        """Return the client's JSON and where it came from; an encrypted file is decrypted in memory only."""
        name = parameters["client_secrets_file"]
        if not name:
            return parameters["client_secrets"], "the option client_secrets"
        return self.client_file(name, "client_secrets_file (oauth_token_client_secrets_file)")
