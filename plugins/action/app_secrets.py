"""The action ``app_secrets``: brings secrets of an application into small volumes, on the helper's stdin.

It has no module: what a module is given stands in a file on a host where pipelining is off, and is printed by
``ANSIBLE_DEBUG`` in spite of ``no_log``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.app_secrets import APP_SECRETS, deliver
    from module_utils.token_keeper_helper.controller import HelperAction
    from module_utils.token_keeper_helper.engine import Engine
    from module_utils.token_keeper_helper.frontend import concluded
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper.app_secrets import APP_SECRETS, deliver
    from ansible.module_utils.token_keeper_helper.controller import HelperAction
    from ansible.module_utils.token_keeper_helper.engine import Engine
    from ansible.module_utils.token_keeper_helper.frontend import concluded


class ActionModule(HelperAction):
    """Delivers secrets and says which of them changed.

    Options:
        secrets: by name, each with its ``value`` and perhaps a ``mode``.
        volumes: which ``names`` go into which ``volume``, and the ``uid`` and ``gid`` they belong to there.
        image: the keeper image, which has the Python that writes them.
        owner: whose deployment the volumes belong to, for the label that they are removed by.

    Returns:
        replaced: names of the secrets that changed, by volume; one that went has a ``-`` before it.
        revisions: how often each volume has been changed.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        return concluded(self._work, check_mode=self._task.check_mode)

    def _work(self) -> dict[str, Any]:
        parameters = self.parameters(APP_SECRETS, {})
        script = Path(self._find_needle("files", "secret_files.py")).read_text(encoding="utf-8")
        engine = Engine(self.run_on_host, parameters["docker_cli"])
        return deliver(engine, script, parameters, check_mode=self._task.check_mode)
