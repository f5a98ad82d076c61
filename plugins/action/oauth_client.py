"""The action ``oauth_client``: reads the OAuth client that a role is given, judges it, and forgets it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]
from ansible.errors import AnsibleError, AnsibleUndefinedVariable  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package, warm_consent
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper.controller import (
        HelperAction,
        package_missing,
        use_own_package,
        warm_consent,
    )
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded


_FILE = "oauth_token_client_secrets_file"
_UNCHANGED = "Nothing has been changed"
_OPTIONS: dict[str, dict[str, Any]] = {
    "client_secrets_file": {"type": "str", "default": ""},
    "client_secrets_variable": {"type": "str", "required": True},
}


class ActionModule(HelperAction):
    """Finds out before any change whether there is one client, and whether it is one; nothing of it is returned.

    Options:
        client_secrets_file: its file on the controller, by its full path.
        client_secrets_variable: name of the variable that may hold its content instead. By name, because the content
            may come from a provider that the same play brings up later: what can't be had yet is not looked at.
    """

    warm = staticmethod(warm_consent)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        return concluded(lambda: self._judge(task_vars or {}), check_mode=self._task.check_mode)

    def _judge(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        parameters = self.parameters(_OPTIONS, {})
        name, variable = parameters["client_secrets_file"], parameters["client_secrets_variable"]
        given, content = self._content(variable, task_vars)
        if not name and not given:
            raise _failure(
                "ClientSecretsMissing",
                f"no OAuth client is given for {task_vars.get('inventory_hostname', 'this host')}",
                "download the client's JSON from the provider's console (Google: APIs & Services, Credentials, an "
                f"OAuth client ID of type Desktop app), encrypt it with ansible-vault, and name it in {_FILE}, as "
                "inventory/example/group_vars/provider_google/main.yml does",
            )
        if name and given:
            raise _failure(
                "ClientSecretsAmbiguous",
                f"two OAuth clients are given for {task_vars.get('inventory_hostname', 'this host')}: a file in "
                f"{_FILE}, and a content in {variable}",
                "keep one of them, and leave the other one empty",
            )
        if name and not name.startswith(("/", "~")):
            raise _failure(
                "ClientSecretsUnreadable",
                f"{_FILE} is {name}, which is no full path: Ansible would look for it in the folders of its playbooks "
                "and roles, and not where you are",
                f'name it in full, such as "{{{{ inventory_dir }}}}/{Path(name).name}"',
            )
        self._parse(name, content, variable)
        return {"changed": False}

    def _content(self, variable: str, task_vars: dict[str, Any]) -> tuple[bool, Any]:
        """Return whether a variable holds a client, and what it holds; ``None`` for what can't be had yet.

        Raises:
            ModuleFailure: it names a variable that there is not.
        """
        raw = task_vars.get(variable)
        try:
            content = self._templar.template(raw)
        except AnsibleUndefinedVariable as error:
            raise _failure("ClientSecretsMissing", f"{variable} can't be told: {error.message}", "define it") from None
        except AnsibleError:
            return True, None
        if not content and self._task.check_mode and isinstance(raw, str):
            # in check mode an expression may stand for what will be there by then
            return bool(raw), None
        return bool(content), content or None

    def _parse(self, name: str, content: Any, variable: str) -> None:
        """Raise if the file, or the content of the variable, is none of a client."""
        use_own_package()
        try:
            from token_keeper.consent import ClientSecrets  # noqa: PLC0415 - needs the path that was just set
            from token_keeper.errors import ConsentError  # noqa: PLC0415
        except ImportError as error:
            raise package_missing(error) from None
        if not name and content is None:
            return
        try:
            ClientSecrets.parse(*(self.client_file(name, _FILE) if name else (content, variable)))
        except (ConsentError, ModuleFailure) as error:
            raise _failure(error.reason, error.message, error.remedy) from None


def _failure(reason: str, message: str, remedy: str) -> ModuleFailure:
    return ModuleFailure("ConsentError", reason, message, f"{remedy}. {_UNCHANGED}")
