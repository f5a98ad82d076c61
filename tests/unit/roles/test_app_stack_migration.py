"""The way from a file of the host into the volume, and back: when the file is written, and what is removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/app_stack"
THEIRS = "/srv/theirs/compose.yml"
OURS = f"{THEIRS},/opt/kit/token-keeper.override.yml"


def container(service: str, state: str, files: str) -> str:
    """Return what the engine says of a container, as the role asks it."""
    return f"container|theirs|theirs-{service}-1|/srv/theirs||{service}|{state}|{files}||"


@pytest.mark.parametrize(
    ("containers", "services", "in_volume"),
    [
        ([("web", "running", OURS), ("keeper", "running", OURS)], ["web"], True),
        ([("web", "restarting", OURS), ("keeper", "running", OURS)], ["web"], True),
        ([("web", "exited", OURS), ("keeper", "running", OURS)], [], True),
        ([("web", "exited", OURS), ("keeper", "exited", OURS)], [], True),
        ([("web", "running", THEIRS)], [], False),
        ([("web", "running", THEIRS), ("worker", "exited", OURS)], [], False),
        ([("web", "exited", THEIRS)], [], False),
        ([], [], False),
    ],
    ids=["up", "it fails again and again", "stopped", "all stopped", "went back", "went back, one is stopped",
         "never came", "nothing"],
)  # fmt: skip
def test_the_file_is_written_unless_somebody_uses_it(
    containers: list[tuple[str, str, str]], services: list[str], in_volume: bool
) -> None:
    """A first attempt may have stopped them: the second has to write the file all the same."""
    assert told("[__app_stack_overridden, __app_stack_token_in_volume]", containers) == [services, in_volume]


def told(expression: str, containers: list[tuple[str, str, str]], **more: Any) -> Any:
    """Return what the role makes of an expression where the engine has these containers."""
    loader = DataLoader()
    known: dict[str, Any] = loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True)
    known |= {
        "app_stack_project": "theirs",
        "app_stack_project_dir": "/opt/kit",
        "__app_stack_engine": {"stdout_lines": [container(*one) for one in containers]},
        "__app_stack_found": {"services": {"web": {}, "worker": {}}, "consumers": ["web", "worker"]},
        **more,
    }
    return Templar(loader, variables=known).template(trust_as_template("{{ " + expression + " }}"))


@pytest.mark.parametrize(
    ("containers", "services"),
    [
        ([("web", "running", THEIRS), ("worker", "exited", THEIRS), ("db", "running", THEIRS)], ["web", "worker"]),
        ([("web", "running", OURS), ("web", "exited", THEIRS), ("worker", "running", OURS)], ["web"]),
        ([("web", "running", OURS), ("worker", "running", OURS)], []),
        ([("web", "running", OURS)], ["worker"]),
    ],
    ids=["all", "a run was killed", "none", "one is new"],
)
def test_who_has_a_container_of_the_old_kind_or_none_at_all_is_moved(
    containers: list[tuple[str, str, str]], services: list[str]
) -> None:
    assert told("__app_stack_migrating", containers) == services


def removal(folder: Path, source: Path, users: str = "") -> subprocess.CompletedProcess[str]:
    """Have the role remove the file on this machine."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": sys.executable,
            "app_stack_migrate_source": str(source),
            "app_stack_migrate_remove_host_file": True,
        },
        "tasks": [{"ansible.builtin.include_role": {"name": str(ROLE), "tasks_from": "migrate_end.yml"}}],
    }
    (folder / "play.json").write_text(json.dumps([play]))
    docker = folder / "bin" / "docker"  # stands for the docker command: the containers that mount the file
    docker.parent.mkdir(exist_ok=True)
    docker.write_text(f'#!/bin/sh\necho "$*" | grep -q "volume={source} .*volume={source.parent}$" && echo "{users}"\n')
    docker.chmod(0o755)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
    return subprocess.run(
        [*command, str(folder / "play.json")],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{docker.parent}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_LOCAL_TEMP": str(folder / "temporary"),
            "NO_COLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_secrets_go_and_not_only_the_link_to_them(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("canary")
    (tmp_path / "token.json").symlink_to("real.json")
    ended = removal(tmp_path, tmp_path / "token.json")
    assert ended.returncode == 0, ended.stdout
    assert not any(path.name.endswith(".json") for path in tmp_path.iterdir() if path.name != "play.json")
    again = removal(tmp_path, tmp_path / "token.json")
    assert "changed=0" in again.stdout


def test_a_folder_is_left_with_all_that_is_in_it(tmp_path: Path) -> None:
    """Its name is one slip away from the file's in it."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "precious").touch()
    ended = removal(tmp_path, tmp_path / "tokens")
    assert ended.returncode != 0
    assert "is a folder, and is not removed" in " ".join(ended.stdout.split())
    assert (tmp_path / "tokens" / "precious").exists()


def test_a_file_that_somebody_runs_on_is_left(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("canary")
    ended = removal(tmp_path, tmp_path / "token.json", "their-cron-1")
    assert ended.returncode != 0
    assert "is mounted by their-cron-1, and is not removed" in " ".join(ended.stdout.split())
    assert (tmp_path / "token.json").exists()
