"""The kit on machines of their own, over SSH: as an operator has them."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from deployment import docker
from hosts import Wanted, hosts

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(1800)]


def left(prefix: str) -> list[str]:
    """Return the containers and networks that the engine still has of a prefix."""
    named = f"name={prefix}"
    found = docker("ps", "--all", "--filter", named, "--format", "{{.Names}}").split()
    return found + docker("network", "ls", "--filter", named, "--format", "{{.Name}}").split()


def test_hosts_have_keys_of_their_own_and_nothing_of_them_stays() -> None:
    prefix, mounted = "tk-hosts-own", '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
    # as a run that was killed leaves it
    label = f"--label=io.token-keeper.test-hosts={prefix}"
    docker("network", "create", label, prefix)
    with hosts(Wanted("new"), Wanted("old", "bookworm", engine=False), prefix=prefix) as made:
        key = made.folder / "key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        told = subprocess.run(["ssh-keygen", "-lf", str(made.folder / "known_hosts")], capture_output=True, check=True)
        fingerprints = {line.split()[1] for line in told.stdout.decode().splitlines()}
        assert len(fingerprints) == 2, "each host has a key of its own"
        said = made.playbook("playbooks/docker_host.yml", "--check", "--limit=old").succeeded()
        assert "install Docker Engine" in said.text
        assert made.playbook("playbooks/docker_host.yml", "--limit=new").succeeded().changed == 0
        volumes = set(docker("inspect", "--format", mounted, made.container("new"), made.container("old")).split())
        folder = made.folder
    assert left(prefix) == []
    assert not Path(folder).exists()
    assert len(volumes) == 2, "each engine has its data in one of its own"
    assert not volumes & set(docker("volume", "ls", "--quiet").split())
