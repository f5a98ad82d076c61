"""A callback that ends ansible-playbook with all of its processes at a task, as a power cut would; or notes them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

DOCUMENTATION = """
name: kill_at
type: notification
short_description: SIGKILL at the start of a task
description:
  - Counts the tasks of plays that are named in KILL_PLAY, of all plays where that is empty, and kills ansible-playbook
    with all of its processes at the one that KILL_AT names or numbers (from 1), KILL_DELAY seconds after its start.
  - Kills it as well as soon as there is the file KILL_FILE, if that is named.
  - Writes a line of JSON for each task that has ended to the file KILL_RECORD, if that is named.
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
        self._begun = 0.0
        self._now: dict[str, Any] = {}
        if "KILL_FILE" in os.environ:
            threading.Thread(target=_kill_with, args=[Path(os.environ["KILL_FILE"])], daemon=True).start()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note whether its tasks count."""
        self._note()
        self._here = os.environ.get("KILL_PLAY", "") in ("", play.get_name())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Kill, if this is the one."""
        self._note()
        if not self._here:
            return
        self._count += 1
        name = task.get_name().rpartition(" : ")[2]
        self._now = {"number": self._count, "name": name, "action": task.action, "ran": False, "changed": False}
        self._begun = time.monotonic()
        if os.environ.get("KILL_AT", "") not in (str(self._count), name):
            return
        delay = float(os.environ.get("KILL_DELAY", "0"))
        if delay:
            threading.Timer(delay, _kill).start()
        else:
            _kill()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note that it did something."""
        told = result._result
        self._now["ran"] = True
        self._now["changed"] = self._now.get("changed", False) or bool(told.get("changed"))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Note the last one."""
        self._note()

    def _note(self) -> None:
        record = os.environ.get("KILL_RECORD")
        if record and "number" in self._now:
            with Path(record).open("a") as file:
                file.write(json.dumps({**self._now, "seconds": time.monotonic() - self._begun}) + "\n")
        self._now = {}


def _kill_with(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)
    _kill()


def _kill() -> None:
    # A worker has a session of its own, and so have the programs that it has started
    for process in _descendants(os.getpid()):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.killpg(0, signal.SIGKILL)


def _descendants(of: int) -> list[int]:
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found = [of]
    for each in found:
        found.extend(child for child, parent in parents.items() if parent == each)
    return found[1:]
