"""What programs on the host's Python tell of it, and what nobody has to be asked again after a look."""

from __future__ import annotations

import hashlib
import json
import shlex
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.module_utils.token_keeper_helper import controller
from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper import host_look, volume
from module_utils.token_keeper_helper.process import Completed
from plugins.action import compose_look, docker_host_look, token_status_info, token_volume_info
from pretended import FRESH, NOTHING, Docker, said, status

COMPOSE = "services: {}\n"
SERVICES: dict[str, Any] = {
    "api": {"image": "stack:1", "healthcheck": {"test": ["CMD", "true"]}},
    "celery": {"image": "stack:1", "deploy": {"replicas": 2}, "networks": {"internal": None, "egress": None}},
}
NETWORKS = {"internal": {"name": "app_internal", "internal": True}, "egress": {"name": "outer", "external": True}}
# name|state|status|networks|service|config-hash|image|oneoff
RUNNING = [
    "app-api-1|running|Up 5 minutes (healthy)||api|aaaa|sha256:1|False",
    "app-celery-1|running|Up 5 minutes|app_internal,outer|celery|cccc|sha256:1|False",
    "app-celery-2|running|Up 5 minutes|outer,app_internal|celery|cccc|sha256:1|False",
]


class Machine:
    """This machine with a docker command that says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Any] = {}
        self.variables: dict[str, Any] = {"ansible_python_interpreter": sys.executable}
        self.said = folder / "answers.json"
        self.cli = folder / "docker"
        self.cli.write_text(
            f"#!{sys.executable}\nimport json, sys\nanswers = json.load(open({str(self.said)!r}))\n"
            "words = ' '.join(sys.argv[1:])\n"
            "found = next((said for asked, said in answers.items() if asked in words), None)\n"
            "sys.stdout.write(found or '')\nsys.exit(found is None)\n"
        )
        self.cli.chmod(0o755)

    def act(self, module: Any, namespace: str = "", **options: Any) -> dict[str, Any]:
        self.said.write_text(json.dumps(self.answers))
        action = module.ActionModule.__new__(module.ActionModule)
        args = {"docker_cli": str(self.cli), **options}
        action._task = SimpleNamespace(
            args=args, check_mode=False, action=namespace + module.__name__.rsplit(".", 1)[-1]
        )
        action._templar = SimpleNamespace(template=lambda value: value)
        action.run_on_host = on_this_machine
        found: dict[str, Any] = action._look(self.variables)
        return found


def on_this_machine(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
    done = subprocess.run(list(argv), input=stdin, capture_output=True, check=False)
    return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_host_tells_all_at_once(machine: Machine) -> None:
    machine.answers = {
        "compose version": "2.26.1\n",
        "version": '{"Server": {"Version": "26.1.5", "ApiVersion": "1.45"}}\n',
        "image ls": "keeper:1\nstack:1\n",
        "volume ls": "token_data\n",
        "ps --all": "container|app|app-api-1|/srv||api|running||||Up\n",
        "network ls": "network|app|app_internal\n",
    }
    told = machine.act(docker_host_look, modules=["json", "no_such_module"])
    assert json.loads(told["docker"]["stdout"])["Server"]["Version"] == "26.1.5"
    assert told["compose"]["stdout"] == "2.26.1\n"
    assert told["modules"] == {"json": True, "no_such_module": False}
    assert (told["images"], told["volumes"]) == (["keeper:1", "stack:1"], ["token_data"])
    assert told["listing"][:2] == ["engine|1.45", "compose|2.26.1"]
    assert [line.split("|")[2] for line in told["listing"][2:]] == ["app-api-1", "app_internal"]
    assert told["changed"] is False


def test_a_host_without_docker_is_an_answer(machine: Machine) -> None:
    told = machine.act(docker_host_look, docker_cli="/no/such/docker")
    assert told["docker"]["rc"] == told["compose"]["rc"] == 127
    assert told.keys() == {"changed", "docker", "compose", "modules"}


@pytest.mark.parametrize(
    ("silent", "unknown"),
    [("image ls", "images"), ("volume ls", "volumes"), ("ps --all", "listing"), ("network ls", "listing")],
)
def test_what_the_engine_does_not_tell_is_not_taken_for_nothing(machine: Machine, silent: str, unknown: str) -> None:
    machine.answers = {"version": "{}", "image ls": "a:1\n", "volume ls": "b\n", "ps --all": "c\n", "network ls": "d\n"}
    del machine.answers[silent]
    told = machine.act(docker_host_look)
    assert {"images", "volumes", "listing"} - told.keys() == {unknown}


def test_a_role_that_looks_for_itself_sees_the_same() -> None:
    """One reads what the other has listed."""
    known = yaml.safe_load((Path(__file__).resolve().parents[3] / "roles/app_stack/vars/main.yml").read_text())
    listing = known["__app_stack_listing"].removeprefix("{% raw %}").removesuffix("{% endraw %}").strip()
    versions = ["engine|{{.Server.APIVersion}}", "compose|%s\\n"]
    assert [word for word in shlex.split(listing) if "|" in word] == [*versions, host_look.CONTAINER, host_look.NETWORK]


@pytest.mark.parametrize("namespace", ["", "ansible.legacy."])
def test_a_volume_is_looked_at_by_the_host_s_own_python(machine: Machine, namespace: str) -> None:
    machine.answers = {"volume inspect": '[{"Name": "vol", "Mountpoint": "/there"}]', "run --rm": json.dumps(status(7))}
    told = machine.act(token_volume_info, namespace, volume="vol", image="keeper:1")
    assert (told["changed"], told["volume_exists"], told["status"]["generation"]) == (False, True, 7)


def test_tokens_of_a_host_are_looked_at_by_its_own_python(machine: Machine) -> None:
    machine.answers = {
        "volume inspect": '[{"Name": "vol", "Mountpoint": "/there"}]',
        "run --rm": json.dumps(status(7)),
        "ps": "",
    }
    told = machine.act(token_status_info, tokens=[{"name": "a", "volume": "vol"}], image="keeper:1")
    assert [one["status"]["generation"] for one in told["tokens"]] == [7]


def test_the_interpreter_may_have_words_after_it(machine: Machine) -> None:
    machine.variables = {"ansible_python_interpreter": f"/usr/bin/env {sys.executable} -s"}
    machine.answers = {"version": "{}"}
    assert machine.act(docker_host_look, modules=["json"])["modules"] == {"json": True}


def test_an_empty_interpreter_is_none(machine: Machine) -> None:
    facts = {"discovered_interpreter_python": sys.executable}
    machine.variables = {"ansible_python_interpreter": "", "ansible_facts": facts}
    machine.answers = {"version": "{}"}
    assert machine.act(docker_host_look, modules=["json"])["modules"] == {"json": True}


def test_the_interpreter_is_that_of_modules_where_the_inventory_names_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$2" >{tmp_path}/begun; exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("ANSIBLE_PYTHON_INTERPRETER", str(python))
    machine.variables = {}
    machine.answers = {"version": "{}"}
    machine.act(docker_host_look)
    assert (tmp_path / "begun").exists()


def test_what_is_not_asked_for_is_not_told(machine: Machine) -> None:
    machine.answers = {"version": "{}"}
    told = machine.act(docker_host_look, compose=False, state=False)
    assert told.keys() == {"changed", "docker", "modules"}


def test_a_host_without_python_says_so() -> None:
    action = docker_host_look.ActionModule.__new__(docker_host_look.ActionModule)
    action._templar = SimpleNamespace(template=lambda value: value)
    action.run_on_host = lambda *_: Completed(127, "", "sh: 1: python3: not found")
    with pytest.raises(ModuleFailure, match=r"python3 on the Docker host did not answer.*not found"):
        action.look_on_host(docker_host_look._PROGRAM, {}, {})


def test_a_sudo_that_runs_nothing_says_so() -> None:
    """Ansible's wait for a prompt swallows what it says."""
    action = docker_host_look.ActionModule.__new__(docker_host_look.ActionModule)
    action._templar = SimpleNamespace(template=lambda value: value)
    action._connection = SimpleNamespace(become=SimpleNamespace(name="sudo"))
    action.run_on_host = lambda *_: Completed(1, "", "")
    with pytest.raises(ModuleFailure, match=r"sudo ran nothing on the Docker host.*sudo -l"):
        action.look_on_host(docker_host_look._PROGRAM, {}, {})


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"{}[1]", "LookFailed"),
        (b"import warnings; warnings.warn('before it'); [][1]", "LookFailed"),
        (b"raise RuntimeError('two\\nImportError: lines')", "LookFailed"),
        (b"import no_such_module", "PythonUnsuitable"),
        (b"raise ImportError('of two\\nlines')", "PythonUnsuitable"),
        (b"import zipimport; raise zipimport.ZipImportError", "PythonUnsuitable"),
        (b"match = = 1", "PythonUnsuitable"),
        (b"raise MemoryError", "LookFailed"),
        (b"open('/proc/1/nowhere')", "LookFailed"),
    ],
)
def test_a_fault_of_the_program_is_not_the_host_s(program: bytes, reason: str) -> None:
    action = docker_host_look.ActionModule.__new__(docker_host_look.ActionModule)
    action._templar = SimpleNamespace(template=lambda value: value)
    action.run_on_host = on_this_machine
    with pytest.raises(ModuleFailure) as raised:
        action.look_on_host(program, {}, {"ansible_python_interpreter": sys.executable})
    assert raised.value.reason == reason


