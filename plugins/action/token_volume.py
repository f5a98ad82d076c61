"""The part of ``token_volume`` that needs no module on the host, and for a document must not have one.

A document goes to the helper on stdin and nowhere else. A renewal is a command or two, for which no module has to be
sent and started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, volume
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments, volume
    from ansible.module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded


class ActionModule(HelperAction):
    """Runs the module of the same name, or pushes a document or renews the token itself."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        if self._task.args.get("document") is not None:
            return concluded(self._push, check_mode=self._task.check_mode)
        if self._task.args.get("state") == "refreshed":
            return concluded(self._refresh, check_mode=self._task.check_mode)
        if self._task.args.get("seen"):
            return concluded(self._initialise, check_mode=self._task.check_mode)
        rest = {name: value for name, value in self._task.args.items() if name != "document"}
        result: dict[str, Any] = self._execute_module("token_volume", rest, task_vars=task_vars)
        return result

    def _initialise(self) -> dict[str, Any]:
        parameters = self.parameters(arguments.TOKEN_VOLUME, arguments.TOKEN_VOLUME_CONSTRAINTS)
        helper = arguments.helper_of(parameters, self.run_on_host)
        mode, force, seen = parameters["mode"], parameters["force"], parameters["seen"]
        if parameters["state"] != "present":
            raise arguments.usage(
                f"seen makes no sense with state={parameters['state']}", "leave it out, or use state=present"
            )
        return volume.present(helper, mode, force=force, check_mode=self._task.check_mode, seen=seen).as_result()

    def _push(self) -> dict[str, Any]:
        parameters = self.parameters(arguments.TOKEN_VOLUME, arguments.TOKEN_VOLUME_CONSTRAINTS)
        if parameters["state"] != "present":
            raise arguments.usage(
                f"a document makes no sense with state={parameters['state']}", "leave it out, or use state=present"
            )
        helper = arguments.helper_of(parameters, self.run_on_host)
        document, fingerprint = _canonical(parameters["document"])
        outcome = volume.pushed(
            helper,
            parameters["mode"],
            document,
            fingerprint,
            push_options(parameters),
            force=parameters["force"],
            check_mode=self._task.check_mode,
        )
        return outcome.as_result()

    def _refresh(self) -> dict[str, Any]:
        parameters = self.parameters(arguments.TOKEN_VOLUME, arguments.TOKEN_VOLUME_CONSTRAINTS)
        helper = arguments.helper_of(parameters, self.run_on_host)
        outward, force = arguments.outward_of(parameters), parameters["force"]
        return volume.refreshed(helper, outward, force=force, check_mode=self._task.check_mode).as_result()


def push_options(parameters: Mapping[str, Any]) -> list[str]:
    """Return the options of ``push`` that a task's parameters ask for, besides force."""
    options = []
    for name in ("expect", "expires_in", "rotation", "reuse_grace"):
        if parameters[name] is not None:
            options.append(f"--{name.replace('_', '-')}={parameters[name]}")
    return options


def _canonical(fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """Check a document offline, and return its JSON and its fingerprint.

    Raises:
        ModuleFailure: it is no token document; the message names a field and never a value.
    """
    use_own_package()
    try:
        from token_keeper.document import TokenDocument  # noqa: PLC0415 - needs the path that was just set
        from token_keeper.errors import TokenKeeperError  # noqa: PLC0415
    except ImportError as error:
        raise package_missing(error) from None
    try:
        document = TokenDocument.parse(json.dumps(fields), "the option document")
    except TokenKeeperError as error:
        raise ModuleFailure(type(error).__name__, error.reason, error.message, error.remedy) from None
    return document.to_json().encode(), document.fingerprint
