"""What role docker_host makes of what a host tells: what stands in the way, and what the plan is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.plugins.loader import filter_loader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]
from test_docker_host_packages import ALL, ROLE, surveyed

filter_loader.add_directory(str(ROLE / "filter_plugins"))
PLAN = DataLoader().load_from_file(str(ROLE / "tasks/plan.yml"), trusted_as_template=True)
CLEAR = {"locked": "", "masked": [], "free": [{"path": "/var/lib", "mib": 9000}], "configured": [], **surveyed()}


def rendered(template: str, survey: dict[str, Any] | str = CLEAR, **more: Any) -> Any:
    """What a variable of the role is where a bare Debian 13 has told this."""
    loader = DataLoader()
    known: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    known |= {
        "inventory_hostname": "bare",
        "ansible_check_mode": False,
        "ansible_facts": {
            "distribution": "Debian",
            "distribution_major_version": "13",
            "distribution_release": "trixie",
            "architecture": "x86_64",
            "service_mgr": "systemd",
        },
        "__docker_host_answer": {"stdout": ""},
        "__docker_host_compose_answer": {"stdout": ""},
        "__docker_host_survey": {"stdout": survey if isinstance(survey, str) else json.dumps(survey), "stderr": "no"},
    }
    return Templar(loader, variables=known | more).template(trust_as_template("{{ " + template + " }}"))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, ""),
        (
            {"locked": "unattended-upgr (process 7)"},
            "apt is in use by unattended-upgr (process 7), for longer than 300 s",
        ),
        ({"masked": ["docker.service"]}, "docker.service, which somebody has masked"),
        ({"masked": ["docker.service"]}, "sudo systemctl unmask docker.service"),
        (
            {"free": [{"path": "/var/lib", "mib": 5000}, {"path": "/srv/docker", "mib": 64}]},
            "64 MiB are free below /srv/docker, and installing Docker Engine asks for 1024 MiB",
        ),
    ],
)
def test_what_stands_in_the_way_is_said(found: dict[str, Any], said: str) -> None:
    obstacle = rendered("__docker_host_obstacle", CLEAR | found)
    assert said in obstacle
    assert bool(obstacle) is bool(said)


def test_a_host_that_can_not_be_looked_at_says_so() -> None:
    assert rendered("__docker_host_obstacle", "") == "this host could not be looked at: no."


def test_a_masked_unit_is_nobody_s_business_where_an_engine_answers() -> None:
    answer = {"stdout": json.dumps({"Client": {}, "Server": {"Version": "26.1.5"}})}
    assert rendered("__docker_host_obstacle", CLEAR | {"masked": ["docker.socket"]}, __docker_host_answer=answer) == ""


def test_the_plan_is_made_of_what_was_asked_and_found() -> None:
    assert rendered("__docker_host_work") == ALL
    plan = rendered("__docker_host_plan")
    assert (plan["source"], plan["install"]) == ("distribution", ["docker.io", "docker-cli", "docker-compose"])
    for written in ("27.0", 27.0):  # without quotes YAML has a number
        plan = rendered("__docker_host_plan", docker_host_minimum_engine=written)
        assert plan["source"] == "docker"


def test_the_key_is_looked_at_only_where_something_is_to_be_installed() -> None:
    (key,) = [task for task in PLAN if "key" in task["name"]]
    conditions = key["when"] if isinstance(key["when"], list) else [key["when"]]
    needed = " and ".join(f"({one})" for one in conditions)
    answer = {
        "docker_host_source": "docker",
        "__docker_host_answer": {"stdout": json.dumps({"Client": {}, "Server": {"Version": "28.5.1"}})},
        "__docker_host_compose_answer": {"stdout": "2.40.2"},
    }
    assert rendered(needed, **answer) is False
    assert rendered(needed, **answer, docker_host_upgrade=True) is True
    assert rendered(needed, docker_host_source="docker") is True


@pytest.mark.parametrize(
    ("packages", "configured", "needed"),
    [
        ({}, [], True),
        ({"docker-ce": {"installed": "5:28.5.1-1", "origins": ["https://mirror.example"]}}, [], False),
        ({"docker-ce": {"installed": "5:28.5.1-1", "origins": []}}, [], True),
        ({}, ["/etc/apt/sources.list.d/docker.list"], False),
    ],
)
def test_a_repository_that_the_host_has_is_not_added(
    packages: dict[str, Any], configured: list[str], needed: bool
) -> None:
    found = CLEAR | {"packages": packages, "configured": configured}
    assert rendered("__docker_host_repository_needed", found) is needed


def test_where_the_engine_s_data_will_be_is_looked_at_too() -> None:
    options = {"data-root": "/srv/one"}
    arguments = ["--data-root=/srv/two", "--debug"]
    asked = rendered(
        "__docker_host_survey_asked", docker_host_daemon_options=options, docker_host_engine_arguments=arguments
    )
    assert asked["room"] == ["/var/lib", "/srv/one", "/srv/two"]
    assert (asked["need_mib"], asked["lists"]) == (1024, "own")
    assert rendered("__docker_host_lists", ansible_check_mode=True) == "aside"


@pytest.mark.parametrize("name", ["docker_host_repository", "docker_host_compose_mirror"])
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://mirror.example/debian", True),
        ("http://mirror.example/a@b", True),
        ("", True),
        ("https://me:canary@mirror.example/debian", False),
        ("https://canary@mirror.example", False),
    ],
)
def test_an_address_that_everybody_could_read_holds_no_password(name: str, address: str, told: bool) -> None:
    check = PLAN[0]["ansible.builtin.assert"]
    assert rendered(check["that"], **{name: address}) is told
    assert "canary" not in rendered("said", said=check["fail_msg"], **{name: address})


def test_a_source_that_was_added_for_nothing_is_taken_away_again() -> None:
    loader = DataLoader()
    tasks = {file.name: loader.load_from_file(str(file), trusted_as_template=True) for file in ROLE.glob("tasks/*.yml")}
    added = {
        task["register"]: task["ansible.builtin.template"]["dest"]
        for file in tasks.values()
        for task in file
        if "sources.list.d" in task.get("ansible.builtin.template", {}).get("dest", "")
    }
    assert len(added) == 2
    (block,) = [task for task in tasks["install.yml"] if "rescue" in task]
    included = {task.get("ansible.builtin.include_tasks") for task in block["block"]}
    assert {"repository.yml", "compose_source.yml"} <= included
    (gone,) = [task for task in block["rescue"] if "ansible.builtin.file" in task]
    assert gone["ansible.builtin.file"] == {"path": "{{ item }}", "state": "absent"}
    (name,) = block["vars"]
    assert gone["loop"] == f"{{{{ {name} }}}}"
    for changed in (True, False):  # one that was there before stays
        results = {register: {"changed": changed, "dest": dest} for register, dest in added.items()}
        taken = rendered(name, **block["vars"], **results)
        assert sorted(taken) == (sorted(added.values()) if changed else [])
    assert rendered(name, **block["vars"]) == []


def test_check_mode_refuses_the_upgrade_that_a_run_would_refuse(tmp_path: Path) -> None:
    known = {
        "__docker_host_plan": {"changes": ["upgrade docker-ce from 1 to 2"], "engine_version": "2"},
        "__docker_host_engine": "1",
        "__docker_host_systemd": False,
        "docker_host_minimum_engine": "1",
        "docker_host_started_file": str(tmp_path / "none"),
        "ansible_python_interpreter": sys.executable,
    }
    tasks = [{"ansible.builtin.include_tasks": str(ROLE / "tasks/upgrade_packages.yml")}]
    playbook = tmp_path / "upgrade.json"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": known, "tasks": tasks}]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "--check"]
    ended = subprocess.run([*command, str(playbook)], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "the engine runs neither under systemd nor by this role" in ended.stdout
    assert "changed=0" in ended.stdout
