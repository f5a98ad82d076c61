"""Every playbook says first which inventory it runs on, and stops where it could not do its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
# A part of others, and one that has nothing to do with an inventory: the engine that the demo started
OTHERS = {"preflight.yml", "preflight_answering.yml", "engine_stop.yml"}


@pytest.mark.parametrize("name", sorted(path.name for path in PLAYBOOKS.glob("*.yml") if path.name not in OTHERS))
def test_a_playbook_begins_with_the_preflight(name: str) -> None:
    first = yaml.safe_load((PLAYBOOKS / name).read_text())[0]
    assert "preflight.yml" in first["ansible.builtin.import_playbook"]


def banner(inventory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(inventory),
            "playbooks/preflight.yml",
            *arguments,
        ],
        cwd=PLAYBOOKS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return next(line.strip() for line in done.stdout.splitlines() if line.strip().startswith("Hosts  "))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Hosts      one, two, three"),
        (["--limit", "three,two"], "Hosts      two, three (of 3, by --limit)"),
        (["--limit", "all"], "Hosts      one, two, three"),
    ],
)
def test_the_hosts_that_it_names_are_those_of_the_run(tmp_path: Path, arguments: list[str], told: str) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("docker_hosts: {hosts: {one: , two: , three: }, vars: {ansible_connection: local}}\n")
    assert banner(inventory, *arguments) == told
