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


def preflight(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
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


def banner(inventory: Path, *arguments: str) -> str:
    done = preflight(inventory, *arguments)
    lines = [line.strip() for line in done.stdout.splitlines()]
    return "\n".join(line for line in lines if line.startswith(("Hosts  ", "Project  ")))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Hosts      one, two, three\nProject    first"),
        (["--limit", "three,two"], "Hosts      two, three (of 3, by --limit)\nProject    second"),
        (["--limit", "all"], "Hosts      one, two, three\nProject    first"),
    ],
)
def test_the_hosts_that_it_names_are_those_of_the_run(tmp_path: Path, arguments: list[str], told: str) -> None:
    inventory = tmp_path / "hosts.yml"
    hosts = "one: {token_keeper_project: first}, two: {token_keeper_project: second}, three: {token_keeper_project: x}"
    inventory.write_text(f"docker_hosts: {{hosts: {{{hosts}}}, vars: {{ansible_connection: local}}}}\n")
    assert banner(inventory, *arguments) == told


def test_an_inventory_that_can_t_be_read_whole_stops_the_run(tmp_path: Path) -> None:
    """Ansible would go on with the hosts before the mistake."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "docker_hosts: {hosts: {one: , '[2001:db8::1]': , three: }, vars: {ansible_connection: local}}\n"
    )
    done = preflight(inventory)
    assert done.returncode != 0
    assert f"Completely failed to parse inventory source {inventory}" in " ".join(done.stderr.split())
