"""Images that take their way through a real registry: pushed once, pulled by digest, and refusals that are told."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

import pytest
from deployment import ROOT, Run, docker
from hosts import Hosts, Wanted, hosts
from leaks import Sampler, forms, found_in
from module_tasks import play as play_tasks
from module_tasks import run_playbook
from registry import USER, Registry, registry

sys.path.insert(0, str(ROOT))  # the code that modules and action plugins share
from module_utils.token_keeper_helper.image_building import Builder
from module_utils.token_keeper_helper.image_source import Source
from module_utils.token_keeper_helper.registry_engine import Engine

PREFIX = "tk-registry"
PORT = 28390
TRUST = Path("/etc/docker/certs.d")

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_a_host_gets_what_was_pushed_though_its_tag_was_moved(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one engine, which is the controller's and then the host's; this machine's own address needs no TLS."""
    password = token_hex(16)
    name, reference = f"{PREFIX}-short-keeper", f"{PREFIX}-short-keeper:1"
    with registry(tmp_path, image, f"{PREFIX}-local", port=PORT, tls=False, password=password) as there:
        for variable, value in there.login(tmp_path / "login").items():
            monkeypatch.setenv(variable, value)
        into = f"{there.address}/kit"
        try:
            ours, theirs = little(reference, "ours"), little(f"{name}:2", "theirs")
            with Engine() as engine, there.during() as asked:
                source = Source(Builder(ROOT, {}), {"short": reference}, engine)
                pinned, pushed = source.pushed(into)
                assert pushed == [reference]
                assert source.pushed(into) == (pinned, []), "what is there is not pushed"
                Source(Builder(ROOT, {}), {"short": f"{name}:2"}, engine).pushed(into)
            # a layer, a configuration and a manifest of each
            assert 0 < [each.method for each in asked].count("PUT") <= 6
            there.move(f"kit/{name}", "1", *there.manifest(f"kit/{name}", "2"))
            with Engine() as engine:
                assert source_of(engine, reference).found(into) == pinned, "the controller knows what it has pushed"
            docker("rmi", reference, f"{name}:2", f"{into}/{name}:1", f"{into}/{name}:2")
            assert not docker("images", "--quiet", "--filter", f"reference={name}")

            # the host, over SSH, by the user that the vault names
            monkeypatch.delenv("DOCKER_CONFIG")
            request = {"repository": pinned[reference].repository, "digest": pinned[reference].digest}
            with Engine(given=(USER, password)) as engine:
                engine.pull(request["repository"], request["digest"])
                engine.tag(f"{request['repository']}@{request['digest']}", name, "1")
            assert identity(reference) == ours != theirs

            absent = {"ansible.builtin.include_role": {"name": "images", "tasks_from": "absent.yml"}}
            variables = {"images_prefix": f"{PREFIX}-short", "images_registry": into, "ansible_connection": "local"}
            variables["ansible_python_interpreter"] = sys.executable
            removed = play_tasks(tmp_path, absent, play_keywords={"vars": variables})
            assert removed.code == 0, removed.output
            assert ours not in docker("images", "--all", "--no-trunc", "--quiet"), (
                "what was pulled by digest is gone as well"
            )
        finally:
            forget(name)


def source_of(engine: Engine, reference: str) -> Source:
    return Source(Builder(ROOT, {}), {"short": reference}, engine)


