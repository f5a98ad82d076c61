"""The action ``known_variables``: warns of a variable that looks like a misspelt one of the kit's.

Ansible takes any name for a variable, so ``-e moed=reconsent`` would be a rotation in another mode than was asked for,
and ``oauth_token_scope`` in the inventory a consent without the scopes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]
from ansible.utils.vars import load_extra_vars  # type: ignore[import-untyped]

_ALIKE: Final = 0.75
"""From 0 to 1, as :func:`difflib.get_close_matches` has it: one letter wrong, missing, swapped or too many."""

_MORE_ALIKE: Final = 0.85
"""The same for names in the inventory, of which many are somebody's own. The kit's have two words or more there."""

_NAMED: Final = 5
"""Hosts that a warning names; of more it tells how many there are."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Compares names given with ``-e``, and those in the inventory, to those that the roles and playbooks have.

    A name that is like none of them is somebody's own, and passes; it is no more than a warning for the same reason.

    Options:
        root: the kit's folder.

    Returns:
        warnings: one for each name that was meant to be another, in all likelihood.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result; nothing is changed."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _, parameters = self.validate_argument_spec({"root": {"type": "path", "required": True}})
        known = set(_names(Path(parameters["root"])))
        given = load_extra_vars(self._loader)
        warned = [f"-e {name}=…: {_meant(meant)}" for name, meant in misspelt(given, known)]
        written = _written(variables["hostvars"], variables["ansible_play_hosts_all"])
        found = misspelt(written.keys() - given.keys(), known, _MORE_ALIKE)
        warned += [f"{name} in the inventory ({_some(written[name])}): {_meant(meant)}" for name, meant in found]
        return {"changed": False, **({"warnings": warned} if warned else {})}


def misspelt(given: Iterable[str], known: set[str], alike: float = _ALIKE) -> list[tuple[str, str]]:
    """Return the names that nobody knows and that are like one of the kit's, each with that one.

    A name that has all words of that one and others besides, such as ``vault_oauth_token_scopes``, is somebody's own.

    Args:
        given: names as they were given.
        known: the kit's own.
        alike: from 0 to 1, how much like it they have to be.
    """
    strange = sorted(set(given) - known)
    candidates = sorted(known)
    close = ((name, difflib.get_close_matches(name, candidates, 1, alike)) for name in strange)
    return [(name, matches[0]) for name, matches in close if matches and not _has_words_of(name, matches[0])]


def _has_words_of(name: str, other: str) -> bool:
    """Tell whether all words of the other are in the name, in their order."""
    words = iter(name.split("_"))
    return all(word in words for word in other.split("_"))


def _some(hosts: list[str]) -> str:
    left = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return ", ".join(hosts[:_NAMED]) + left


def _meant(name: str) -> str:
    return f"nothing here has that name. Is {name} meant?"


def _written(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of the hosts' variables, each with the hosts that have it, but for Ansible's and short ones."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        for name in hostvars[host]:
            # YAML has names that are no text, such as 80 and true
            if isinstance(name, str) and "_" in name and not name.startswith(("ansible_", "__")):
                found.setdefault(name, []).append(host)
    return found


def _names(root: Path) -> Iterator[str]:
    """Yield the names of the variables that roles declare and set, and that playbooks ask for."""
    for file in sorted(root.glob("roles/*/meta/argument_specs.yml")):
        declared = yaml.load(file.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - a safe loader, if in C
        for entry in declared["argument_specs"].values():
            yield from entry.get("options") or {}
    for file in root.glob("playbooks/*.yml"):
        yield from re.findall(r"vars_prompt:\n +- name: (\w+)", file.read_text(encoding="utf-8"))
    for file in (*root.glob("playbooks/*.yml"), *root.glob("roles/*/tasks/*.yml")):
        text = file.read_text(encoding="utf-8")
        yield from re.findall(r"\b([a-z]\w+)(?:'\])? \| default\(", text)
        yield from re.findall(r"^ +register: ([a-z]\w+)", text, re.MULTILINE)
        for facts in re.findall(r"set_fact:\n((?: {4,}.*\n)+)", text):
            yield from re.findall(r"^ +([a-z]\w*_\w+):", facts, re.MULTILINE)
