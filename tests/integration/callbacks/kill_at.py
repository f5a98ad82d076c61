"""A callback that ends ansible-playbook, and all of its processes, at the start of a task, as a power cut would."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

DOCUMENTATION = """
name: kill_at
type: notification
short_description: SIGKILL at the start of a task
description:
  - Counts the tasks of plays that are named in KILL_PLAY, and kills the process group at the one that KILL_AT names or
    numbers (from 1), KILL_DELAY seconds after its start.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """See the documentation above."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._count = 0
        self._here = False

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note whether its tasks count."""
        self._here = play.get_name() == os.environ["KILL_PLAY"]

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Kill, if this is the one."""
        if not self._here:
            return
        self._count += 1
        if os.environ["KILL_AT"] not in (str(self._count), task.get_name().rpartition(" : ")[2]):
            return
        delay = float(os.environ.get("KILL_DELAY", "0"))
        if delay:
            threading.Timer(delay, _kill).start()
        else:
            _kill()


def _kill() -> None:
    os.killpg(0, signal.SIGKILL)
