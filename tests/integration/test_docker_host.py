"""Role docker_host on bare machines: an engine from where it is asked for, or a word before anything is changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployment import Run, docker, eventually
from docker_repository import Repository, docker_repository
from hosts import Hosts, Wanted, hosts

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(2400)]

PLAYBOOK = "playbooks/docker_host.yml"
# What of a host an installation would change
WRITTEN = (
    "ls /etc/apt/sources.list.d /etc/apt/preferences.d /etc/apt/keyrings /etc/docker /usr/local/lib/docker 2>&1 || :; "
    "dpkg-query --show --showformat='${Package} ${Version} ${db:Status-Status}\\n'"
)
ORIGIN = "dpkg-query --show --showformat='${Package} ${db:Status-Status}\\n' | sed -n 's/ installed$//p'"


def given(**variables: Any) -> list[str]:
    """Return the arguments that give variables to a playbook."""
    return ["-e", json.dumps(variables)]


def refused(run: Run, *said: str) -> None:
    """Check that a playbook stopped before it changed anything, and what it said."""
    assert run.code != 0, run.output
    assert run.changed == 0, run.output
    for part in said:
        assert part in run.text, run.output
    assert "Nothing was changed." in run.text, run.output


# --- Docker's own repository


@pytest.fixture(scope="module")
def three() -> Iterator[tuple[Hosts, Repository]]:
    """Bare hosts of Debian 12 and 13, and a third one that serves a repository as Docker's is."""
    wanted = (Wanted("old", "bookworm", False), Wanted("new", "trixie", False), Wanted("mirror", "trixie", False))
    with hosts(*wanted, prefix="tk-engine") as made:
        repository = docker_repository(made, "mirror")
        for suite in ("bookworm", "trixie"):
            repository.publish(suite)
        yield made, repository


@pytest.mark.parametrize("host", ["old", "new"])
def test_an_engine_from_docker_s_own_repository(three: tuple[Hosts, Repository], host: str) -> None:
    made, repository = three
    asked = {"docker_host_source": "docker", "docker_host_repository": repository.url}
    own = asked | {"docker_host_repository_fingerprint": repository.fingerprint}
    before = made.inside(host, WRITTEN)

    # Docker's own fingerprint is the default, and this key is another
    refused(
        made.playbook(PLAYBOOK, f"--limit={host}", *given(**asked)),
        f"the key {repository.url}/gpg is not trusted: its fingerprint is {repository.fingerprint}",
    )
    assert made.inside(host, WRITTEN) == before

    checked = made.playbook(PLAYBOOK, "--check", f"--limit={host}", *given(**own)).succeeded()
    assert "install Docker Engine (docker-ce 5:26.1.5-1, docker-ce-cli 5:26.1.5-1, containerd.io" in checked.text
    assert made.inside(host, WRITTEN) == before
    assert made.inside(host, "ls /var/lib/apt/lists | grep -c :8000 || true").strip() == "0"

    made.playbook(PLAYBOOK, f"--limit={host}", *given(**own)).succeeded()
    there = set(made.inside(host, ORIGIN).split())
    assert {"docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin", "docker-buildx-plugin"} <= there
    assert not {"docker.io", "docker-cli", "docker-compose", "containerd", "runc"} & there
    assert made.inside(host, "docker version --format '{{.Server.Version}}'").startswith("26.1.5")
    key = made.inside(host, "cat /etc/apt/keyrings/token-keeper-docker.asc")
    assert key == made.inside("mirror", "cat /srv/docker/gpg")
    source = made.inside(host, "cat /etc/apt/sources.list.d/token-keeper-docker.sources")
    assert f"URIs: {repository.url}" in source
    assert "Signed-By: /etc/apt/keyrings/token-keeper-docker.asc" in source
    assert json.loads(made.inside(host, "cat /etc/docker/daemon.json"))["live-restore"] is True
    assert made.playbook(PLAYBOOK, f"--limit={host}", *given(**own)).succeeded().changed == 0

    # the distribution's is not put beside it, nor in its place unasked
    refused(
        made.playbook(PLAYBOOK, f"--limit={host}", *given(docker_host_source="distribution")),
        "docker-ce 5:26.1.5-1 is installed, and docker_host_source asks for the distribution's",
    )


def test_an_upgrade_keeps_containers_and_comes_only_where_it_is_asked_for(three: tuple[Hosts, Repository]) -> None:
    made, repository = three
    variables = given(docker_host_repository=repository.url, docker_host_repository_fingerprint=repository.fingerprint)
    upgrade = [*variables, "--limit=new", "-e", "docker_host_upgrade=true"]
    assert made.playbook(PLAYBOOK, *upgrade).succeeded().changed == 0, "there is no later version"
    repository.publish("trixie", 2)
    made.inside("new", "cd / && tar -c bin lib lib64 | docker import - small")
    container = "docker run --detach --name goes-on --network none --volume /usr:/usr:ro small sleep 3600"
    made.inside("new", container)
    pid = made.inside("new", "docker inspect --format '{{.State.Pid}}' goes-on")
    assert int(pid) > 0

    assert made.playbook(PLAYBOOK, *variables, "--limit=new").succeeded().changed == 0
    checked = made.playbook(PLAYBOOK, "--check", *upgrade).succeeded()
    assert "upgrade docker-ce from 5:26.1.5-1 to 5:26.1.5-2" in checked.text
    assert "upgrade docker-compose-plugin from 5:2.26.1-1 to 5:2.26.1-2" in checked.text
    assert "5:26.1.5-1" in made.inside("new", "dpkg-query --show docker-ce")

    assert made.playbook(PLAYBOOK, *upgrade).succeeded().changed == 1
    for package in ("docker-ce", "docker-ce-cli", "docker-compose-plugin"):
        assert made.inside("new", f"dpkg-query --show {package}").strip().endswith("-2")
    assert made.inside("new", "docker inspect --format '{{.State.Pid}}' goes-on") == pid, "live-restore kept it"
    assert made.playbook(PLAYBOOK, *upgrade).succeeded().changed == 0

    # without live-restore it would stop: also where the engine runs with it, and will be started again without
    repository.publish("trixie", 3)
    kept = "docker info --format '{{.LiveRestoreEnabled}}'"
    for option, running in (("{}", "true"), ('{"live-restore": false}', "false")):
        made.inside("new", f"echo '{option}' >/etc/docker/daemon.json && systemctl reload docker")
        eventually(lambda wanted=running: made.inside("new", kept).strip() == wanted, within=20, what="it has read it")
        refused(made.playbook(PLAYBOOK, *upgrade), "would stop the engine's 1 containers", "docker_host_interrupt=true")
    made.playbook(PLAYBOOK, *upgrade, "-e", "docker_host_interrupt=true").succeeded()
    assert made.inside("new", "dpkg-query --show docker-ce").strip().endswith("-3")