def little(reference: str, name: str, size: int = 100) -> str:
    """Make an image of one small layer, and return its identity."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        about = tarfile.TarInfo(name)
        about.size = size
        archive.addfile(about, io.BytesIO(token_bytes(size)))
    subprocess.run(["docker", "import", "-", reference], input=packed.getvalue(), capture_output=True, check=True)
    return identity(reference)


def identity(reference: str) -> str:
    return docker("image", "inspect", "--format", "{{.Id}}", reference).strip()


def forget(*names: str) -> None:
    """Remove all names of images that end with these, digests included."""
    form = '{{.Repository}}{{if eq .Tag "<none>"}}@{{.Digest}}{{else}}:{{.Tag}}{{end}}'
    for line in set(docker("images", "--digests", "--format", form).splitlines()):
        if any(line.rpartition("@")[0].endswith(name) or line.rpartition(":")[0].endswith(name) for name in names):
            subprocess.run(["docker", "rmi", line], capture_output=True, check=False)


@pytest.fixture
def over_ssh(tmp_path: Path) -> dict[str, Any]:
    """Keywords of a play whose host is this machine by SSH."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("pretended_ssh.py")} "$@"\n')
    program.chmod(0o755)
    reached = {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_ssh_executable": str(program),
        # each command by itself: there is no connection to share
        "ansible_ssh_args": "",
        "ansible_python_interpreter": sys.executable,
    }
    return {"vars": reached}


def test_a_registry_that_refuses_is_told_and_its_password_is_nowhere(
    image: str, over_ssh: dict[str, Any], tmp_path: Path
) -> None:
    secret = f"canary-{token_hex(16)}"
    options = {
        "images": {"keeper": f"{PREFIX}-nowhere:1"},
        "variables": {},
        "root": str(ROOT),
        "registry": f"127.0.0.1:{PORT}/kit",
        "username": USER,
        "password": secret,
        "disk_mib": 1,
    }
    outputs: list[str] = []

    def talkative(**environment: str) -> str:
        task = {"host_images": options, "check_mode": True}
        done = run_playbook(tmp_path, [task], ["-vvvv"], over_ssh, {"ANSIBLE_DEBUG": "1", **environment})
        outputs.append(done.stdout + done.stderr)
        return " ".join(outputs[-1].split())

    local = {"port": PORT, "tls": False}
    with Sampler() as sampler:
        assert f"localhost: the registry 127.0.0.1:{PORT} does not answer" in talkative()
        with registry(tmp_path / "other", image, f"{PREFIX}-local", **local, password=token_hex(16)):
            assert f"localhost: the registry 127.0.0.1:{PORT} refuses the user" in talkative()
        with registry(tmp_path / "right", image, f"{PREFIX}-local", **local, password=secret) as there:
            assert f"the controller: the registry 127.0.0.1:{PORT} refuses the user" in talkative()
            login = there.login(tmp_path / "login")
            assert "would be pulled from" in talkative(**login)
            there.craft(f"kit/{PREFIX}-nowhere", "1", "s390x")
            assert f"{PREFIX}-nowhere:1 is for s390x" in talkative(**login)
    assert all(len(output) > 10_000 for output in outputs), "it was as talkative as can be"
    assert [found_in(output, {"password": secret}) for output in outputs] == [[]] * len(outputs)
    assert sampler.leaks({"password": secret}) == []


# --- on hosts of their own


@contextmanager
def trusted_here(there: Registry) -> Iterator[None]:
    """Have this machine's engine trust a registry, as an operator does; no restart is needed."""
    folder = TRUST / there.address
    folder.mkdir(parents=True)
    try:
        assert there.authority is not None
        shutil.copy(there.authority, folder / "ca.crt")
        yield
    finally:
        shutil.rmtree(folder)


def trusted_on(made: Hosts, host: str, there: Registry) -> None:
    assert there.authority is not None
    folder = f"{TRUST}/{there.address}"
    made.inside(host, f"mkdir -p {folder} && cat >{folder}/ca.crt", there.authority.read_bytes())


def role(made: Hosts, *images: str) -> str:
    """Write a playbook that has images on the hosts, and return its name."""
    file = made.folder / f"images-{len(images)}.yml"
    roles = [{"role": "images", "images_build": list(images)}]
    file.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "roles": roles}]))
    return str(file)


def on_host(made: Hosts, host: str, reference: str) -> str:
    """Return the identity of an image on a host; empty if it has none."""
    return made.inside(host, f"docker images --no-trunc --quiet {reference}").strip()


def refused(run: Run, *said: str) -> None:
    assert run.code != 0
    for part in said:
        assert part in run.text, run.text[-3000:]
    assert run.changed == 0


