"""From a bare host to an engine with images: what is there is left alone, what is missing is named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deployment import PLAYBOOK, ROOT, Run

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="starts an engine of its own, or becomes another user: takes root"
)
IMAGES = "token-keeper-demo"


@dataclass(frozen=True)
class Bootstrap:
    """Runs playbooks against this machine from a folder of the test's own."""

    folder: Path

    def play(
        self,
        *roles: str,
        variables: dict[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
        path: Path | None = None,
    ) -> Run:
        """Apply `roles` with `variables`; `path` takes the place of PATH, `prefix` stands before the command."""
        playbook = self.folder / "play.yml"
        entries = []
        for role in roles:
            name, _, tasks = role.partition(":")
            entry = {"name": name} | ({"tasks_from": tasks} if tasks else {})
            entries.append({"name": role, "ansible.builtin.include_role": entry})
        playbook.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "tasks": entries}]))
        # One a user: Ansible's own folders belong to whoever ran it first
        home = self.folder / f"home-{prefix[0] if prefix else 'own'}"
        home.mkdir(exist_ok=True)
        home.chmod(0o777)
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_LOCAL_TEMP": str(home / "local"),
            "ANSIBLE_REMOTE_TEMP": str(home / "remote"),
            "HOME": str(home),
            "PATH": str(path or os.environ["PATH"]),
        }
        command = [*prefix, PLAYBOOK, "-i", str(ROOT / "inventory/demo"), str(playbook), *arguments]
        command += ["--extra-vars", json.dumps({"images_prefix": IMAGES} | (variables or {}))]
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


@pytest.fixture
def bootstrap(tmp_path: Path) -> Bootstrap:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)  # other users find their way
    return Bootstrap(tmp_path)


def as_nobody(group: int = NOBODY) -> tuple[str, ...]:
    """A user without rights, but for reading: the checkout and its Python may lie in root's home."""
    read = "+dac_read_search"
    return (
        *("setpriv", f"--reuid={NOBODY}", f"--regid={group}", "--clear-groups", "--no-new-privs"),
        *(f"--inh-caps=-all,{read}", f"--ambient-caps=-all,{read}", f"--bounding-set=-all,{read}"),
    )


def commands_without(folder: Path, *missing: str) -> Path:
    """A folder with the system's commands but for `missing`."""
    folder.mkdir()
    for source in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for command in Path(source).iterdir():
            if command.name not in missing and not (folder / command.name).exists():
                (folder / command.name).symlink_to(command)
    return folder


def fake_docker(folder: Path, script: str) -> Path:
    """A folder with the system's commands, and a docker command that answers as `script` says."""
    commands = commands_without(folder, "docker", "dockerd")
    docker = commands / "docker"
    docker.write_text(f"#!/bin/sh\n{script}\n")
    docker.chmod(0o755)
    return commands


def version_answer(engine: str | None, context: str = "default") -> str:
    answer: dict[str, Any] = {"Client": {"Version": "28.0.0", "Context": context}}
    if engine:
        answer["Server"] = {"Version": engine}
    return json.dumps(answer)


# --- nothing to do


def test_a_second_run_changes_nothing(bootstrap: Bootstrap) -> None:
    bootstrap.play("docker_host", "images").succeeded()
    again = bootstrap.play("docker_host", "images").succeeded()
    assert again.changed == 0
    assert "apt" not in again.output


@AS_ROOT
def test_a_user_in_the_docker_group_needs_no_root(bootstrap: Bootstrap) -> None:
    bootstrap.play("docker_host", "images").succeeded()
    run = bootstrap.play(
        *("docker_host", "images"),
        path=commands_without(bootstrap.folder / "bin", "sudo", "su"),
        prefix=as_nobody(group=Path("/var/run/docker.sock").stat().st_gid),
    )
    assert run.succeeded().changed == 0


