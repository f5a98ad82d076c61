"""The action ``token_reveal``: hands a document with its secrets to the person who asks for it, and to nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, backup_arguments
    from module_utils.token_keeper_helper.backup_files import on_controller
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments, backup_arguments
    from ansible.module_utils.token_keeper_helper.backup_files import on_controller
    from ansible.module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded


def _terminal() -> int | None:
    """Return the terminal of whoever runs the playbook in its foreground, open; ``None`` where there is none."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.isatty(sys.stdin.fileno()) and os.getpgrp() == os.tcgetpgrp(terminal):
            return terminal
    except (AttributeError, OSError, ValueError):
        pass
    os.close(terminal)
    return None


# As the plugin is loaded, which the strategy does before it forks: a worker has no terminal (since ansible-core 2.19)
_TERMINAL = _terminal()


class ActionModule(HelperAction):
    """Pulls the document, sealed, and writes it to a file of the person's or to their terminal.

    Options:
        volume, file, image, uid, gid, docker_cli, docker_host: as those of ``token_volume_info``.
        to: a new file on the controller, mode 0600; a relative one is in the folder that ``ansible-playbook`` was
            called in. Empty is the terminal.
        force: replace the file if it is there.

    Returns:
        to: the file, empty for the terminal.
        fingerprint: of the document.
        generation: of the document.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        return concluded(self._reveal, check_mode=False)

    def _reveal(self) -> dict[str, Any]:
        parameters = self.parameters(backup_arguments.TOKEN_REVEAL, backup_arguments.NO_CONSTRAINTS)
        helper = arguments.helper_of(parameters, self.run_on_host)
        use_own_package()
        try:
            # imported here because they need the path that was just set, and a message if it isn't there
            if TYPE_CHECKING:
                from module_utils.token_keeper_helper import disclosure  # noqa: PLC0415
            else:
                from ansible.module_utils.token_keeper_helper import disclosure  # noqa: PLC0415
            from token_keeper.errors import StorageError  # noqa: PLC0415
            from token_keeper.private_file import PrivateFile  # noqa: PLC0415
        except ImportError as error:
            raise package_missing(error) from None
        to = on_controller(parameters["to"]).absolute() if parameters["to"] else None
        place = (
            PrivateFile(to, parameters["force"], "-e reveal_to=PATH", "-e force=true", "run it again") if to else None
        )
        if place is None and _TERMINAL is None:
            raise ModuleFailure(
                "RevealError",
                "TerminalMissing",
                "there is no terminal to show the document at: nothing was read",
                "run it in the foreground of a terminal, or have it written to a file: -e reveal_to=PATH",
            )
        try:
            if place is not None:
                place.require()
            told = {"changed": place is not None, "to": str(to or "")}
            if self._task.check_mode:
                return told
            found = disclosure.disclosed(helper)
            if place is not None:
                place.write(found.text.encode())
            elif _TERMINAL is not None:
                what = f"The document {helper.file} in volume {helper.volume}, with its secrets"
                disclosure.Screen(_TERMINAL).show(what, found.text)
        except StorageError as error:
            raise ModuleFailure("StorageError", error.reason, error.message, error.remedy) from None
        return {**told, "fingerprint": found.fingerprint, "generation": found.generation}
