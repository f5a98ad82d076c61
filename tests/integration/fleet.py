"""Many hosts on one engine: each has a token volume of its own, and one of them may be down."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from deployment import PLAYBOOK, Deployment, Run, run
from module_tasks import TokenVolume, docker
from rotating import ROTATE


@contextmanager
def nobody() -> Iterator[int]:
    """Give a port of this machine that nobody listens on, and that nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@dataclass
class Fleet:
    """Hosts, each with a volume of its own, on one engine; nobody uses their tokens.

    ``down`` is the port of one more, the first of them, where nobody listens; ``None`` where there is none.
    """

    deployment: Deployment
    volumes: dict[str, TokenVolume]
    folder: Path
    down: int | None = None

    def initialise(self, host: str) -> None:
        """Give a host's volume its owner and mode."""
        self.volumes[host].inside("chown 999:999 . && chmod 700 .")

    def fill(self, host: str, document: dict[str, Any], rotation: str = "yes") -> None:
        """Put a token into a host's volume."""
        self.initialise(host)
        volume = self.volumes[host]
        docker(*volume.helper, "push", "--force", f"--rotation={rotation}", stdin=json.dumps(document))

    def stage(self, host: str, document: dict[str, Any]) -> None:
        """Stage a new grant there."""
        docker(*self.volumes[host].helper, "stage", "--expires-in=3600", stdin=json.dumps(document))

    def status(self, host: str) -> dict[str, Any]:
        """Look at a host's volume."""
        found: dict[str, Any] = json.loads(docker(*self.volumes[host].helper, "status", "--json"))
        return found

    def rotate(self, *arguments: str) -> Run:
        """Rotate on all of them."""
        return self.playbook(ROTATE, *arguments)

    def playbook(self, playbook: str, *arguments: str) -> Run:
        """Run a playbook on all of them."""
        deployed = self.deployment
        hosts: dict[str, dict[str, Any]] = {}
        if self.down is not None:
            hosts["down"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": self.down}
        for name, volume in self.volumes.items():
            place = self.folder / name
            place.mkdir(exist_ok=True)
            hosts[name] = {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "token_keeper_project": f"tk-fleet-{name}",
                "token_volume_name": volume.name,
                "refresh_health_project_dir": str(place),
            }
        shared = {
            "images_prefix": "token-keeper-demo",
            "app_stack_egress_network": f"{deployed.project}_egress",
            "app_stack_calendar_endpoint": "http://sandbox:9400/calendar/v3",
            "refresh_health_expected": [],
            "refresh_health_heartbeat_urls": [],
            "refresh_health_urls": {},
            "rotation_ready_url": "",
            "rotation_watch": 0,
            # Beside other tests, whoever gives way comes last
            "rotation_nice": 0,
            "oauth_token_consent": "none",
        }
        inventory = self.folder / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"docker_hosts": {"hosts": hosts, "vars": shared}}, sort_keys=False))
        command = [PLAYBOOK, "-i", str(inventory), playbook, *arguments]
        return run(command, timeout=420, environment=deployed.environment())