# --- what a bare host may say against it


def test_what_is_wrong_with_a_host_is_said_before_anything_is_changed(tmp_path: Path) -> None:
    program = tmp_path / "docker-compose"
    with hosts(Wanted("bare", "trixie", False), prefix="tk-engine-bare") as made:
        made.inside("bare", f"cd /var/tmp && {COMPOSE}")
        docker("cp", f"{made.container('bare')}:/var/tmp/c{PLUGIN}", str(program))
        made.inside("bare", "rm -rf /var/tmp/c /var/tmp/docker-compose_*")
        before = made.inside("bare", WRITTEN)
        sudo = "/etc/sudoers.d/deploy"

        # root can't be had
        made.inside("bare", f"echo 'deploy ALL=(ALL) ALL' >{sudo}")
        refused(made.playbook(PLAYBOOK), "deploy cannot become root", "sudo: it asks for a password: run with -K")
        made.inside("bare", f"printf 'Defaults:deploy !authenticate\\ndeploy ALL=(nobody) ALL\\n' >{sudo}")
        refused(made.playbook(PLAYBOOK), "deploy cannot become root", "sudo: it ")
        made.inside("bare", f"echo 'deploy ALL=(ALL) NOPASSWD: ALL' >{sudo}")

        # masked, no space, locked, no list
        made.inside("bare", "systemctl mask docker.service")
        refused(made.playbook(PLAYBOOK), "systemd may not start docker.service, which somebody has masked")
        made.inside("bare", "systemctl unmask docker.service")
        made.inside("bare", "mkdir -p /srv/small && mount -t tmpfs -o size=64M none /srv/small")
        root = given(docker_host_daemon_options={"data-root": "/srv/small/docker"})
        refused(
            made.playbook(PLAYBOOK, *root),
            "MiB are free below /srv/small/docker, and installing Docker Engine asks for",
        )
        made.inside("bare", f'systemd-run --quiet --unit=holder python3 -c "{HOLD}"')
        locked = made.playbook(PLAYBOOK, *given(docker_host_lock_timeout=10))
        refused(locked, "apt is in use by python3", "for longer than 10 s (docker_host_lock_timeout)")
        assert "RETRYING" in locked.output
        made.inside("bare", "systemctl stop holder")
        made.inside(
            "bare",
            f"{LISTS} && echo 'Acquire::http::Proxy \"http://me:secret@127.0.0.1:9\";' >/etc/apt/apt.conf.d/99proxy",
        )
        lists = made.playbook(PLAYBOOK)
        refused(
            lists,
            "the lists of packages could not be fetched",
            "the proxy http://…@127.0.0.1:9",
            "Acquire::http::Proxy",
        )
        assert "secret" not in lists.output
        made.inside("bare", "rm /etc/apt/apt.conf.d/99proxy")

        # a file that isn't Compose for this host
        checksum = hashlib.sha256(program.read_bytes()).hexdigest()
        asked = {"docker_host_compose_file": str(program), "docker_host_compose_checksum": checksum}
        refused(
            made.playbook(PLAYBOOK, *given(**asked | {"docker_host_compose_checksum": "0" * 64})), "has the SHA-256"
        )
        other = tmp_path / "other"
        other.write_bytes(program.read_bytes()[:18] + b"\xb7" + program.read_bytes()[19:])
        foreign = {
            "docker_host_compose_file": str(other),
            "docker_host_compose_checksum": hashlib.sha256(other.read_bytes()).hexdigest(),
        }
        refused(made.playbook(PLAYBOOK, *given(**foreign)), "is a program for aarch64, and the host is x86_64")
        assert made.inside("bare", WRITTEN) == before

        # and with all of that in order
        made.playbook(PLAYBOOK, *given(**asked)).succeeded()
        installed = made.inside(
            "bare", "stat -c '%a %U' /usr/local/lib/docker/cli-plugins/docker-compose; docker compose version --short"
        )
        assert re.match(r"755 root\n2\.\d+", installed)
        assert "docker-compose" not in made.inside("bare", ORIGIN).split()
        assert made.playbook(PLAYBOOK, *given(**asked)).succeeded().changed == 0
        assert made.playbook(PLAYBOOK, *given(**asked, docker_host_upgrade=True)).succeeded().changed == 0


PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"
COMPOSE = "apt-get -qq update && apt-get -qq download docker-compose && dpkg-deb --extract docker-compose_*.deb c"
HOLD = (
    "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)"
)
LISTS = "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin"
