"""The action ``token_restore``: opens a backup in memory on the controller, and puts it into the volume on stdin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, backup_arguments
    from module_utils.token_keeper_helper.backup_files import BackupFiles, on_controller
    from module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.vault_passwords import VaultPasswords
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import arguments, backup_arguments
    from ansible.module_utils.token_keeper_helper.backup_files import BackupFiles, on_controller
    from ansible.module_utils.token_keeper_helper.controller import HelperAction, package_missing, use_own_package
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.vault_passwords import VaultPasswords


class ActionModule(HelperAction):
    """Restores a backup; there is no module to run on the host. The vault password stays on the controller."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        self._host = str((task_vars or {}).get("inventory_hostname", "localhost"))
        return concluded(self._restore, check_mode=self._task.check_mode)

    def _restore(self) -> dict[str, Any]:
        parameters = self.parameters(backup_arguments.TOKEN_RESTORE, backup_arguments.NO_CONSTRAINTS)
        helper = arguments.helper_of(parameters, self.run_on_host)
        passwords = VaultPasswords.of(self._loader)
        use_own_package()
        try:
            # imported here because it needs the path that was just set, and a message if it isn't there
            if TYPE_CHECKING:
                from module_utils.token_keeper_helper import backing  # noqa: PLC0415
            else:
                from ansible.module_utils.token_keeper_helper import backing  # noqa: PLC0415
        except ImportError as error:
            raise package_missing(error) from None
        files = BackupFiles(on_controller(parameters["folder"]), self._host, helper.volume, helper.file)
        return backing.restored(
            helper,
            parameters["mode"],
            backing.to_restore(files, parameters["backup_file"], passwords),
            host=self._host,
            force=parameters["force"],
            check_mode=self._task.check_mode,
        )
