"""Images that are built once on the controller, and come to each host by a registry or as an archive."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]
from module_utils.token_keeper_helper import host_images, image_building, image_source, places, registry_engine
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.image_building import Builder
from module_utils.token_keeper_helper.image_source import Source, checked
from module_utils.token_keeper_helper.process import Completed
from module_utils.token_keeper_helper.registry_engine import EngineError
from pretended import ROOT
from pretended_registry import PretendedDocker, executable, on_path

KEEPER, STACK = "kit-keeper:0123", "kit-stack:4567"
REGISTRY = "10.0.0.1:5000/kit"
PASSWORD = "pass-word-1"
# Behind one the host's way to the registry can't be judged before it has an engine, and nobody is asked
UNKNOWN = {"proxies": {"https-proxy": "http://proxy.example.com"}}


class Machines:
    """A controller and a host, with a registry that both reach; being called, it is the way to the host."""

    def __init__(self, folder: Path) -> None:
        self.controller = PretendedDocker(folder / "controller")
        self.host = PretendedDocker(folder / "host")
        self.built: list[list[str]] = []
        self.sent: list[tuple[list[str], bytes]] = []
        self.files: list[str] = []

    def __call__(self, argv: Sequence[str], stdin: bytes) -> Completed:
        # both reach one registry
        self.sent.append((list(argv), stdin))
        self.host.set(registry=self.controller.get("registry"))
        ended = subprocess.run([sys.executable, "-IS", *argv[1:]], input=stdin, capture_output=True, check=False)
        return Completed(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    @contextmanager
    def handed_over(self, file: Path) -> Iterator[str]:
        self.files.append(file.read_text())
        there = self.host.program.parent / "images.tar"
        shutil.copy(file, there)
        yield str(there)
        assert not there.exists(), "the host removes it as soon as it is loaded"

    def bring(self, *, check_mode: bool = False, **more: Any) -> dict[str, Any]:
        parameters = {
            "images": {"keeper": KEEPER, "stack": STACK},
            "state": "present",
            "registry": REGISTRY,
            "username": "",
            "password": "",
            "daemon_options": UNKNOWN,
            "disk_mib": 0,
            "docker_cli": str(self.host.program),
            **more,
        }
        host = host_images.Host("one", self, sys.executable, parameters)
        machines = self

        class Pretending(Builder):
            def build(self, names: list[str]) -> None:
                machines.built.append(names)
                machines.controller.has(*(machines_images[name] for name in names))

        machines_images = {"keeper": KEEPER, "stack": STACK}
        builder = Pretending(ROOT, {"images_keeper": KEEPER, "images_prefix": "kit"})
        with registry_engine.Engine([str(self.controller.program)]) as engine:
            return host_images.brought(host, Source(builder, parameters["images"], engine), check_mode=check_mode)

    def fails(self, **more: Any) -> ModuleFailure:
        with pytest.raises(ModuleFailure) as raised:
            self.bring(**more)
        return raised.value

    def unchanged(self) -> bool:
        return not self.host.get("images") and not self.built and "push" not in self.controller.verbs()


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    made = Machines(tmp_path)
    monkeypatch.setenv("PATH", on_path(made.controller.program.parent))
    return made


def test_what_nobody_has_is_built_and_pushed_once_and_pulled_by_digest(machines: Machines) -> None:
    first = machines.bring()
    assert machines.built == [["keeper", "stack"]]
    assert first["changed"]
    assert first["pushed"] == [KEEPER, STACK]
    assert [image["source"] for image in first["images"]] == [
        f"{REGISTRY}/kit-keeper@sha256:0123",
        f"{REGISTRY}/kit-stack@sha256:4567",
    ]
    assert {KEEPER, STACK} < set(machines.host.get("images"))
    # a second host: nothing is built or pushed
    machines.host.set(images={})
    second = machines.bring()
    assert (machines.built, second["pushed"]) == ([["keeper", "stack"]], [])
    assert machines.controller.verbs().count("push") == 2


def test_a_host_that_has_them_is_given_nothing_and_nobody_is_asked(machines: Machines) -> None:
    machines.host.has(KEEPER, STACK)
    assert machines.bring() == {"changed": False, "reason": "Present", "images": [], "pushed": []}
    assert machines.host.verbs() + machines.controller.get("asked") == []


def test_only_what_the_host_lacks_is_pulled(machines: Machines) -> None:
    machines.host.has(KEEPER)
    told = machines.bring()
    assert [image["name"] for image in told["images"]] == [STACK]


def test_a_tag_that_was_moved_changes_nothing_for_a_host(machines: Machines) -> None:
    machines.bring()
    machines.host.set(images={})
    registry = machines.controller.get("registry")
    registry[f"{REGISTRY}/kit-keeper:0123"] = ["sha256:evil", "amd64"]
    registry[f"{REGISTRY}/kit-keeper@sha256:evil"] = ["sha256:evil", "amd64"]
    machines.controller.set(registry=registry)
    told = machines.bring()
    assert told["images"][0]["source"] == f"{REGISTRY}/kit-keeper@sha256:0123"
    assert (machines.built, told["pushed"]) == ([["keeper", "stack"]], [])


def test_what_was_removed_from_the_registry_is_pushed_again(machines: Machines) -> None:
    machines.bring()
    machines.host.set(images={})
    machines.controller.set(registry={})
    assert machines.bring()["pushed"] == [KEEPER, STACK]
    assert len(machines.built) == 1


def test_the_stack_is_built_on_the_keeper_that_hosts_have(machines: Machines) -> None:
    machines.bring()
    machines.controller.set(images={}, registry={
        name: digest for name, digest in machines.controller.get("registry").items() if "keeper" in name
    })  # fmt: skip
    machines.host.set(images={})
    machines.bring(images={"stack": STACK})
    assert f"{REGISTRY}/kit-keeper@sha256:0123" in machines.controller.get("images"), "it came from the registry"
    assert machines.built[-1] == ["keeper", "stack"], "the role leaves what is there as it is"


def test_check_mode_looks_and_says_what_would_be(machines: Machines) -> None:
    told = machines.bring(check_mode=True)
    assert (told["changed"], told["reason"]) == (True, "WouldBring")
    assert f"{KEEPER}: would be pulled from {REGISTRY}" in told["would"]
    assert machines.unchanged()
    machines.bring()
    machines.host.set(images={})
    assert not [line for line in machines.bring(check_mode=True)["would"] if "pushed" in line]


def test_the_password_goes_on_stdin_to_the_host_and_the_controller_does_without(machines: Machines) -> None:
    told = machines.bring(username="puller", password=PASSWORD)
    assert PASSWORD not in json.dumps(told)
    for argv, stdin in machines.sent:
        assert PASSWORD not in " ".join(argv)
        assert PASSWORD.encode() in stdin
    assert {shown.get("password") for *_, shown in machines.host.get("asked") if shown is not None} == {PASSWORD}
    assert all(not shown for *_, shown in machines.controller.get("asked"))


@pytest.mark.parametrize(
    ("said", "reason", "advice"),
    [
        ("dial tcp 10.0.0.1:5000: connect: connection refused", "Unreachable", "has a way to 10.0.0.1:5000"),
        ("unauthorized: authentication required", "Unauthorized", "docker login 10.0.0.1:5000"),
        ("x509: certificate signed by unknown authority", "Untrusted", "/etc/docker/certs.d/10.0.0.1:5000/ca.crt"),
        ("http: server gave HTTP response to HTTPS client", "PlainHttp", 'insecure-registries: ["10.0.0.1:5000"]'),
    ],
)
@pytest.mark.parametrize("where", ["controller", "host"])
def test_a_registry_that_refuses_is_told_before_anything_is_changed(
    machines: Machines, where: str, said: str, reason: str, advice: str
) -> None:
    (machines.controller if where == "controller" else machines.host).set(refuses=[500, said])
    failure = machines.fails()
    assert failure.reason == reason
    assert failure.message.startswith("the controller: " if where == "controller" else "one: ")
    assert said in failure.message
    assert advice in failure.remedy
    assert "Nothing was changed on one" in failure.remedy
    assert machines.unchanged()
    # before a host has an engine it is the same for the controller's part
    if where == "controller":
        assert machines.fails(state="possible").reason == reason


@pytest.mark.parametrize("registry", [REGISTRY, ""])
@pytest.mark.parametrize("state", ["present", "possible"])
def test_a_host_of_another_architecture_is_told_before_anything_is_built(
    machines: Machines, registry: str, state: str
) -> None:
    machines.host.set(architecture="arm64")
    failure = machines.fails(registry=registry, state=state)
    assert failure.reason == "WrongArchitecture"
    assert "one is arm64, and what the controller builds is for amd64" in failure.message
    assert machines.unchanged()


def test_images_of_the_registry_that_are_for_another_architecture_are_told(machines: Machines) -> None:
    machines.controller.set(registry={f"{REGISTRY}/kit-keeper:0123": ["sha256:1", "arm64"]})
    assert f"one is amd64, and {KEEPER} is for arm64" in machines.fails().message
    assert machines.unchanged()


@pytest.mark.parametrize("registry", [REGISTRY, ""])
def test_no_space_where_the_engine_keeps_its_data_is_told_first(machines: Machines, registry: str) -> None:
    failure = machines.fails(registry=registry, disk_mib=10**9)
    assert failure.reason == "NoSpace"
    assert "MiB are free in /, and the images ask for 1000000000 MiB" in failure.message
    assert machines.unchanged()


@pytest.mark.parametrize(
    ("registry", "reason", "kind", "advice"),
    [
        ("", "EngineUnreachable", "EngineLost", "run this again"),
        (REGISTRY, "EngineUnreachable", "EngineLost", "run this again"),
        ("", "NoSpace", "NoSpace", "make room there"),
        ("", "Refused", "EngineRefused", "correct what it names"),
        (REGISTRY, "WrongArchitecture", "WrongArchitecture", "without images_registry"),
    ],
)
def test_what_a_host_s_engine_stumbles_over_is_told_with_what_to_do(
    machines: Machines, registry: str, reason: str, kind: str, advice: str
) -> None:
    def work() -> None:
        raise EngineError(reason, "what it said")

    host = host_images.Host("one", machines, sys.executable, {"registry": registry})
    with pytest.raises(ModuleFailure, match=r"^one: .*what it said") as raised:
        host_images._on_host(host, work)
    assert raised.value.reason == kind
    assert advice in raised.value.remedy


def test_an_archive_needs_room_aside_as_well(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = {"root": "/data", "aside_free": 900, "aside_device": 1, "root_device": 1}
    host = host_images.Host("one", machines, sys.executable, {"registry": "", "disk_mib": 500})
    with pytest.raises(ModuleFailure, match="900 MiB are free in /var/tmp, on the disk that /data is on, and 901 MiB"):
        host_images._space_aside(host, looked, 401 * registry_engine.MIB)
    host_images._space_aside(host, looked, 400 * registry_engine.MIB)
    # on a disk of its own it needs its own size alone
    host_images._space_aside(host, {**looked, "root_device": 2}, 900 * registry_engine.MIB)
    with pytest.raises(ModuleFailure, match="900 MiB are free in /var/tmp, and 901 MiB are needed"):
        host_images._space_aside(host, {**looked, "root_device": 2}, 900 * registry_engine.MIB + 1)


def test_an_archive_has_what_the_host_lacks_and_is_gone_afterwards(machines: Machines, tmp_path: Path) -> None:
    machines.host.has(KEEPER)
    told = machines.bring(registry="")
    assert (told["reason"], [image["name"] for image in told["images"]]) == ("Loaded", [STACK])
    assert machines.files == [STACK]
    assert STACK in machines.host.get("images")
    assert told["bytes"] == len(STACK)
    (query,) = [query for _, path, query, _ in machines.host.get("asked") if path == "/images/load"]
    assert query["quiet"] == "0", "an engine that says nothing until it has loaded them is given up on a slow disk"


def test_no_space_on_the_controller_is_told(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    machines.controller.has(KEEPER, STACK, size=5 * registry_engine.MIB)
    usage = shutil.disk_usage("/")._replace(free=registry_engine.MIB)
    monkeypatch.setattr(image_source.shutil, "disk_usage", lambda _: usage)
    failure = machines.fails(registry="")
    assert "1 MiB are free in " in failure.message
    assert "on the controller, and the archive of the images takes about 5 MiB" in failure.message
    assert "TMPDIR" in failure.remedy
    assert machines.files == []


def test_a_controller_without_an_engine_says_so(machines: Machines) -> None:
    machines.controller.set(down=True)
    for registry in (REGISTRY, ""):
        failure = machines.fails(registry=registry)
        assert failure.reason == "EngineUnreachable"
        assert "Cannot connect to the Docker daemon" in failure.message


def test_a_host_without_an_engine_can_only_be_looked_at(machines: Machines) -> None:
    machines.host.set(down=True)
    assert machines.fails().message.startswith("one: no Docker Engine answers")
    told = machines.bring(registry="", state="possible")
    assert (told["changed"], told["reason"]) == (False, "WouldBring")
    assert machines.unchanged()


def test_a_host_without_a_python_says_so(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Machines, "__call__", lambda *_: Completed(127, "", "sh: 1: /usr/bin/python9: not found\n"), raising=True
    )
    assert "one: " in machines.fails().message
    assert "/usr/bin/python9: not found" in machines.fails().message
    assert machines.fails().remedy.startswith("correct what it names; "), "it may be sudo that refuses"


@pytest.mark.parametrize(
    "registry",
    ["https://registry.example.com/kit", "me/kit", "ann:secret@registry.example.com/kit", "registry.example.com/Kit"],
)
def test_what_names_no_registry_is_refused_and_not_repeated(registry: str) -> None:
    with pytest.raises(ModuleFailure) as raised:
        checked(registry)
    assert registry not in str(raised.value)


def test_half_a_login_is_refused() -> None:
    parameters = {"images": {"keeper": KEEPER}, "registry": REGISTRY, "username": "", "password": PASSWORD}
    with pytest.raises(ModuleFailure, match="images_registry_username is empty") as raised:
        host_images.sound(parameters)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("registry", ["registry.example.com", "10.0.0.1:5000/a/b-c", "localhost/kit", "host:5000/kit"])
def test_addresses_of_registries_are_understood(registry: str) -> None:
    assert checked(f"{registry}/") == registry


# --- what the controller builds


def test_the_role_builds_what_is_lacking_and_no_variable_is_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in place of the role: it writes down what it was told, and how it was called
    tasks = tmp_path / "roles" / "images" / "tasks"
    tasks.mkdir(parents=True)
    names = "[images_build, images_prefix, images_built_on, images_registry, ansible_connection, images_debian_mirror]"
    told = {"content": "{{ " + names + " | to_json }}", "dest": str(tmp_path / "told.json")}
    called = f"cat /proc/*/cmdline >{tmp_path}/called 2>/dev/null; ls -lR $TMPDIR >{tmp_path}/files"
    work = [{"ansible.builtin.copy": told}, {"ansible.builtin.shell": called}]
    (tasks / "main.yml").write_text(json.dumps(work))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(places.tempfile, "tempdir", None)
    # which no settings of its own may keep from being found
    monkeypatch.setenv("ANSIBLE_INVENTORY", "/nowhere")
    mirror = "http://ann:mirror-password@deb.example.com/debian"
    Builder(tmp_path, {"images_prefix": "kit", "images_debian_mirror": mirror}).build(["redis"])
    # the controller hands nothing to itself
    assert json.loads((tmp_path / "told.json").read_text()) == [["redis"], "kit", "host", "", "local", mirror]
    assert b"ansible" in (tmp_path / "called").read_bytes()
    assert b"mirror-password" not in (tmp_path / "called").read_bytes()
    assert "-rw------- " in (tmp_path / "files").read_text()
    assert list(temporary.iterdir()) == []


def test_a_build_that_fails_is_told_with_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_building.sys, "executable", "/bin/false")
    with pytest.raises(ModuleFailure, match="the controller could not build keeper, redis"):
        Builder(ROOT, {}).build(["keeper", "redis"])


def test_hosts_that_ask_at_the_same_time_take_turns(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    waiting = f"exec 9>{lock}; flock --nonblock 9"
    with image_building.turn(lock):
        assert subprocess.run(["sh", "-c", waiting], check=False).returncode == 1
    assert subprocess.run(["sh", "-c", waiting], check=False).returncode == 0


def test_the_controller_is_told_every_variable_that_a_name_depends_on() -> None:
    """One that was forgotten would have the controller build images of other names than the host asks for."""
    variables = yaml.safe_load((ROOT / "roles/images/vars/main.yml").read_text())["__images_variables"]
    defaults = set(yaml.safe_load((ROOT / "roles/images/defaults/main.yml").read_text()))
    transport = {"images_registry", "images_registry_username", "images_registry_password"}
    assert defaults - set(variables) == {"images_build", "images_built_on", *transport}


def test_the_sources_of_packages_are_no_argument(tmp_path: Path) -> None:
    """A mirror's address may hold a password."""
    tasks = yaml.safe_load((ROOT / "roles/images/tasks/bases_mmdebstrap.yml").read_text())
    task = next(each for each in tasks if "side by side" in each["name"])
    assert "__images_apt_lines" not in task["ansible.builtin.command"]["argv"]
    script = 'printf "%s\\n" "$1 $2 $3 $4" >>"$OUT"; tr "\\0" " " </proc/self/cmdline >>"$OUT"; [ "$1" != bad ]'
    argv = ["sh", "-c", task["vars"]["__images_side_by_side"], "bases", "trixie", "one", "p1,p2", "bad", "p3"]
    stdin = f"deb http://ann:secret-1@deb.example.com trixie main\ndeb other\n\n{script}"
    out = tmp_path / "out"
    environment = {"PATH": "/usr/bin:/bin", "OUT": str(out)}
    ended = subprocess.run(argv, input=stdin, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, "one of them failed"
    lines = out.read_text()
    assert "one trixie p1,p2 deb http://ann:secret-1@deb.example.com trixie main\ndeb other\n" in lines
    assert not [line for line in lines.splitlines() if line.startswith("sh -c") and "secret-1" in line]


def test_the_sources_of_packages_are_in_no_log_and_a_failure_is_told_without_a_password() -> None:
    tasks = yaml.safe_load((ROOT / "roles/images/tasks/bases_mmdebstrap.yml").read_text())
    shown = [task["name"] for task in tasks if "ansible.builtin.command" in task and not task.get("no_log")]
    assert shown == [], "modules write their arguments into the host's log"
    message = tasks[-1]["ansible.builtin.assert"]["fail_msg"]
    said = {"rc": 1, "stderr": "E: http://ann:secret-1@deb.example.com/debian is down", "msg": "non-zero return code"}
    for made, expected in [
        (said, "one: the bases could not be made from Debian packages: E: http://deb.example.com/debian is down"),
        ({"msg": "sudo: a password is required"}, "sudo: a password is required"),
    ]:
        variables = {"inventory_hostname": "one", "__images_bases_made": made}
        assert expected in Templar(DataLoader(), variables).template(trust_as_template(message))


def test_no_image_holds_the_password_of_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of mmdebstrap: it keeps the sources in the root, as the real one does, and runs what is hooked in."""
    root = tmp_path / "root"
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    bootstrap = f"""#!/bin/sh
for last; do :; done
cp "$last" {root}/etc/apt/sources.list
cp "$last" {root}/etc/apt/sources.list.d/0000more.list
for argument; do case $argument in
--customize-hook=*) sh -c "${{argument#*=}}" exec {root} ;;
esac; done
"""
    executable(tmp_path / "mmdebstrap", bootstrap)
    executable(tmp_path / "docker", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", on_path(tmp_path))
    sources = "deb http://ann:se@cret-1@deb.example.com/debian trixie main\ndeb http://deb.example.com/~a@b trixie main"
    script = ROOT / "roles/images/files/base_rootfs.sh"
    subprocess.run(["sh", str(script), "base:1", "trixie", "python3", sources], check=True)
    expected = "deb http://deb.example.com/debian trixie main\ndeb http://deb.example.com/~a@b trixie main\n"
    for file in ("sources.list", "sources.list.d/0000more.list"):
        assert (root / "etc/apt" / file).read_text() == expected