@pytest.fixture
def stand_ins(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Little images by the names that the role asks for: the way is the same, and nobody waits for a build.

    Keeper and stack have a layer in common; the keeper of another user (uid 998) has another one on top of it.
    """
    shared = little(f"{PREFIX}-shared:1", "shared", size=3_000_000)
    names = {**named(tmp_path), "other keeper": named(tmp_path, images_uid=998)["keeper"]}
    context = tmp_path / "stand-ins"
    context.mkdir()
    for name, reference in names.items():
        (context / "own").write_bytes(token_bytes(300_000))
        (context / "Dockerfile").write_text(f"FROM {PREFIX}-shared:1\nCOPY own /{name.replace(' ', '-')}\n")
        docker("build", "--quiet", "--network=none", "--tag", reference, str(context))
    yield {**names, "shared": shared}
    forget(f"{PREFIX}-shared", *(reference.rpartition(":")[0] for reference in names.values()))


def named(folder: Path, **variables: object) -> dict[str, str]:
    """Return the names that the role gives the images of these sources."""
    names = {"ansible.builtin.include_role": {"name": "images", "tasks_from": "names.yml"}}
    told = {"keeper": "{{ images_keeper }}", "redis": "{{ images_redis }}"}
    show = {"ansible.builtin.debug": {"msg": told}}
    found = play_tasks(folder, names, show, play_keywords={"vars": {"images_prefix": PREFIX, **variables}})
    return dict(found.result["msg"])


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_hosts_pull_what_was_pushed_once_and_nothing_twice(
    image: str, stand_ins: dict[str, str], tmp_path: Path
) -> None:
    password = f"canary-{token_hex(16)}"
    with (
        hosts(Wanted("one"), Wanted("two"), prefix=PREFIX) as made,
        registry(tmp_path, image, f"{PREFIX}-there", network=PREFIX, password=password) as there,
        trusted_here(there),
    ):
        login = there.login(tmp_path / "login")
        into = f"{there.address}/kit"
        keeper, redis = stand_ins["keeper"], stand_ins["redis"]
        names = {"images_prefix": PREFIX, "images_registry": into}
        play = role(made, "keeper", "redis")
        made.settle(names)

        def bring(host: str, *arguments: str, **environment: str) -> Run:
            return made.playbook(play, f"--limit={host}", *arguments, **{**login, **environment})

        # what is in the way is said before anything is changed, of the host and of the controller
        refused(bring("one"), f"one: the registry {there.address} shows a certificate", "certs.d")
        trusted_on(made, "one", there)
        refused(bring("one"), f"one: the registry {there.address} refuses the user", "images_registry_username")
        assert made.inside("one", "docker images --quiet") == ""
        made.settle({**names, "images_registry_username": USER, "images_registry_password": password})
        no_login = {"DOCKER_CONFIG": str(tmp_path)}
        refused(bring("one", **no_login), f"the controller: the registry {there.address} refuses the user")
        checked = bring("one", "--check").succeeded()
        assert checked.changed == 1
        assert f"would be pulled from {into}" in checked.text
        assert there.manifests("kit") == [], "a check pushes nothing"

        with there.during() as first, Sampler() as sampler:
            brought = bring("one", "-vvvv", ANSIBLE_DEBUG="1").succeeded()
        assert brought.changed == 1
        assert len([each for each in first if each.method == "PUT" and "/manifests/" in each.path]) == 2
        secrets = {"password": password}
        assert len(brought.output) > 50_000
        assert found_in(brought.output, secrets) == []
        assert sampler.leaks(secrets) == []
        # as it is, and as `docker login` would write it down
        look = "grep -rlsF -f - /root /home /etc /run /tmp /var/tmp /var/log || true"
        assert made.inside("one", look, b"\n".join(sorted(forms(password)))) == ""
        assert on_host(made, "one", keeper) == identity(keeper)
        assert f"{into}/{PREFIX}-keeper@sha256:" in made.inside("one", f"docker inspect {keeper}")

        with there.during() as again:
            second = bring("one").succeeded()
        assert second.changed == 0
        assert again == [], "a host that has them asks nothing"

        # somebody has moved the tag: the second host gets what the first one has
        names_there = [f"kit/{reference.rpartition(':')[0]}" for reference in (redis, keeper)]
        wrong = there.manifest(names_there[0], redis.rpartition(":")[2])
        there.lend(*names_there, wrong[0])
        there.move(names_there[1], keeper.rpartition(":")[2], *wrong)
        trusted_on(made, "two", there)
        with there.during() as other:
            elsewhere = bring("two").succeeded()
        assert not [each for each in other if each.method in {"PUT", "POST", "PATCH"}], "it is there already"
        assert on_host(made, "two", keeper) == identity(keeper) != identity(redis)

        # another user of the images is another keeper, of the same base
        with there.during() as changed:
            newer = bring("one", "-e", "images_uid=998", "-e", '{"images_build": ["keeper"]}').succeeded()
        assert on_host(made, "one", stand_ins["other keeper"]) == identity(stand_ins["other keeper"])
        told = {
            "first": (brought, first),
            "second": (second, again),
            "second host": (elsewhere, other),
            "a changed layer": (newer, changed),
        }
        fetched = {}
        for what, (run, asked) in told.items():
            fetched[what] = sum(each.size for each in asked if each.fetches_layer)
            print(f"{what}: {run.seconds:.1f} s, {len(asked)} requests, {fetched[what]} bytes to the host")
        assert 3_600_000 < fetched["second host"] < 4_000_000, "the layer that both have came once"
        assert 300_000 < fetched["a changed layer"] < 400_000, "and not again"

        removed = json.dumps({"ansible.builtin.include_role": {"name": "images", "tasks_from": "absent.yml"}})
        gone = made.folder / "gone.yml"
        gone.write_text(f'[{{"hosts": "docker_hosts", "gather_facts": false, "tasks": [{removed}]}}]')
        made.playbook(str(gone)).succeeded()
        assert made.inside("one", "docker images --quiet") == ""


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_bare_host_is_told_before_an_engine_is_installed_for_nothing(
    image: str, stand_ins: dict[str, str], tmp_path: Path
) -> None:
    with (
        hosts(Wanted("bare", engine=False), prefix=PREFIX) as made,
        registry(tmp_path, image, f"{PREFIX}-there", network=PREFIX) as there,
        trusted_here(there),
    ):
        play = made.folder / "site.yml"
        roles = [
            {"role": "docker_host", "docker_host_foresee": "images"},
            {"role": "images", "images_build": ["redis"]},
        ]
        play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "roles": roles}]))
        names = {"images_prefix": PREFIX, "images_registry": f"{there.address}/kit"}
        made.settle(names)
        refused(made.playbook(str(play)), f"bare: the registry {there.address} shows a certificate", "certs.d")
        made.settle({**names, "images_registry": f"{there.address.partition(':')[0]}:5001/kit"})
        refused(made.playbook(str(play)), "bare: the registry ", " does not answer")
        made.settle({**names, "images_registry": "", "images_built_on": "controller", "images_disk_mib": 10**9})
        refused(made.playbook(str(play)), "bare: ", "MiB are free in /var/lib")
        assert made.inside("bare", "command -v dockerd docker || ls /etc/docker 2>/dev/null || true") == ""
        made.settle({**names, "docker_host_daemon_options": {"insecure-registries": [there.address]}})
        made.playbook(str(play)).succeeded()
        assert on_host(made, "bare", stand_ins["redis"]) == identity(stand_ins["redis"])
        with there.during() as again:
            assert made.playbook(str(play)).succeeded().changed == 0
        assert again == []

        # without a registry it is an archive, of which nothing stays
        made.settle({"images_prefix": PREFIX, "images_built_on": "controller"})
        assert made.playbook(role(made, "keeper")).succeeded().changed == 1
        assert on_host(made, "bare", stand_ins["keeper"]) == identity(stand_ins["keeper"])
        assert made.inside("bare", "ls -d /var/tmp/token-keeper-* 2>/dev/null || true") == ""
