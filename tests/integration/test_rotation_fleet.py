"""Many hosts: one is a canary, the first failure stops the rest, and a grant that two of them share is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from fleet import Fleet, nobody
from module_tasks import token_volume
from rotating import admin, fault, new_grant, sandbox_set

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(900)]


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


def test_what_a_host_that_is_down_may_use_is_not_ended_for_it(fleet: Fleet) -> None:
    url = "http://sandbox:9400/revoke"
    reconsent = ("-e", "mode=reconsent", "-e", "rotation_revocation=token", "-e", f"rotation_revocation_url={url}")
    for host in fleet.volumes:
        fleet.fill(host, new_grant(fleet.deployment))
        fleet.stage(host, new_grant(fleet.deployment))
    asked = fleet.deployment.counters()["requests"].get("revoke", 0)
    with nobody() as fleet.down:
        rotated = fleet.rotate(*reconsent)
    assert rotated.code == 4
    assert "for another host uses it, or may: not all of them could be asked" in rotated.text
    assert fleet.deployment.counters()["requests"].get("revoke", 0) == asked
    # and where all of them can be, it is
    for host in fleet.volumes:
        fleet.stage(host, new_grant(fleet.deployment))
    fleet.down = None
    with sandbox_set(fleet.deployment, revoke_whole_grant=False):
        fleet.rotate(*reconsent).succeeded()
    assert fleet.deployment.counters()["requests"]["revoke"] == asked + 2
