"""The callback ``warm_workers``: what the main process has loaded, its workers find loaded."""

from __future__ import annotations

from typing import Any, Final

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]
from ansible.plugins.loader import action_loader, filter_loader, test_loader  # type: ignore[import-untyped]

DOCUMENTATION: Final = """
name: warm_workers
type: aggregate
short_description: Load once what each task would load for itself
description:
  - Ansible runs each task in a process of its own, a copy of the main one, and the first filter that a task uses has
    all filters of all roles loaded there. The main process seldom uses one, so that every task loaded them anew,
    which was a tenth of what a playbook costs.
  - This loads them in the main process whenever a role has brought others. It prints nothing.
  - An action of this project that imports much has a method C(warm), which is called here before the task is given
    to its hosts.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Has nothing to tell."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "warm_workers"

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Load what has come since the last task; where nothing has, that is a look into a dictionary."""
        for loader in (filter_loader, test_loader):
            # any name that there is: asking for one loads them all
            loader.get("default" if loader is filter_loader else "defined")
        warm = getattr(action_loader.get(task.action, class_only=True), "warm", None)
        if warm is not None:
            warm()
