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
        ("token_keeper_projct", "token_keeper_project"),
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
    {oauth_tokn_scopes: [calendar], images_dir: /srv, app_port: 80, modes: [x], 80: http, true: x,
     vault_images_registry_password: p, oauth_token_scopes_extra: [], ansible_usr: x, __images_registry: x,
     refresh_health_glance: {}}
  hosts:
    one: {ansible_connection: local, docker_host_sokcet: /run/docker.sock}
    two: {ansible_connection: local, docker_host_socket: /run/docker.sock}
"""


def test_a_misspelt_name_in_the_inventory_is_told_with_the_hosts_that_have_it(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY)
    said = run("-i", str(inventory))
    told = [
        ("oauth_tokn_scopes", "one, two", "oauth_token_scopes"),
        ("docker_host_sokcet", "one", "docker_host_socket"),
    ]
    for name, hosts, meant in told:
        assert f"{name} in the inventory ({hosts}): nothing here has that name. Is {meant} meant?" in said
    assert said.count("nothing here has that name") == len(told)
    # what is given on the command line is told once
    assert "oauth_tokn_scopes in the inventory" not in run("-i", str(inventory), "-e", "oauth_tokn_scopes=x")


def test_of_many_hosts_some_are_named(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("docker_hosts: {hosts: {'h[1:9]': }, vars: {oauth_tokn_scopes: []}}\n")
    assert "oauth_tokn_scopes in the inventory (h1, h2, h3, h4, h5 and 4 more): nothing" in run("-i", str(inventory))


def test_every_variable_of_the_inventories_is_known() -> None:
    files = (ROOT / "inventory").glob("*/group_vars/**/*.yml")
    given = {name for file in files for name in re.findall(r"^(?:# )?([a-z]\w*_\w+):", file.read_text(), re.MULTILINE)}
    assert len(given) > 15
    assert {name for name in given - KNOWN if not name.startswith(("ansible_", "vault_"))} == set()


def test_the_example_s_and_the_demo_s_names_are_known() -> None:
    for inventory in ("inventory/example", "inventory/demo"):
        assert "nothing here has that name" not in run("-i", inventory)
