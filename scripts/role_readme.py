#!/usr/bin/env python3
"""Writes each role's README.md from its argument specification and its defaults, and holds the two against each other.

`role_readme.py` writes, `role_readme.py --check` says what is not as it would be written, and exits with 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent.parent / "roles"
LONGEST_DEFAULT = 72


@dataclass(frozen=True)
class Role:
    """What one role says about itself."""

    path: Path
    entry_points: dict[str, Any]
    defaults: dict[str, Any]
    defaults_text: str

    @classmethod
    def read(cls, path: Path) -> Role:
        """Read a role's folder."""
        specs = yaml.safe_load((path / "meta/argument_specs.yml").read_text())["argument_specs"]
        file = path / "defaults/main.yml"
        text = file.read_text() if file.exists() else ""
        return cls(path, specs, yaml.safe_load(text) or {}, text)

    @property
    def name(self) -> str:
        """The role's name."""
        return self.path.name

    def options(self) -> dict[str, Any]:
        """Return the options of all entry points, each once."""
        merged: dict[str, Any] = {}
        for spec in self.entry_points.values():
            for name, option in (spec.get("options") or {}).items():
                merged.setdefault(name, option)
        return merged

    def complaints(self) -> list[str]:
        """Return what is wrong between specification and defaults, a sentence each."""
        options, found = self.options(), []
        for name, option in options.items():
            if not name.startswith(f"{self.name}_") and not self._shared(name):
                found.append(f"{name} does not begin with the role's name")
            if not option.get("description"):
                found.append(f"{name} has no description")
            if "default" in option:
                found.append(f"{name} has a default in argument_specs.yml; it belongs into defaults/main.yml alone")
            if not option.get("required") and name not in self.defaults:
                found.append(f"{name} is optional and has no default")
        found += [
            f"{name} has a default and is not in argument_specs.yml" for name in self.defaults if name not in options
        ]
        found += [f"{name} has no comment above it in defaults/main.yml" for name in self._uncommented()]
        return [f"roles/{self.name}: {complaint}" for complaint in found]

    def _shared(self, name: str) -> bool:
        # A name of another role, by which roles agree on one value
        return any(name.startswith(f"{other.name}_") for other in ROLES.iterdir() if other != self.path)

    def _uncommented(self) -> list[str]:
        lines = self.defaults_text.splitlines()
        return [
            match[1]
            for before, line in zip(["", *lines], lines, strict=False)
            if (match := re.match(r"([a-z]\w*):", line)) and not before.startswith("#")
        ]

    def readme(self) -> str:
        """Return the text of README.md."""
        main = self.entry_points["main"]
        parts = [f"# {self.name}", f"{main['short_description']}.", *_sentences(main.get("description", []))]
        others = {name: spec for name, spec in self.entry_points.items() if name != "main"}
        if others:
            parts.append("## Entry points")
            lines = [f"- `tasks_from: {name}`: {_inline(spec['short_description'])}." for name, spec in others.items()]
            parts.append("\n".join(lines))
        parts += ["## Variables", self._table()]
        parts.append(
            "Purpose and an example of each: [defaults/main.yml](defaults/main.yml). "
            "This page is written by `scripts/role_readme.py` from meta/argument_specs.yml."
        )
        return "\n\n".join(parts) + "\n"

    def _table(self) -> str:
        rows = ["| Variable | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
        for name, option in self.options().items():
            kind = option.get("type", "str")
            if kind == "list" and "elements" in option:
                kind = f"list of {option['elements']}"
            if choices := option.get("choices"):
                kind += ": " + ", ".join(map(str, choices))
            meaning = " ".join(_sentences(option["description"]))
            rows.append(f"| `{name}` | {kind} | {self._default(name, option)} | {_inline(meaning)} |")
        return "\n".join(rows)

    def _default(self, name: str, option: dict[str, Any]) -> str:
        if option.get("required"):
            return "*required*"
        value = self.defaults[name]
        if value in ("", [], {}, None):
            return "empty"
        if not isinstance(value, str):
            value = yaml.safe_dump(value, default_flow_style=True, width=999).replace("\n...", "")
        text = _inline(value)
        return "computed" if "{{ __" in text or len(text) > LONGEST_DEFAULT else f"`{text}`"


def _sentences(text: str | list[str]) -> list[str]:
    return [item.strip() for item in ([text] if isinstance(text, str) else text)]


def _inline(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write or check the pages of all roles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 where something is to be done"
    )
    check = parser.parse_args().check
    complaints: list[str] = []
    for path in sorted(folder for folder in ROLES.iterdir() if (folder / "meta/argument_specs.yml").exists()):
        role = Role.read(path)
        if wrong := role.complaints():
            complaints += wrong
            continue
        page = path / "README.md"
        if page.exists() and page.read_text() == role.readme():
            continue
        if check:
            complaints.append(f"roles/{role.name}/README.md is not what scripts/role_readme.py writes: run it")
        else:
            page.write_text(role.readme())
    sys.stderr.write("".join(f"{complaint}\n" for complaint in complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