def test_a_python_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert controller._OLDEST == (3, 9), "as the documentation and the message have it"
    monkeypatch.setattr(controller, "_OLDEST", (9, 1))
    action = docker_host_look.ActionModule.__new__(docker_host_look.ActionModule)
    action._templar = SimpleNamespace(template=lambda value: value)
    action.run_on_host = on_this_machine
    own = ".".join(map(str, sys.version_info[:2]))
    with pytest.raises(
        ModuleFailure, match=rf"did not answer \(exit code 1\): it is Python {own} \(install Python 3.9"
    ):
        action.look_on_host(b"", {}, {"ansible_python_interpreter": sys.executable})


def test_what_a_login_prints_before_it_is_no_answer() -> None:
    """Nor does Ansible take it for one, of a module."""
    action = docker_host_look.ActionModule.__new__(docker_host_look.ActionModule)
    action._templar = SimpleNamespace(template=lambda value: value)
    action.run_on_host = lambda *_: Completed(0, 'Welcome back, "operator".\n\n{"modules": {}}\n', "")
    assert action.look_on_host(docker_host_look._PROGRAM, {}, {}) == {"modules": {}}


def test_what_lies_in_the_folder_of_whoever_logs_in_is_not_python_s(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look may run as root, and where a connection begins is the user's own folder."""
    home = tmp_path / "home"
    (home / "no_such_module").mkdir(parents=True)
    (home / "subprocess.py").write_text("raise SystemExit('not the real one')\n")
    monkeypatch.chdir(home)
    assert machine.act(docker_host_look, modules=["no_such_module"])["modules"] == {"no_such_module": False}


def deployed(machine: Machine, folder: Path, running: Sequence[str] = RUNNING, **services: Any) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    file = folder / "compose.yml"
    file.write_text(COMPOSE)
    file.chmod(0o644)
    machine.answers = {
        "config --format json": json.dumps({"services": {**SERVICES, **services}, "networks": NETWORKS}),
        "config --hash *": "api aaaa\ncelery cccc\n",
        "image ls": "stack:1|sha256:1\nother:1|sha256:2\n",
        "ps --all": "\n".join(running),
    }


def look(machine: Machine, folder: Path, content: str = COMPOSE) -> dict[str, Any]:
    return machine.act(compose_look, project="app", folder=str(folder), content=content)


def test_a_project_as_its_file_would_make_it_has_nothing_against_it(machine: Machine, tmp_path: Path) -> None:
    deployed(machine, tmp_path / "app")
    assert look(machine, tmp_path / "app") == {"changed": False, "folder": True, "file": True, "objections": []}


@pytest.mark.parametrize(
    ("running", "because"),
    [
        (RUNNING[:2], "celery has 1 of 2 containers"),
        ([*RUNNING, RUNNING[2].replace("-2", "-3")], "celery has 3 of 2 containers"),
        ([RUNNING[0].replace("aaaa", "bbbb"), *RUNNING[1:]], "app-api-1 has another configuration"),
        ([RUNNING[0].replace("sha256:1", "sha256:2"), *RUNNING[1:]], "app-api-1 has another image"),
        ([RUNNING[0].replace("healthy", "unhealthy"), *RUNNING[1:]], "app-api-1 is not well: Up 5 minutes (unhealthy)"),
        ([RUNNING[0].replace("healthy", "health: starting"), *RUNNING[1:]], "app-api-1 is not well"),
        ([*RUNNING[:2], RUNNING[2].replace("running", "paused")], "app-celery-2 is not well"),
        ([*RUNNING[:2], RUNNING[2].replace("outer,", "")], "app-celery-2 is not in all of its networks"),
        ([*RUNNING, "app-old-1|running|Up||old|dddd|sha256:1|False"], "app-old-1 is of no service"),
    ],
)
def test_whatever_compose_would_change_is_told(
    machine: Machine, tmp_path: Path, running: list[str], because: str
) -> None:
    deployed(machine, tmp_path / "app", running)
    (objection,) = look(machine, tmp_path / "app")["objections"]
    assert objection.startswith(because)


def test_a_container_that_compose_ran_once_counts_for_nothing(machine: Machine, tmp_path: Path) -> None:
    deployed(machine, tmp_path / "app", [*RUNNING, "app-api-run-1|exited|Exited (0)||api|eeee|sha256:1|True"])
    assert look(machine, tmp_path / "app")["objections"] == []


def test_an_image_that_may_be_renewed_is_left_to_compose(machine: Machine, tmp_path: Path) -> None:
    deployed(machine, tmp_path / "app", api={**SERVICES["api"], "pull_policy": "always"})
    assert look(machine, tmp_path / "app")["objections"] == ["api may have a newer image"]


@pytest.mark.parametrize(
    ("spoil", "folder", "file"),
    [
        (lambda app: (app / "compose.yml").write_text("services: {other: {}}\n"), True, False),
        (lambda app: (app / "compose.yml").chmod(0o666), True, False),
        (lambda app: (app / "compose.yml").unlink(), True, False),
        (lambda app: app.chmod(0o777), False, True),
    ],
)
def test_a_file_that_has_to_be_written_is_no_file_to_go_by(
    machine: Machine, tmp_path: Path, spoil: Any, folder: bool, file: bool
) -> None:
    app = tmp_path / "app"
    deployed(machine, app)
    spoil(app)
    told = look(machine, app)
    assert (told["folder"], told["file"]) == (folder, file)
    assert told["objections"]
    assert stat.S_ISDIR(app.stat().st_mode), "it has changed nothing"


def test_a_docker_command_that_fails_leaves_it_to_compose(machine: Machine, tmp_path: Path) -> None:
    deployed(machine, tmp_path / "app")
    del machine.answers["image ls"]
    assert look(machine, tmp_path / "app")["objections"] == ["the docker command failed"]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("config --format json", "not JSON"),
        ("config --format json", "{}"),
        ("config --hash *", "api aaaa of another kind\n"),
        ("ps --all", "app-api-1|running|Up|a|label|with|bars|in|it\n"),
    ],
)
def test_an_answer_that_is_not_understood_leaves_it_to_compose(
    machine: Machine, tmp_path: Path, asked: str, answer: str
) -> None:
    deployed(machine, tmp_path / "app")
    machine.answers[asked] = answer
    (objection,) = look(machine, tmp_path / "app")["objections"]
    assert objection.startswith("the docker command said something unknown")


