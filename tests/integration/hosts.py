"""Test hosts: machines with systemd, sshd and an engine of their own, over SSH (molecule/shared/hosts_create.yml)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from deployment import BIN, PLAYBOOK, ROOT, Deployment, Run, run

PREFIX = os.environ.get("TEST_HOSTS_PREFIX", "tk-hosts")
SANDBOX_PORT = int(os.environ.get("TEST_HOSTS_SANDBOX_PORT", "28290"))


@dataclass(frozen=True)
class Wanted:
    """A host to make: its name, its Debian suite, and whether it has an engine already."""

    name: str
    suite: str = "trixie"
    engine: bool = True


@dataclass(frozen=True)
class Hosts:
    """Hosts that are up, and the folder with the way to them: a key, their host keys, an inventory."""

    prefix: str
    folder: Path

    @property
    def inventory(self) -> Path:
        """The inventory, whose group is ``docker_hosts``."""
        return self.folder / "inventory.yml"

    @property
    def gateway(self) -> str:
        """This machine's address, as the hosts reach it."""
        found = yaml.safe_load(self.inventory.read_text())["docker_hosts"]["vars"]["test_hosts_gateway"]
        return str(found)

    def container(self, host: str) -> str:
        """Return the name of the container that the host is."""
        return f"{self.prefix}-{host}"

    def inside(self, host: str, script: str, stdin: bytes = b"", timeout: float = 180) -> str:
        """Run a shell script on a host as root, past Ansible, and return what it printed.

        Raises:
            AssertionError: it failed.
        """
        command = ["docker", "exec", "--interactive", self.container(host), "sh", "-euc", script]
        ended = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)
        assert ended.returncode == 0, f"{host}: {script}: {ended.stderr.decode()}"
        return ended.stdout.decode()

    def put(self, host: str, source: Path, target: str) -> None:
        """Copy a folder's content to a folder on a host, which is made."""
        packed = subprocess.run(["tar", "-C", str(source), "-c", "."], capture_output=True, check=True).stdout
        self.inside(host, f"mkdir -p {target} && tar -C {target} --no-same-owner -x", packed)

    def settle(self, variables: dict[str, Any]) -> None:
        """Write the variables of the group, as an operator does in ``group_vars``."""
        group = self.folder / "group_vars"
        group.mkdir(exist_ok=True)
        (group / "docker_hosts.yml").write_text(yaml.safe_dump(variables))

    def playbook(
        self, playbook: str, *arguments: str, timeout: float = 600, program: str = PLAYBOOK, **environment: str
    ) -> Run:
        """Run a playbook on the hosts, from the project's folder, by this Ansible or another's ``program``."""
        command = [program, "-i", str(self.inventory), playbook, *arguments]
        return run(command, timeout=timeout, environment=controller(self.folder, **environment))


def uncounted(variables: dict[str, Any]) -> dict[str, Any]:
    """Return the variables for several hosts at once: their provider counts what all of them exchange."""
    return {name: value for name, value in variables.items() if name != "refresh_health_counter_url"}


@contextmanager
def provider(made: Hosts) -> Iterator[dict[str, Any]]:
    """Run the sandbox on this machine, where hosts and controller reach it; gives the variables with which they use it.

    To them it is a provider like any other: none of them has it.
    """
    # On the hosts' own network: an engine lets nothing pass from one of its networks to another
    published = {"sandbox_bind": made.gateway, "sandbox_network": made.prefix}
    sandbox = Deployment(f"{made.prefix}-provider", 28280, SANDBOX_PORT, made.folder, published)
    url = f"http://{made.gateway}:{SANDBOX_PORT}"
    play = made.folder / "provider.yml"
    roles = [{"role": "images", "images_build": ["sandbox"]}, {"role": "sandbox"}]
    play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "roles": roles}]))
    person = ROOT / "sandbox" / "sandbox_provider" / "person.py"
    client = f"lookup('ansible.builtin.url', '{url}/console/client_secret.json', split_lines=false, use_proxy=false)"
    sandbox.clear_away()
    try:
        sandbox.playbook(str(play)).succeeded()
        yield {
            "token_keeper_project": made.prefix,
            "token_volume_name": f"{made.prefix}_token_data",
            "images_prefix": "token-keeper-demo",
            "images_built_on": "controller",
            "sandbox_enabled": False,
            "app_stack_calendar_endpoint": f"{url}/calendar/v3",
            "app_stack_revocation_uri": f"{url}/revoke",
            "oauth_token_consent": "loopback",
            "oauth_token_browser": f"{sys.executable} {person} %s &",
            "oauth_token_allow_http": True,
            "oauth_token_scopes": ["https://www.googleapis.com/auth/calendar"],
            "oauth_token_client_secrets": "{{ " + client + " | from_json }}",
            "refresh_health_counter_url": f"{url}/admin/counters",
        }
    finally:
        sandbox.remove().succeeded()


def controller(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of the controller: no engine is named, and what it keeps is in the folder."""
    own = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    path = f"{BIN}{os.pathsep}{own['PATH']}"
    return {**own, "PATH": path, "XDG_STATE_HOME": str(folder / "state"), "NO_COLOR": "1", **more}


@contextmanager
def hosts(*wanted: Wanted, prefix: str = PREFIX) -> Iterator[Hosts]:
    """Make hosts, and remove them with all that belongs to them, whatever happens in between.

    What a run of the same prefix that was killed has left is removed first.
    """
    # Not below pytest's folder: the path of a socket has 108 characters
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}.", dir="/tmp"))
    try:
        _play("create", prefix, folder, wanted)
        yield Hosts(prefix, folder)
    finally:
        _play("destroy", prefix, folder, wanted)
        shutil.rmtree(folder, ignore_errors=True)


def _play(which: str, prefix: str, folder: Path, wanted: Sequence[Wanted]) -> None:
    variables = {
        "test_hosts_prefix": prefix,
        "test_hosts_folder": str(folder),
        "test_hosts": [asdict(each) for each in wanted],
    }
    playbook = str(ROOT / "molecule" / "shared" / f"hosts_{which}.yml")
    command = [PLAYBOOK, "-i", "localhost,", playbook, "-e", json.dumps(variables)]
    run(command, timeout=600, environment=controller(folder)).succeeded()
