"""A name on the command line that is nobody's, and like one of the kit's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugins.action.known_variables import _names, misspelt

ROOT = Path(__file__).resolve().parents[3]
KNOWN = set(_names(ROOT))


def run(*arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "playbooks/preflight.yml", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("moed", "mode"),
        ("teardown_volum", "teardown_volume"),
        ("app_stack_api_prot", "app_stack_api_port"),
        ("remove_hostfile", "remove_host_file"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_is_meant(name: str, meant: str) -> None:
    assert misspelt([name, "mode"], KNOWN) == [(name, meant)]


@pytest.mark.parametrize("name", ["ansible_user", "my_region", "x", "company_name"])
def test_names_of_ones_own_pass(name: str) -> None:
    assert misspelt([name], KNOWN) == []


def test_every_name_that_the_docs_give_on_the_command_line_is_known() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    given = {name for page in pages for name in re.findall(r"-e '?([a-z]\w+)=", page.read_text())}
    assert len(given) > 15
    assert misspelt(given, KNOWN) == []
    assert {name for name in given - KNOWN if not name.startswith("ansible_")} == set()


def test_a_run_says_so_before_anything_else() -> None:
    assert "-e moed=…: nothing here has that name. Is mode meant?" in run("-e", "moed=reconsent")
    assert "nothing here has that name" not in run("-e", "mode=reconsent", "-e", "my_region=north")


INVENTORY = """
docker_hosts:
  vars:
    {oauth_tokn_scopes: [calendar], vault_registry_password: p, images_dir: /srv, app_port: 80, modes: [x]}
  hosts:
    one: {ansible_connection: local, docker_host_sokcet: /run/docker.sock}
    two: {ansible_connection: local, docker_host_socket: /run/docker.sock}
"""


def test_a_misspelt_name_in_the_inventory_is_told_with_the_hosts_that_have_it(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY)
    said = run("-i", str(inventory))
    assert (
        "oauth_tokn_scopes in the inventory (one, two): nothing here has that name. Is oauth_token_scopes meant?"
        in said
    )
    assert "docker_host_sokcet in the inventory (one): nothing here has that name. Is docker_host_socket meant?" in said
    assert said.count("nothing here has that name") == 2


def test_the_example_s_and_the_demo_s_names_are_known() -> None:
    for inventory in ("inventory/example", "inventory/demo"):
        assert "nothing here has that name" not in run("-i", inventory)
