"""The action ``known_variables``: warns of a variable on the command line that looks like a misspelt one of the kit's.

Ansible takes any name for a variable, so ``-e moed=reconsent`` would be a rotation in another mode than was asked for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]
from ansible.utils.vars import load_extra_vars  # type: ignore[import-untyped]

_ALIKE: Final = 0.75
"""From 0 to 1, as :func:`difflib.get_close_matches` has it: one letter wrong, missing, swapped or too many."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Compares the names given with ``-e`` to those that the roles and playbooks have.

    A name that is like none of them is somebody's own, and passes; it is no more than a warning for the same reason.

    Options:
        root: the kit's folder.

    Returns:
        warnings: one for each name that was meant to be another, in all likelihood.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result; nothing is changed."""
        super().run(tmp, task_vars)
        _, parameters = self.validate_argument_spec({"root": {"type": "path", "required": True}})
        given = load_extra_vars(self._loader)
        if not given:
            return {"changed": False}
        found = misspelt(given, set(_names(Path(parameters["root"]))))
        warned = [f"-e {name}=…: nothing here has that name. Is {meant} meant?" for name, meant in found]
        return {"changed": False, **({"warnings": warned} if warned else {})}


def misspelt(given: Iterable[str], known: set[str]) -> list[tuple[str, str]]:
    """Return the names that nobody knows and that are like one of the kit's, each with that one.

    Args:
        given: names as they were given.
        known: the kit's own.
    """
    strange = sorted(set(given) - known)
    candidates = sorted(known)
    close = ((name, difflib.get_close_matches(name, candidates, 1, _ALIKE)) for name in strange)
    return [(name, matches[0]) for name, matches in close if matches]


def _names(root: Path) -> Iterator[str]:
    """Yield the names of the variables that roles declare, and that playbooks ask for."""
    for file in sorted(root.glob("roles/*/meta/argument_specs.yml")):
        declared = yaml.load(file.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - a safe loader, if in C
        for entry in declared["argument_specs"].values():
            yield from entry.get("options") or {}
    for file in root.glob("playbooks/*.yml"):
        yield from re.findall(r"vars_prompt:\n +- name: (\w+)", file.read_text(encoding="utf-8"))
    for file in (*root.glob("playbooks/*.yml"), *root.glob("roles/*/tasks/*.yml")):
        yield from re.findall(r"\b([a-z]\w+) \| default\(", file.read_text(encoding="utf-8"))