def test_files_beside_it_that_compose_takes_as_well_are_left_to_compose(machine: Machine, tmp_path: Path) -> None:
    deployed(machine, tmp_path / "app")
    # What it tells of one file is asked for first: of the folder, it tells what an override makes of it
    machine.answers = {"/compose.yml config --hash *": machine.answers["config --hash *"], **machine.answers}
    machine.answers["config --hash *"] = "api oooo\ncelery cccc\n"
    assert look(machine, tmp_path / "app")["objections"] == ["app-api-1 has another configuration"]


def test_the_content_itself_is_not_sent(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        sys.modules[__name__], "on_this_machine", lambda argv, _: sent.extend(argv) or Completed(0, "{}", "")
    )
    look(machine, tmp_path / "app")
    assert COMPOSE not in " ".join(sent)
    assert hashlib.sha256(COMPOSE.encode()).hexdigest() in " ".join(sent)


def test_a_volume_that_was_seen_to_be_right_is_not_asked_again(docker: Docker) -> None:
    outcome = volume.present(docker.helper, "0700", check_mode=False, seen=status()).as_result()
    assert (outcome["changed"], outcome["reason"], outcome["generation"]) == (False, "Unchanged", 3)
    assert docker.verbs() == []


@pytest.mark.parametrize("seen", [status(0, volume=FRESH, document=NOTHING), status(0, document=NOTHING), {}])
def test_a_volume_that_was_seen_to_need_something_is_asked(docker: Docker, seen: dict[str, Any]) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status())])
    assert not volume.present(docker.helper, "0700", check_mode=False, seen=seen).changed
    assert docker.verbs() == ["status"]