def test_names_alone_ask_the_engine_nothing(bootstrap: Bootstrap) -> None:
    commands = fake_docker(bootstrap.folder / "bin", "echo the engine was asked >&2; exit 1")
    run = bootstrap.play(
        "images:names", path=commands, variables={"docker_host_socket": "/nonexistent"}, arguments=("-v",)
    )
    assert run.succeeded().changed == 0
    for image in ("keeper", "stack", "sandbox", "redis"):
        assert f"images_{image}: {IMAGES}-{image}:" in run.output


def test_check_mode_says_which_images_would_be_built(bootstrap: Bootstrap) -> None:
    run = bootstrap.play("images", variables={"images_prefix": "tk-bootstrap"}, arguments=("--check",)).succeeded()
    for image in ("base", "redis-base", "keeper", "stack", "sandbox", "redis"):
        assert f"msg: tk-bootstrap-{image}:" in run.output
    assert run.changed == 2
    listed = subprocess.run(
        ["docker", "image", "ls", "-q", "tk-bootstrap-*"], capture_output=True, text=True, check=True
    )
    assert listed.stdout == ""


def test_the_sandbox_is_built_only_where_it_is_enabled(bootstrap: Bootstrap) -> None:
    run = bootstrap.play(
        "images", variables={"images_prefix": "tk-bootstrap", "sandbox_enabled": False}, arguments=("--check",)
    ).succeeded()
    assert "msg: tk-bootstrap-stack:" in run.output
    assert "msg: tk-bootstrap-sandbox:" not in run.output


def test_a_preset_image_is_not_built(bootstrap: Bootstrap) -> None:
    bootstrap.play("images").succeeded()
    preset = subprocess.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{IMAGES}-redis"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]
    run = bootstrap.play(
        "images",
        variables={"images_prefix": "tk-bootstrap", "images_build": ["redis"], "images_redis": preset},
        arguments=("-v",),
    ).succeeded()
    assert run.changed == 0
    assert f"images_redis: {preset}" in run.output


# --- what is missing is named, before anything is changed


@pytest.mark.parametrize(
    ("docker", "message"),
    [
        (
            f"echo '{version_answer('19.03.15')}'",
            "Docker Engine 19.03.15 is too old: 20.10 or later is needed. Upgrade it by the way it was installed",
        ),
        (
            f"echo '{version_answer('26.1.5', context='rootless')}'",
            "the docker command uses the context rootless, which Ansible's modules do not follow. Name its socket",
        ),
    ],
    ids=["too old", "other context"],
)
def test_an_engine_that_will_not_do(bootstrap: Bootstrap, docker: str, message: str) -> None:
    run = bootstrap.play("docker_host", path=fake_docker(bootstrap.folder / "bin", docker))
    assert run.code != 0
    assert run.changed == 0
    assert message in run.text


def test_a_compose_that_is_too_old_and_may_not_be_replaced(bootstrap: Bootstrap) -> None:
    script = f"if [ $1 = compose ]; then echo 2.3.1; else echo '{version_answer('26.1.5')}'; fi"
    run = bootstrap.play(
        "docker_host",
        path=fake_docker(bootstrap.folder / "bin", script),
        variables={"docker_host_install": False},
    )
    assert run.code != 0
    assert run.changed == 0
    assert "this run may not use (docker_host_install is false): install Docker Compose v2." in run.text
    assert "Nothing was changed." in run.text


def test_a_distribution_that_is_not_known(bootstrap: Bootstrap) -> None:
    run = bootstrap.play(
        "docker_host",
        path=commands_without(bootstrap.folder / "bin", "docker", "dockerd"),
        variables={"__docker_host_distribution": "Fedora"},
    )
    assert run.code != 0
    assert run.changed == 0
    assert "this is Fedora on" in run.text
    assert "Docker is installed here on Debian and Ubuntu only. Install Docker Engine 20.10 or later" in run.text


@AS_ROOT
def test_too_little_space(bootstrap: Bootstrap) -> None:
    run = bootstrap.play(
        "docker_host",
        path=commands_without(bootstrap.folder / "bin", "docker", "dockerd"),
        variables={"docker_host_disk_mib": 10**9},
    )
    assert run.code != 0
    assert run.changed == 0
    assert "MiB are free below /var/lib, and installing Docker Engine asks for 1000000000 MiB. Make room" in run.text


