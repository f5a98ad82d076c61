"""When role docker_host leaves a host alone: one condition hides no task that has something to do or to say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles/docker_host"
LOADER = DataLoader()
WELL = {"engine": "26.1.5", "compose": "2.26.1", "context": "default", "requests": True}


def loaded(path: str) -> Any:
    return LOADER.load_from_file(str(ROLE / path), trusted_as_template=True)


def rendered(value: Any, **known: Any) -> Any:
    variables = {**loaded("defaults/main.yml"), **loaded("vars/main.yml"), **known}
    return Templar(LOADER, variables=variables).template(value)


def seen(engine: str, compose: str, context: str, requests: bool) -> dict[str, Any]:
    """What a look tells of a host."""
    server = {"Server": {"Version": engine}} if engine else {}
    version = {"Client": {"Context": context}, **server}
    return {
        "docker": {"rc": 0 if engine else 1, "stdout": json.dumps(version), "stderr": ""},
        "compose": {"rc": 0, "stdout": f"{compose}\n", "stderr": ""},
        "modules": {"requests": requests},
    }


def all_hold(conditions: Any, **known: Any) -> bool:
    each = conditions if isinstance(conditions, list) else [conditions]
    return all(rendered(trust_as_template("{{ " + one + " }}"), **known) for one in each)


def has_to_do(**known: Any) -> bool:
    """Whether any of the tasks that are behind the condition would do something, or fail."""
    for task in loaded("tasks/see_to.yml"):
        if not all_hold(task.get("when", "true"), **known):
            continue
        if "ansible.builtin.include_tasks" in task:
            return True
        asserts = [one["ansible.builtin.assert"] for one in loaded(f"tasks/{task['ansible.builtin.import_tasks']}")]
        if not all(all_hold(one["that"], **known) for one in asserts):
            return True
    return False


@pytest.mark.parametrize(
    ("host", "variables", "wanted"),
    [
        ({}, {}, True),
        ({"engine": "20.10.24", "compose": "2.20.0"}, {}, True),
        ({"engine": ""}, {}, False),
        ({"engine": "19.03.15"}, {}, False),
        ({"engine": "19.03.15"}, {"docker_host_minimum_engine": "19.03"}, True),
        ({"engine": "26.1.5"}, {"docker_host_minimum_engine": "27"}, False),
        ({"compose": ""}, {}, False),
        ({"compose": "1.29.2"}, {}, False),
        ({"compose": "2.26.1"}, {"docker_host_minimum_compose": "2.30"}, False),
        ({"context": "rootless"}, {}, False),
        ({"requests": False}, {}, False),
        ({"requests": False}, {"ansible_python_interpreter": sys.executable}, True),
        ({"requests": False}, {"ansible_python_interpreter": "/usr/bin/python3"}, False),
        ({}, {"docker_host_daemon_options": {"debug": True}}, False),
        ({}, {"docker_host_upgrade": True}, False),
        ({}, {"docker_host_upgrade": "true"}, False),
        ({}, {"docker_host_source": "docker"}, False),
        ({}, {"docker_host_install": False}, True),
        ({"engine": ""}, {"docker_host_install": False}, False),
    ],
)
def test_a_host_is_left_alone_where_no_task_has_anything_to_do(
    host: dict[str, Any], variables: dict[str, Any], wanted: bool
) -> None:
    known = {"docker_host_seen": seen(**{**WELL, **host}), "ansible_playbook_python": sys.executable, **variables}
    assert rendered(loaded("vars/main.yml")["__docker_host_as_wanted"], **known) is wanted
    assert has_to_do(**known) is not wanted


@pytest.mark.parametrize("file", ["install.yml", "upgrade.yml"])
def test_a_compose_that_was_brought_is_looked_at(file: str) -> None:
    """How the application is described goes by its version: of an older one, the next run would describe it anew."""
    parts = [part for task in loaded(f"tasks/{file}") for part in task.get("block", [task])]
    included = [part.get("ansible.builtin.include_tasks") for part in parts]
    assert included.index("compose_file.yml") < included.index("observe.yml")
