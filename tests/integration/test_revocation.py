"""Revoked on purpose: at the provider and in the volume, and nobody asks the provider any more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from deployment import Deployment, eventually
from rotating import document, works

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(900)]

REVOKE, YES = "playbooks/revoke_token.yml", ("-e", "confirm=yes")


@pytest.fixture
def revocable(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment, which has a token again afterwards."""
    yield deployment
    deployment.playbook("site.yml").succeeded()
    works(deployment)


def reasons(deployment: Deployment) -> dict[str, object]:
    return {each["type"]: each["reason"] for each in deployment.status()["conditions"] if each["status"] == "True"}


def test_a_revocation_ends_the_grant_and_silences_every_consumer(revocable: Deployment) -> None:
    before, token = revocable.status(), document(revocable)
    unsure = revocable.playbook(REVOKE)
    assert unsure.code != 0
    assert "give -e confirm=yes" in unsure.text
    checked = revocable.playbook(REVOKE, "--check").succeeded()
    assert checked.changed == 1
    assert "Would be revoked" in checked.text
    assert revocable.status()["generation"] == before["generation"]

    revoked = revocable.playbook(REVOKE, *YES).succeeded()
    assert revoked.changed == 1
    assert "Its grant is ended at the provider" in revoked.text
    spent = {name: token[name] for name in ("refresh_token", "client_id", "client_secret")}
    answer = requests.post(f"{revocable.sandbox}/token", data={"grant_type": "refresh_token", **spent}, timeout=10)
    assert answer.json()["error"] == "invalid_grant"
    assert revocable.status()["document"]["state"] == "missing"
    assert reasons(revocable).get("ReauthRequired") == "Revoked"

    asked = revocable.counters()["requests"]
    eventually(
        lambda: requests.get(f"{revocable.api}/health/ready", timeout=10).status_code == 503, within=10, what="unready"
    )
    for _ in range(5):
        refused = requests.get(f"{revocable.api}/calendar/calendars", timeout=10)
        assert refused.status_code != 200
        assert "ReauthRequired" in refused.text or "Revoked" in refused.text
    assert revocable.counters()["requests"] == asked, "nobody asks the provider"
    assert revocable.playbook(REVOKE, *YES).succeeded().changed == 0
    for playbook in ("rotate_token.yml", "playbooks/verify.yml"):
        assert "the grant was revoked on purpose. " in revocable.playbook(playbook).text


def test_a_provider_without_revocation_is_said_so(revocable: Deployment) -> None:
    none = ("-e", "rotation_revocation_url=")
    refused = revocable.playbook(REVOKE, *YES, *none)
    assert refused.code != 0
    assert "-e revoke_local=true takes the token away here" in refused.text
    asked = revocable.counters()["requests"]["revoke"]
    local = revocable.playbook(REVOKE, *YES, *none, "-e", "revoke_local=true").succeeded()
    assert local.changed == 1
    assert "Nobody has told the provider: its grant lives on there" in local.text
    assert revocable.counters()["requests"]["revoke"] == asked
    assert revocable.status()["document"]["state"] == "missing"
