"""The callback ``closing_summary``: names at the end of a run which hosts are done and which are not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ansible.module_utils  # type: ignore[import-untyped]
from ansible import constants, context
from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import closing
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import closing

DOCUMENTATION = """
name: closing_summary
type: aggregate
short_description: which hosts are done, and which are not
description:
  - After the recap of a run over several hosts, or of one that failed, prints a row a host with its result, the task
    that failed and why, and the command that does what is left, for those hosts alone.
  - Of results it tells nothing but the message of a task that failed, as V(no_log) has left it.
  - It is silent where the output is for a machine, that is, beside any stdout callback that it does not know to be for
    a person.
"""

GATE: Final = "Go no further where a host before has failed"
"""The task that keeps hosts from being begun; whom it fails has not been."""

_FOR_PEOPLE: Final = frozenset({"default", "debug", "yaml", "minimal", "unixy", "dense", "diy", "awx_display"})
_DONE: Final = {"site": "deployed", "rotate_token": "rotated"}
"""What has happened to a host that has changed, by playbook."""

_COLOURS: Final = {
    closing.UNCHANGED: "COLOR_OK",
    closing.FAILED: "COLOR_ERROR",
    closing.UNREACHABLE: "COLOR_UNREACHABLE",
}


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """See the documentation above."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "closing_summary"
    # ansible.cfg names its folder: whoever enables another callback has this one all the same
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._playbook = ""
        self._plays = 0
        self._started: set[str] = set()
        self._order: dict[str, None] = {}
        self._hosts: set[str] = set()
        self._began: set[str] = set()
        self._batch: set[str] = set()
        self._failed: dict[str, tuple[str, str]] = {}
        self._dark: dict[str, tuple[str, str]] = {}
        self._failed_with: dict[str, str] = {}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Note how many plays there are to come."""
        self._playbook = Path(playbook._file_name).stem
        self._plays = len(playbook.get_plays())
        self._started = set()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note whose turn it is: a play comes once for each batch of its hosts."""
        if play._uuid not in self._started:
            self._started.add(play._uuid)
            self._began = set()
        self._batch = set()
        inventory = play.get_variable_manager()._inventory
        hosts = inventory.get_hosts(play.hosts, ignore_restrictions=True)
        self._order.update(dict.fromkeys(host.name for host in hosts))
        self._hosts = {host.name for host in hosts if not host.implicit}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note that a host has begun."""
        self._began.add(host.name)
        self._batch.add(host.name)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Keep where a host failed, and why."""
        if ignore_errors:
            return
        name = result._host.name
        self._failed[name] = _where(result)
        if result._task.run_once:  # it fails the whole batch, and this is told for one of them alone
            self._failed_with.update(dict.fromkeys(self._batch - {name}, name))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Keep where a host was lost; one that the play keeps for its report will fail it later on."""
        self._dark[result._host.name] = _where(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the summary."""
        if not self._plays or str(constants.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2] not in _FOR_PEOPLE:
            return
        names = [name for name in self._order if name in self._hosts or name in stats.processed]
        endings = [self._ending(name, stats) for name in names]
        if len(endings) < 2 and not any(ending.result in closing.LEFT for ending in endings):
            return
        self._display.display("")
        for line, result in closing.lines(endings, sys.argv):
            colour = _COLOURS.get(result, "COLOR_CHANGED" if result and result not in closing.LEFT else None)
            self._display.display(line, color=getattr(constants, colour) if colour else None)

    def _ending(self, name: str, stats: Any) -> closing.Ending:
        cause = name if stats.failures.get(name) else self._failed_with.get(name, name)
        failed = bool(stats.failures.get(cause))
        where = self._failed.get(cause, ("", ""))
        if stats.dark.get(name) or (failed and name in self._dark):
            return closing.Ending(name, closing.UNREACHABLE, *self._dark[name])
        if failed and where[0] != GATE:
            return closing.Ending(name, closing.FAILED, *where)
        if failed or len(self._started) < self._plays or (name in self._hosts and name not in self._began):
            return closing.Ending(name, closing.NOT_BEGUN)
        if not stats.changed.get(name):
            return closing.Ending(name, closing.UNCHANGED)
        return closing.Ending(
            name, "would change" if context.CLIARGS.get("check") else _DONE.get(self._playbook, "changed")
        )


def _where(result: Any) -> tuple[str, str]:
    """Return the task's name, and its message."""
    return result._task.get_name(), closing.reason(result._result)
