"""Service and timer, as the playbook writes them: systemd takes them, and reads the command as it was meant."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
NAME = "token-keeper-rotation-tk-unit"


def scheduled(folder: Path, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run the playbook so that it only writes the units, into a folder of the test's."""
    given = {
        "token_keeper_project": "tk-unit",
        "rotation_schedule_start": False,
        "rotation_schedule_unit_dir": str(folder),
        **variables,
    }
    return subprocess.run(
        [str(BIN / "ansible-playbook"), "playbooks/schedule_rotation.yml", "-e", json.dumps(given), *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def units(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def command(unit: str) -> list[str]:
    """Read a command line as systemd does."""
    [line] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


def verified(folder: Path) -> str:
    """Have systemd judge every unit in a folder, and return its complaints."""
    judged = subprocess.run(
        ["systemd-analyze", "verify", *(str(path) for path in sorted(folder.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
    )
    assert judged.returncode == 0, judged.stderr
    return "\n".join(line for line in judged.stderr.splitlines() if "tk-unit" in line)


def recap(stdout: str) -> str:
    """Return what Ansible counted for the last host."""
    return re.findall(r"^\S+ +: ok=.*$", stdout, re.MULTILINE)[-1]


ODD = ["/bin/true", "a b", 'say "%h"', "$HOME", "back\\slash"]


@pytest.mark.parametrize("where", ["controller", "host"])
@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_takes_the_units(tmp_path: Path, where: str, scope: str) -> None:
    more = {"rotation_schedule_hook": ODD, "rotation_schedule_user": "daemon", "rotation_schedule_scope": scope}
    done = scheduled(tmp_path, schedule_where=where, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    written = units(tmp_path)
    assert written.keys() == {f"{NAME}.service", f"{NAME}.timer", f"{NAME}-failed.service"}
    assert verified(tmp_path) == ""
    service, timer = written[f"{NAME}.service"], written[f"{NAME}.timer"]
    assert f"OnFailure={NAME}-failed.service" in service
    assert ("User=daemon" in service) == (scope == "system")
    assert {"OnCalendar=daily", "RandomizedDelaySec=1h", "Persistent=true"} <= set(timer.splitlines())
    assert command(written[f"{NAME}-failed.service"]) == [*ODD, f"{NAME}.service"]
    lock = ["/usr/bin/flock", "--nonblock", "--conflict-exit-code", "75", f"%t/{NAME}/lock"]
    run = command(service)
    assert run[:5] == lock
    if where == "host":
        exec_ = ["/usr/bin/env", "docker", "exec", "tk-unit-keeper-1"]
        assert run[5:] == [*exec_, "token-keeper", "refresh", "--force", "--json"]
    else:
        assert run[5:] == [str(BIN / "ansible-playbook"), "rotate_token.yml", f"--inventory={ROOT}/inventory/demo"]
        assert f"WorkingDirectory={ROOT}" in service


def test_a_second_run_changes_nothing_and_absent_removes_everything(tmp_path: Path) -> None:
    scheduled(tmp_path, rotation_schedule_hook=["/bin/true"])
    assert "changed=0" in recap(scheduled(tmp_path, rotation_schedule_hook=["/bin/true"]).stdout)
    checked = scheduled(tmp_path, "--check", state="absent")
    assert checked.returncode == 0
    assert len(units(tmp_path)) == 3
    scheduled(tmp_path)  # without a hook its unit goes
    assert units(tmp_path).keys() == {f"{NAME}.service", f"{NAME}.timer"}
    assert "OnFailure" not in units(tmp_path)[f"{NAME}.service"]
    assert scheduled(tmp_path, state="absent").returncode == 0
    assert units(tmp_path) == {}
    assert "changed=0" in recap(scheduled(tmp_path, state="absent").stdout)


@pytest.mark.parametrize(
    "wrong",
    [{"rotation_schedule_calendar": "whenever"}, {"rotation_schedule_jitter": "a while"}],
    ids=["calendar", "jitter"],
)
def test_times_that_systemd_does_not_take_are_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    refused = scheduled(tmp_path, **wrong)
    assert refused.returncode != 0
    assert f"does not take {next(iter(wrong.values()))}" in " ".join(refused.stdout.split())
    assert units(tmp_path) == {}


def test_a_machine_without_systemd_is_told_the_command(tmp_path: Path) -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs here")
    refused = scheduled(tmp_path, rotation_schedule_start=True)
    assert refused.returncode != 0
    said = " ".join(refused.stdout.split())
    assert "systemd does not run on localhost" in said
    assert "ansible-playbook rotate_token.yml" in said
    assert units(tmp_path) == {}


def test_a_dry_run_says_what_would_be_written_although_systemd_does_not_know_it_yet(tmp_path: Path) -> None:
    """With a systemctl that knows no unit, and without the question whether systemd runs here."""
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\necho LoadState=not-found\n")
    systemctl.chmod(0o755)
    role = {"name": "rotation_schedule", "tasks_from": "present.yml"}
    given = {"rotation_schedule_project": "tk-unit", "rotation_schedule_unit_dir": str(tmp_path / "units")}
    task = {"ansible.builtin.include_role": role, "vars": given}
    play = tmp_path / "play.yml"
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), str(play), "--check"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{systemctl.parent}:{os.environ['PATH']}", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=2" in recap(done.stdout)
    assert not (tmp_path / "units").exists()
