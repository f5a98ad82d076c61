"""The program that a look sends to a host: it runs there by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator  # type: ignore[import-untyped]
from module_utils.token_keeper_helper import arguments, packing
from module_utils.token_keeper_helper.looking import LOOKS

ASKED: dict[str, dict[str, Any]] = {
    "token_volume_info": {"volume": "vol", "image": "keeper:1"},
    "token_status_info": {"tokens": [{"name": "a", "volume": "vol"}], "image": "keeper:1"},
}
SPECIFICATIONS = {
    "token_volume_info": arguments.TOKEN_VOLUME_INFO,
    "token_status_info": arguments.TOKEN_STATUS_INFO,
}
DOCKER = """#!/bin/sh
echo "$@" >>"$0.log"
echo 'Error response from daemon: get vol: no such volume' >&2
exit 1
"""


def looked(folder: Path, module: str, before: str = "", **more: Any) -> dict[str, Any]:
    """Run a look as a host does: by an interpreter without any package, in a folder that it can't write to."""
    asked = {**ASKED[module], **more}
    validated = ArgumentSpecValidator(SPECIFICATIONS[module]).validate(asked)
    assert validated.error_messages == []
    program = packing.program("looking", {"module": module, "parameters": validated.validated_parameters})
    command = [sys.executable, "-I", "-S", "-c", f"{before}import sys; exec(sys.stdin.buffer.read())"]
    environment = {"PATH": str(folder), "PYTHONPATH": "/nowhere"}
    done = subprocess.run(command, input=program, capture_output=True, check=False, cwd="/", env=environment)
    assert done.stderr == b""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A docker command that knows no volume."""
    command = tmp_path / "docker"
    command.write_text(DOCKER.replace("#!/bin/sh", "#!/bin/sh\nPATH=/bin:/usr/bin"))
    command.chmod(0o755)
    return tmp_path


def test_it_needs_nothing_but_python(docker: Path) -> None:
    found = looked(docker, "token_volume_info", consumers=True)
    assert found == {
        **{"changed": False, "volume_exists": False, "status": None},
        **{"consumers": [], "lagging": [], "silent": []},
    }
    assert (docker / "docker.log").read_text().splitlines() == ["volume inspect vol"]


def test_every_token_of_a_host_is_looked_at(docker: Path) -> None:
    (one,) = looked(docker, "token_status_info")["tokens"]
    assert (one["name"], one["volume_exists"]) == ("a", False)


@pytest.mark.parametrize("module", LOOKS)
def test_a_host_without_docker_is_told_as_a_module_tells_it(tmp_path: Path, module: str) -> None:
    found = looked(tmp_path, module)
    error = found["error"] if module == "token_volume_info" else found["tokens"][0]["error"]
    assert error["reason"] == "DockerCommandMissing", error
    assert found.get("failed", False) is (module == "token_volume_info")


def test_a_host_that_refuses_files_in_memory_is_looked_at(docker: Path) -> None:
    """Another system has none, and a hardened kernel (vm.memfd_noexec) refuses them."""
    found = looked(docker, "token_volume_info", before="import os; del os.memfd_create; ")
    assert (found.get("error"), found["volume_exists"]) == (None, False)


def test_nothing_is_left_on_the_host(docker: Path) -> None:
    before = sorted(docker.iterdir())
    looked(docker, "token_volume_info")
    assert sorted(docker.iterdir()) == sorted([*before, docker / "docker.log"])


def test_what_is_asked_does_not_stand_in_a_command_line() -> None:
    asked = {"counter_url": "http://provider.example/'\"\\ü"}
    program = packing.program("looking", {"module": "token_volume_info", "parameters": asked})
    (line,) = (line for line in program.decode().splitlines() if line.startswith("main("))
    assert json.loads(eval(line.removeprefix("main"))) == {"module": "token_volume_info", "parameters": asked}