@AS_ROOT
def test_check_mode_on_a_bare_host_says_what_it_would_do_and_ends(bootstrap: Bootstrap) -> None:
    commands = commands_without(bootstrap.folder / "bin", "docker", "dockerd")
    run = bootstrap.play("docker_host", "images", path=commands, arguments=("--check",)).succeeded()
    assert run.changed == 1
    for sentence in ("install Docker Engine", "install Docker Compose v2", "start the engine"):
        assert f"msg: {sentence}" in run.output
    assert "TASK [images" not in run.output


@AS_ROOT
@pytest.mark.parametrize(
    ("docker", "message"),
    [
        (
            None,
            "install Docker Engine, install Docker Compose v2, start the engine. Install Docker Engine 20.10 or later",
        ),
        (
            f"echo '{version_answer(None)}'; [ $1 = compose ] && echo 2.30.0 && exit; "
            "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1",
            "The engine runs, but nobody may not talk to it: run `sudo usermod -aG docker nobody` and log in again.",
        ),
    ],
    ids=["nothing there", "not in the group"],
)
def test_without_root(bootstrap: Bootstrap, docker: str | None, message: str) -> None:
    folder = bootstrap.folder / "bin"
    commands = fake_docker(folder, docker) if docker else commands_without(folder, "docker", "dockerd")
    run = bootstrap.play("docker_host", path=commands, prefix=as_nobody())
    assert run.code != 0
    assert run.changed == 0
    assert "this takes root, which the user nobody does not have" in run.text
    assert message in run.text
    assert "Nothing was changed." in run.text


@AS_ROOT
def test_a_base_without_registry_root_or_mmdebstrap(bootstrap: Bootstrap) -> None:
    run = bootstrap.play(
        "images",
        path=commands_without(bootstrap.folder / "bin", "mmdebstrap", "sudo"),
        prefix=as_nobody(group=Path("/var/run/docker.sock").stat().st_gid),
        variables={"images_prefix": "tk-bootstrap", "images_base_source": "mmdebstrap"},
    )
    assert run.code != 0
    assert run.changed == 0
    assert "there is no mmdebstrap here to make base images with" in run.text
    assert "Run `sudo apt-get install mmdebstrap uidmap` on Debian or Ubuntu" in run.text


