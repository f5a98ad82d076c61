"""The action ``give_way``: lowers the priority of this run, so that what shares its machine goes on undisturbed."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final

from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]

_OPTIONS: Final[dict[str, dict[str, Any]]] = {"nice": {"type": "int", "required": True}}
_LOWEST: Final = 19


class ActionModule(ActionBase):  # type: ignore[misc]
    """Sets the nice value of the process that runs the playbook, which every later task on this machine inherits.

    A priority can't be raised again without root, so it holds to the end of the run. It is never raised here either.
    Programs that are reached by SSH, and containers, have priorities of their own.

    Options:
        nice: the nice value, 0 to 19 (see ``man 7 sched``); 0 leaves it as it is.

    Returns:
        nice: the value that holds now.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result; nothing that anybody manages is changed by it."""
        super().run(tmp, task_vars)
        _, parameters = self.validate_argument_spec(_OPTIONS)
        nice = parameters["nice"]
        if not 0 <= nice <= _LOWEST:
            return {
                "failed": True,
                "msg": f"nice is {nice}, and has to be from 0 to {_LOWEST}: nothing has been changed",
            }
        # a task runs in a fork of the process that runs the playbook
        return {"changed": False, "nice": lowered(os.getppid(), nice)}


def lowered(process: int, nice: int) -> int:
    """Give all threads of a process at least that nice value, and return the one that its first thread has now.

    Linux keeps one for each thread; elsewhere the process has one.
    """
    threads = [process]
    with contextlib.suppress(OSError):
        threads = [int(name) for name in os.listdir(f"/proc/{process}/task")]
    for thread in threads:
        # a thread may have ended; a process of somebody else's is none of ours
        with contextlib.suppress(OSError):
            if os.getpriority(os.PRIO_PROCESS, thread) < nice:
                os.setpriority(os.PRIO_PROCESS, thread, nice)
    return os.getpriority(os.PRIO_PROCESS, process)
