"""Many hosts: one is a canary, the first failure stops the rest, and a grant that two of them share is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment import PLAYBOOK, Deployment, Run, run
from module_tasks import TokenVolume, docker, token_volume
from rotating import ROTATE, admin, fault, new_grant

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(900)]


@dataclass
class Fleet:
    """Two hosts, each with a volume of its own, on one engine; nobody uses their tokens."""

    deployment: Deployment
    volumes: dict[str, TokenVolume]
    folder: Path

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
        """Rotate on both."""
        deployed = self.deployment
        hosts = {}
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
            "oauth_token_consent": "none",
        }
        inventory = self.folder / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"docker_hosts": {"hosts": hosts, "vars": shared}}))
        command = [PLAYBOOK, "-i", str(inventory), ROTATE, *arguments]
        return run(command, timeout=240, environment=deployed.environment())


@pytest.fixture
def fleet(deployment: Deployment, image: str, tmp_path: Path) -> Iterator[Fleet]:
    with token_volume(image) as one, token_volume(image) as other:
        yield Fleet(deployment, {"east": one, "west": other}, tmp_path)
        admin(deployment, "DELETE", "faults")


def test_a_grant_that_two_hosts_share_is_refused_with_the_two_ways_out(fleet: Fleet) -> None:
    shared = new_grant(fleet.deployment)
    for host in fleet.volumes:
        fleet.fill(host, shared)
    exchanges = fleet.deployment.exchanges()
    refused = fleet.rotate()
    assert refused.code != 0
    assert refused.changed == 0
    assert "east and west hold the same grant" in refused.text
    assert "ansible-playbook rotate_token.yml -e mode=reconsent" in refused.text
    assert "one refresher" in refused.text
    assert fleet.deployment.exchanges() == exchanges

    # the first way out
    for host in fleet.volumes:
        fleet.stage(host, new_grant(fleet.deployment))
    fleet.rotate("-e", "mode=reconsent").succeeded()
    fleet.rotate().succeeded()
    east, west = (fleet.status(host)["document"]["refresh_token_fingerprint"] for host in fleet.volumes)
    assert east != west


def test_the_first_failure_stops_the_hosts_that_come_after_the_canary(fleet: Fleet) -> None:
    for host in fleet.volumes:
        fleet.fill(host, new_grant(fleet.deployment), rotation="no")
    before = fleet.status("west")
    fault(fleet.deployment, "token", "500")
    stopped = fleet.rotate()
    assert stopped.code != 0
    assert "refresh of the token in volume" in stopped.text
    assert fleet.status("west")["generation"] == before["generation"], "nothing happened after the canary"
    assert fleet.rotate().succeeded().changed >= 2
    assert fleet.status("west")["generation"] == before["generation"] + 1


def test_what_one_host_lacks_stops_all_before_the_first_change(fleet: Fleet) -> None:
    fleet.fill("east", new_grant(fleet.deployment), rotation="no")
    fleet.initialise("west")
    before = fleet.status("east")
    refused = fleet.rotate()
    assert refused.code != 0
    assert "there is nothing to rotate" in refused.text
    assert fleet.status("east")["generation"] == before["generation"]
