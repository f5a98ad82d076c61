"""The token is renewed while a client uses the API: nobody notices."""

from __future__ import annotations

import time

import pytest
from deployment import Deployment, eventually
from load import Client, outcome

# the first test that asks for the deployment waits for its images as well
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_no_request_fails_while_the_token_is_rotated(deployment: Deployment) -> None:
    before, unauthorized = deployment.status(), deployment.counters()["calendar"]["unauthorized"]
    counted = deployment.exchanges()
    with Client(deployment) as client:
        eventually(lambda: len(client.answers()) >= 20, within=120, what="the client is under way")
        # as after an update of the checkout: nothing is built, the image that was deployed is the one to renew with
        rotated = deployment.playbook("rotate_token.yml", "-e", "images_base_revision=never-built").succeeded()
        time.sleep(1)  # a second of load on the new token
    answers = client.answers()
    after = deployment.status()

    assert "TASK [refresh_health : Use the one that was deployed]" in rotated.output
    assert len(answers) >= 60
    assert {answer.status for answer in answers[1::2]} == {200}
    assert {answer.status for answer in answers[0::2]} == {202}
    for answer in answers[0::2]:
        assert answer.task is not None
        assert outcome(deployment, answer.task)["status"] == "done"
    assert deployment.exchanges() - counted == 1
    assert after["generation"] == before["generation"] + 1
    assert after["document"]["access_token_fingerprint"] != before["document"]["access_token_fingerprint"]
    assert deployment.counters()["calendar"]["unauthorized"] == unauthorized
