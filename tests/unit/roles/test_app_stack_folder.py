"""The folder of somebody's project, by whatever path and name it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles/app_stack"
FOLDER = "/srv/100% of it"


def member(folder: str, name: str = "theirs", state: str = "running") -> str:
    """Return what the engine says of a container of the project, as the role asks it."""
    return f"container|{name}|{name}-web-1|{folder}||web|{state}|{folder}/compose.yml||"


def told(expression: str, tasks: str, task: str, **more: Any) -> Any:
    """Return what an expression comes to among the variables of a task of the role."""
    loader = DataLoader()
    known: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    every = loader.load_from_file(str(ROLE / "tasks" / tasks), trusted_as_template=True)
    known |= {name: value for one in every if one["name"] == task for name, value in one.get("vars", {}).items()}
    known |= {"app_stack_project": "theirs", "app_stack_project_dir": "/opt/kit", **more}
    templar = Templar(loader, variables=known)
    arguments = next(one for one in every if one["name"] == task)
    arguments = arguments.get("ansible.builtin.copy") or arguments["ansible.builtin.assert"]
    return templar.template(trust_as_template(arguments.get(expression) or "{{ " + expression + " }}"))


@pytest.mark.parametrize(
    ("given", "noted", "strange"),
    [
        ("/srv/theirs", "/srv/theirs", False),
        ("/srv/./theirs//", "/srv/theirs", False),
        ("/srv/theirs", "/data/theirs", False),
        ("/srv/theirs", "/srv/theirs2", True),
        ("/srv/theirs", "/srv/other", True),
    ],
    ids=["the same", "written oddly", "behind a link", "longer", "another"],
)
def test_its_own_containers_are_no_stranger_s(given: str, noted: str, strange: bool) -> None:
    """Whoever brought it up by hand may have gone there by the other path."""
    strangers = told(
        "__app_stack_strangers | map(attribute=2)",
        "project.yml",
        "Check that none of them is somebody else's",
        app_stack_compose_dir=given,
        __app_stack_engine={"stdout_lines": [member(noted)]},
        __app_stack_found={"real_folder": "/data/theirs"},
    )
    assert list(strangers) == (["theirs-web-1"] if strange else [])


def test_a_project_that_cannot_be_read_any_more_is_known_by_its_path() -> None:
    strangers = told(
        "__app_stack_strangers | map(attribute=2)",
        "project.yml",
        "Check that none of them is somebody else's",
        app_stack_compose_dir="/srv/theirs",
        __app_stack_engine={"stdout_lines": [member("/srv/theirs"), member("/srv/other")]},
        __app_stack_found={"failed": True},
    )
    assert len(list(strangers)) == 1


@pytest.mark.parametrize(
    ("running", "others"),
    [
        ([member("/srv/theirs", "live"), member("/data/theirs", "test")], ["live", "test"]),
        ([member("/srv/theirs", "live", "exited"), member("/srv/other", "live")], []),
        ([], []),
    ],
    ids=["by either path", "stopped, or another project", "none"],
)
def test_a_project_that_runs_by_another_name_is_not_started_twice(running: list[str], others: list[str]) -> None:
    names, said = (
        told(
            expression,
            "name.yml",
            "Check that the project does not run by another name",
            app_stack_compose_dir="/srv/theirs",
            inventory_hostname="demo",
            __app_stack_engine={"stdout_lines": running},
            __app_stack_found={"real_folder": "/data/theirs"},
        )
        for expression in ("__app_stack_other_names", "fail_msg")
    )
    assert list(names) == others
    # Ansible renders it in any case
    assert said.endswith(f"app_stack_compose_name: {' or '.join(others)}")


def test_a_percent_sign_in_its_path_is_one() -> None:
    """Ansible puts the file's name into the command by Python's % operator."""
    command = told(
        "validate",
        "override.yml",
        "Write and check the override file",
        app_stack_compose_dir=FOLDER,
        ansible_check_mode=False,
        __app_stack_found={"project": "theirs", "files": [f"{FOLDER}/compose.yml"]},
    )
    words = command % "/tmp/override"
    assert f"--project-directory '{FOLDER}'" in words
    assert words.endswith("--file /tmp/override config --quiet")
