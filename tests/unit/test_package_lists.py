"""Packages are installed out of lists that this run has fetched: those that are there may be gone, and look new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for path in (ROOT / "roles").glob("*/tasks/*.yml") if "ansible.builtin.apt:" in path.read_text())
# What says whether this run has fetched them (roles/docker_host/vars/main.yml)
AGE = "__docker_host_lists_age"


def installations(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give the options of every task of apt, those in blocks too."""
    for task in tasks:
        yield from installations(task.get("block", []))
        if options := task.get("ansible.builtin.apt"):
            yield options


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_list_is_believed_for_looking_new(file: Path) -> None:
    for options in installations(yaml.safe_load(file.read_text())):
        assert options["update_cache"] is True
        assert AGE in str(options.get("cache_valid_time", AGE))