@AS_ROOT
@pytest.mark.parametrize(
    ("docker", "message"),
    [
        (None, "- Docker Engine 20.10 or later with Compose v2"),
        ("echo 'permission denied' >&2; exit 1", "- the right to talk to the engine: sudo usermod -aG docker nobody"),
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "- a running engine: sudo systemctl start docker"),
        ("[ $1 = version ]", "- Docker Compose v2"),
    ],
    ids=["no engine", "not in the group", "stopped", "no compose"],
)
def test_make_stops_before_it_makes_an_environment(tmp_path: Path, docker: str | None, message: str) -> None:
    folder = tmp_path / "bin"
    commands = fake_docker(folder, docker) if docker else commands_without(folder, "docker", "dockerd")
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    shutil.copytree(ROOT / "requirements", checkout / "requirements")
    shutil.copy(ROOT / "Makefile", checkout)
    os.chown(checkout, NOBODY, NOBODY)
    run = subprocess.run(
        [*as_nobody(), "make", "demo"],
        cwd=checkout,
        env={"PATH": str(commands), "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "not installed for you because nobody is not root" in run.stderr
    assert message in run.stderr
    assert "Nothing was changed." in run.stderr
    assert {entry.name for entry in checkout.iterdir()} == {"Makefile", "requirements", "scripts"}


def test_an_engine_that_the_environment_names_is_not_replaced_by_another(
    bootstrap: Bootstrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    refused = bootstrap.play("docker_host")
    assert refused.code != 0
    assert refused.changed == 0
    assert "DOCKER_HOST names the engine at unix:///nonexistent.sock" in refused.text
    looking = bootstrap.play("docker_host:require")
    assert looking.code != 0
    assert "no Docker Engine answers: Cannot connect to the Docker daemon at unix:///nonexistent.sock" in looking.text
    assert "ansible-playbook playbooks/docker_host.yml" in looking.text


# --- an engine that isn't running


@dataclass(frozen=True)
class SecondEngine:
    """An engine beside the one that the tests use, with data of its own, and in a network namespace of its own.

    The namespace is no luxury: an engine without a bridge deletes docker0, whoever has made it.
    """

    bootstrap: Bootstrap
    folder: Path

    def play(self, role: str, variables: dict[str, Any] | None = None) -> Run:
        """Apply a role to it."""
        return self.bootstrap.play(role, variables=self.variables | (variables or {}), prefix=("unshare", "--net"))

    @property
    def variables(self) -> dict[str, Any]:
        """The role's variables for it."""
        return {
            "docker_host_supervision": "session",
            "docker_host_socket": str(self.folder / "docker.sock"),
            "docker_host_pid_file": str(self.folder / "docker.pid"),
            "docker_host_exec_root": str(self.folder / "exec"),
            "docker_host_log_file": str(self.folder / "dockerd.log"),
            "docker_host_started_file": str(self.folder / "started.pid"),
            "docker_host_engine_arguments": [
                f"--data-root={self.folder / 'data'}",
                *("--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"),
            ],
        }

    @property
    def pid(self) -> int:
        """Pid of its dockerd."""
        return int((self.folder / "docker.pid").read_text())

    def answers(self) -> bool:
        """Whether it talks on its socket."""
        command = ["docker", "--host", f"unix://{self.folder / 'docker.sock'}", "version"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def asked(self, template: str) -> str:
        """What it says of itself."""
        command = ["docker", "--host", f"unix://{self.folder / 'docker.sock'}", "info", "--format", template]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def kill(self) -> None:
        """End what is left of it, if anything."""
        for file, program in (("docker.pid", "dockerd"), ("exec/containerd/containerd.pid", "containerd")):
            try:
                pid = int((self.folder / file).read_text())
                if Path(f"/proc/{pid}/comm").read_text().strip() == program:
                    os.kill(pid, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError, ValueError):
                continue


@pytest.fixture
def second_engine(bootstrap: Bootstrap) -> Iterator[SecondEngine]:
    # A socket's path may not be longer than 107 bytes, and pytest's folders are
    folder = Path(tempfile.mkdtemp(prefix="tk-engine.", dir="/tmp"))
    engine = SecondEngine(bootstrap, folder)
    yield engine
    engine.kill()
    # An engine leaves its network namespaces mounted
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if (mounted := line.split()[4]).startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", mounted], check=True)
    shutil.rmtree(folder)


def main_engine() -> str:
    """What tells the engine that everyone uses from a restarted one."""
    command = ["docker", "info", "--format", "{{.ID}}"]
    pid, bridge = Path("/var/run/docker.pid"), Path("/sys/class/net/docker0/ifindex")
    state = "".join(path.read_text() for path in (pid, bridge) if path.exists())
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout + state


@AS_ROOT
def test_an_engine_is_started_found_again_killed_started_again_and_stopped(
    second_engine: SecondEngine,
) -> None:
    others = main_engine()
    # Leftovers of a killed engine: both pid files name a process that lives and is something else
    (second_engine.folder / "exec/containerd").mkdir(parents=True)
    for file in ("docker.pid", "exec/containerd/containerd.pid"):
        (second_engine.folder / file).write_text(str(os.getpid()))

    started = second_engine.play("docker_host").succeeded()
    assert started.changed == 1
    assert second_engine.answers()

    assert second_engine.play("docker_host").succeeded().changed == 0

    killed = second_engine.pid
    os.kill(killed, signal.SIGKILL)
    again = second_engine.play("docker_host").succeeded()
    assert again.changed == 1
    assert second_engine.pid != killed

    stopped = second_engine.play("docker_host:stop").succeeded()
    assert stopped.changed == 1
    assert not second_engine.answers()
    assert not (second_engine.folder / "docker.pid").exists()
    assert second_engine.play("docker_host:stop").succeeded().changed == 0
    assert main_engine() == others


@pytest.mark.long
@AS_ROOT
def test_the_engine_s_configuration_is_merged_with_what_is_there(second_engine: SecondEngine) -> None:
    file = second_engine.folder / "daemon.json"
    file.write_text('{"debug":   true, "log-opts": {"max-file": "5"}, "log-driver": "json-file"}')
    arguments = [*second_engine.variables["docker_host_engine_arguments"], f"--config-file={file}"]
    variables = {"docker_host_engine_arguments": arguments, "docker_host_daemon_file": str(file)}
    second_engine.play("docker_host", variables).succeeded()
    assert file.read_text().startswith('{"debug":   true'), "what needs no change keeps its form"
    begun = second_engine.pid

    variables["docker_host_daemon_options"] = {
        "labels": ["rack=3"],
        "log-opts": {"max-size": "7m"},
        "live-restore": True,
    }
    assert second_engine.play("docker_host", variables).succeeded().changed > 0
    assert json.loads(file.read_text()) == {
        "debug": True,
        "log-driver": "json-file",
        "log-opts": {"max-file": "5", "max-size": "7m"},
        "labels": ["rack=3"],
        "live-restore": True,
    }
    assert second_engine.asked("{{.LiveRestoreEnabled}} {{.Labels}}") == "true [rack=3]"
    restarted = second_engine.pid
    assert restarted != begun
    assert second_engine.play("docker_host", variables).succeeded().changed == 0

    variables["docker_host_daemon_options"] = {"labels": ["rack=4"]}
    second_engine.play("docker_host", variables).succeeded()
    assert second_engine.asked("{{.Labels}}") == "[rack=4]"
    assert second_engine.pid == restarted, "an option that can be reloaded takes no restart"

    before = file.read_text()
    variables["docker_host_daemon_options"] = {"storage-driver": "no-such-driver", "labels": ["rack=5"]}
    failed = second_engine.play("docker_host", variables)
    assert failed.code != 0
    assert "did not take" in failed.text
    assert "The earlier configuration is back" in failed.text
    assert json.loads(file.read_text()) == json.loads(before)
    assert second_engine.asked("{{.Labels}}") == "[rack=4]"

    file.write_text("{torn")
    failed = second_engine.play("docker_host", variables)
    assert "it is no JSON" in failed.text
    assert file.read_text() == "{torn"


@AS_ROOT
def test_an_engine_that_gives_up_is_quoted(second_engine: SecondEngine) -> None:
    arguments = [f"--data-root={second_engine.folder / 'data'}", "--storage-driver=no-such-driver"]
    run = second_engine.play("docker_host", {"docker_host_engine_arguments": arguments})
    assert run.code != 0
    assert "dockerd ended at once. The end of" in run.text
    assert "no-such-driver" in run.text


# --- an engine of another user


@pytest.fixture
def stand_in(bootstrap: Bootstrap) -> Iterator[Callable[..., dict[str, str]]]:
    """Starts a program that goes by the name of dockerd, and returns what makes the role take it for its own."""
    program = bootstrap.folder / "dockerd"
    shutil.copy("/bin/sleep", program)
    processes = []

    def start(*prefix: str) -> dict[str, str]:
        process = subprocess.Popen([*prefix, str(program), "300"])
        processes.append(process)
        while Path(f"/proc/{process.pid}/comm").read_text().strip() != "dockerd":
            time.sleep(0.01)
        folder = bootstrap.folder / "state"
        folder.mkdir()
        folder.chmod(0o777)
        started = folder / "started.pid"
        started.write_text(str(process.pid))
        return {"docker_host_started_file": str(started), "pid": str(process.pid)}

    yield start
    for process in processes:
        process.kill()
        process.wait()


@AS_ROOT
def test_an_engine_that_root_started_is_stopped_as_root(
    bootstrap: Bootstrap, stand_in: Callable[..., dict[str, str]]
) -> None:
    variables = stand_in(*as_nobody())
    commands = commands_without(bootstrap.folder / "bin", "sudo")
    called, becoming = bootstrap.folder / "called", bootstrap.folder / "root"
    called.touch()
    called.chmod(0o666)
    becoming.mkdir()
    for program, script in (
        (becoming / "id", "echo 0"),
        # all that root is for here: it says so, and what it was asked for is on record
        (
            commands / "sudo",
            f'echo "$*" >>{called}; until [ "$1" = /bin/sh ]; do shift; done; PATH={becoming}:$PATH "$@"',
        ),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    run = bootstrap.play("docker_host:stop", variables=variables, path=commands, prefix=as_nobody())
    assert run.succeeded().changed == 1
    # to see whether root can be had, and to stop
    assert len(called.read_text().splitlines()) == 2


@AS_ROOT
def test_who_may_not_stop_an_engine_is_told_who_may(
    bootstrap: Bootstrap, stand_in: Callable[..., dict[str, str]]
) -> None:
    variables = stand_in()
    commands = commands_without(bootstrap.folder / "bin", "sudo", "su")
    refused = bootstrap.play("docker_host:stop", variables=variables, path=commands, prefix=as_nobody())
    assert refused.code != 0
    assert refused.changed == 0
    pid = variables["pid"]
    assert (
        f"dockerd (pid {pid}) runs as root, and nobody may not stop it: run this as root, or sudo kill" in refused.text
    )
    assert Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"

    os.kill(int(pid), signal.SIGKILL)
    gone = bootstrap.play("docker_host:stop", variables=variables, path=commands, prefix=as_nobody())
    assert gone.succeeded().changed == 0


# --- what is in the images


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    run = Bootstrap(tmp_path_factory.mktemp("images")).play("images", arguments=("-v",)).succeeded()
    found = {}
    for line in run.output.splitlines():
        name, _, reference = line.strip().partition(": ")
        if name.startswith("images_") and reference.startswith(IMAGES):
            found[name.removeprefix("images_")] = reference
    return found


def in_image(reference: str, *command: str, user: str = "999:999") -> subprocess.CompletedProcess[str]:
    """Run a command in an image the way the kit runs containers: read-only, without rights, without a network."""
    hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none", "--pull=never"]
    entry, *arguments = command
    return subprocess.run(
        ["docker", "run", "--rm", *hardened, "--user", user, "--entrypoint", entry, reference, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("user", ["999:999", "12345:23456"])
@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("keeper", ("token-keeper", "--help")),
        ("stack", ("python", "-c", "import calendar_assistant, token_keeper, celery, fastapi")),
        ("sandbox", ("python", "-c", "import sandbox_provider")),
        ("redis", ("redis-server", "--version")),
    ],
)
def test_an_image_runs_hardened_as_any_user(
    references: dict[str, str], image: str, command: tuple[str, ...], user: str
) -> None:
    done = in_image(references[image], *command, user=user)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("image", ["keeper", "stack", "sandbox"])
def test_an_image_is_tidy(references: dict[str, str], image: str) -> None:
    config = json.loads(
        subprocess.run(
            ["docker", "image", "inspect", references[image]], capture_output=True, text=True, check=True
        ).stdout
    )[0]["Config"]
    assert config["User"] == "999:999"
    script = (
        "import pathlib, sys; site = pathlib.Path(sys.path[-1]); "
        "code = list(site.rglob('*.py')); "
        "compiled = {p.name.split('.')[0] for p in site.rglob('*.pyc')}; "
        "print(site.is_relative_to('/opt/venv'), (site / 'pip').exists(), pathlib.Path('/context').exists(), "
        "sum(p.stem not in compiled for p in code))"
    )
    done = in_image(references[image], "python", "-c", script, user="0:0")
    assert done.stdout.split() == ["True", "False", "False", "0"], done.stdout + done.stderr


def test_the_place_of_the_token_belongs_to_the_app(references: dict[str, str]) -> None:
    done = in_image(references["keeper"], "stat", "-c", "%u:%g %a", "/app/tokens")
    assert done.stdout.strip() == "999:999 700"
