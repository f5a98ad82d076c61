"""The action ``host_images``: has images on a host, from the controller, by a registry or as an archive.

It has no module: the password of the registry, as an argument of one, would be printed by ``ANSIBLE_DEBUG`` in spite of
``no_log``. A program goes to the host's Python on stdin instead, and the password with it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import host_images, places
    from module_utils.token_keeper_helper.controller import HelperAction
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.image_building import Builder
    from module_utils.token_keeper_helper.image_source import Source
    from module_utils.token_keeper_helper.process import Completed
    from module_utils.token_keeper_helper.registry_engine import ASIDE, Engine
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper import host_images, places
    from ansible.module_utils.token_keeper_helper.controller import HelperAction
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.image_building import Builder
    from ansible.module_utils.token_keeper_helper.image_source import Source
    from ansible.module_utils.token_keeper_helper.process import Completed
    from ansible.module_utils.token_keeper_helper.registry_engine import ASIDE, Engine


class ActionModule(HelperAction):
    """Has images on a host; the options are documented in library/host_images.py."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        self._variables = task_vars or {}
        result = concluded(self._bring, check_mode=False)
        # what a check would do is for a person to read, and a changed task shows nothing by itself
        return {**result, "_ansible_verbose_always": True} if result.get("would") else result

    def _bring(self) -> dict[str, Any]:
        parameters = host_images.sound(self.parameters(host_images.HOST_IMAGES, {}))
        name = str(self._variables.get("inventory_hostname", "localhost"))
        host = host_images.Host(name, self, self._python(), parameters)
        with Engine() as engine:
            source = Source(Builder(Path(parameters["root"]), parameters["variables"]), parameters["images"], engine)
            return host_images.brought(host, source, check_mode=self._task.check_mode)

    def _python(self) -> str:
        """Return the host's Python: the one that is set, that Ansible has found before, or its python3."""
        named = str(self._templar.template(self._variables.get("ansible_python_interpreter") or "auto"))
        if not named.startswith("auto"):
            return named
        facts = self._variables.get("ansible_facts") or {}
        return str(facts.get("discovered_interpreter_python") or "python3")

    # What follows is the way to the host

    def __call__(self, argv: Sequence[str], stdin: bytes) -> Completed:
        """Run a command on the host, as whoever may use its engine."""
        return self.run_on_host(argv, stdin)

    @contextmanager
    def handed_over(self, file: Path) -> Iterator[str]:
        """Copy a file to the host, for as long as the context lasts."""
        # Not in /tmp, which is memory on many hosts. As the user who logs in, by whom files are copied; nothing of
        # images is secret, so that whoever loads it may read it.
        made = self._as_login(places.on_host(file.parent, ASIDE))
        *found, folder = made.stdout.strip().splitlines()
        path = f"{folder}/{file.name}"
        try:
            if left := places.left(found, file.parent, ASIDE):
                self._as_login(f"rm -rf {shlex.join(left)} || :")
            self._connection.put_file(str(file), path)
            self._as_login(f"chmod 0644 {shlex.quote(path)}")
            yield path
        finally:
            self._as_login(f"rm -rf {shlex.quote(folder)}")

    def _as_login(self, script: str) -> Completed:
        done = self._low_level_execute_command(script, sudoable=False, in_data=b"\n")
        if done["rc"]:
            raise ModuleFailure(
                "HostError",
                "NotCopied",
                f"the archive of the images could not be laid into {ASIDE}: {done['stderr'].strip()}",
                f"let the user who logs in write to {ASIDE}",
            )
        return Completed(done["rc"], done["stdout"], done["stderr"])
