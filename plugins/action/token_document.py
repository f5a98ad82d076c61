"""The action ``token_document``: takes a document from the controller, and puts it into the volume on stdin."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ansible.module_utils  # type: ignore[import-untyped]
from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive  # type: ignore[import-untyped]
from ansible.parsing.vault import is_encrypted  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, backup_arguments, backup_files
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.vault_passwords import VaultPasswords
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments, backup_arguments, backup_files
    from ansible.module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.vault_passwords import VaultPasswords

_MOST: Final = 65_537
_END: Final = b"\x04"


def _piped_input() -> int | None:
    """Return a descriptor of what is piped into ansible-playbook; ``None`` at a terminal, and where nothing is."""
    with contextlib.suppress(OSError):
        if not os.isatty(0):
            return os.dup(0)
    return None


# As the plugin is loaded, which the strategy does before it forks: a worker's own stdin is /dev/null (since
# ansible-core 2.19). Programs that a worker starts do not get it.
_PIPED = _piped_input()


class ActionModule(HelperAction):
    """Replaces a document; there is no module to run on the host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        self._host = str((task_vars or {}).get("inventory_hostname", "localhost"))
        return concluded(self._replace, check_mode=self._task.check_mode)

    def _replace(self) -> dict[str, Any]:
        parameters = self.parameters(backup_arguments.TOKEN_DOCUMENT, backup_arguments.NO_CONSTRAINTS)
        helper = arguments.helper_of(parameters, self.run_on_host)
        use_own_package()
        try:
            # imported here because it needs the path that was just set, and a message if it isn't there
            if TYPE_CHECKING:
                from module_utils.token_keeper_helper import backing  # noqa: PLC0415
            else:
                from ansible.module_utils.token_keeper_helper import backing  # noqa: PLC0415
        except ImportError as error:
            raise package_missing(error) from None
        name = parameters["document_file"]
        warnings: list[str] = []
        if name in ("", "-"):
            text, where = self._given(parameters["timeout"])
        else:
            text, where, warnings = self._read(backup_files.on_controller(name))
        outcome = backing.replaced(
            helper,
            parameters["mode"],
            text,
            where,
            force=parameters["force"],
            check_mode=self._task.check_mode,
        )
        return {**outcome, "warnings": warnings}

    def _read(self, path: Path) -> tuple[bytes, str, list[str]]:
        """Return a file's content, decrypted in memory if it is, its path, and what is to be said of it."""
        text = backup_files.read(path)
        if is_encrypted(text):
            return VaultPasswords.of(self._loader).opened(text, str(path)), str(path), []
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077 == 0:
            return text, str(path), []
        return (
            text,
            str(path),
            [
                f"{path} holds secrets in the clear, and others on this machine can get at it (mode {mode:04o}). "
                f"Remove it when it is not needed any more (shred -u {path}), or close it: chmod 0600 {path}"
            ],
        )

    def _given(self, timeout: float) -> tuple[bytes, str]:
        """Return what is piped in, or what a person pastes at the terminal, where it is not shown."""
        if _PIPED is not None:
            return _all_of(_PIPED, timeout), "the document on stdin"
        prompt = f"{self._host}: paste the token document, which is not shown, then press Ctrl-D:"
        try:
            typed = Display().prompt_until(prompt, private=True, seconds=timeout, complete_input=(_END,))
        except AnsiblePromptNoninteractive:
            raise _nothing_given() from None
        except AnsiblePromptInterrupt:
            raise ModuleFailure(
                "UsageError",
                "PromptInterrupted",
                "the prompt was left with Ctrl-C",
                "nothing was changed: run the playbook again",
            ) from None
        return bytes(typed)[:_MOST].strip(_END), "the document that was pasted"


def _all_of(descriptor: int, timeout: float) -> bytes:
    """Read what is piped in to its end.

    Raises:
        ModuleFailure: nothing is, or its end does not come.
    """
    deadline, data = time.monotonic() + timeout, b""
    while len(data) < _MOST:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise _nothing_given()
        part = os.read(descriptor, _MOST - len(data))
        if not part:
            break
        data += part
    if not data.strip():
        raise _nothing_given()
    return data


def _nothing_given() -> ModuleFailure:
    return ModuleFailure(
        "UsageError",
        "DocumentMissing",
        "no document was given: no file is named, nothing is piped in, and nobody can be asked at a terminal",
        "name a file on the controller, -e document_file=new.json, or pipe it in: ansible-playbook "
        "playbooks/replace_token.yml < new.json. Nothing was changed",
    )
