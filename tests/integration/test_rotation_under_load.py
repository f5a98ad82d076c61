"""The token is renewed while a client uses the API: nobody notices."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from deployment import Deployment, eventually

# the first test that asks for the deployment waits for its images as well
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

RATE = 20.0
"""Requests a second."""


@dataclass(frozen=True)
class Answer:
    """What a request came to."""

    status: int
    seconds: float
    task: str | None = None


class Client:
    """Sends requests at a steady rate, whether or not earlier ones have been answered: every second one an event."""

    def __init__(self, deployment: Deployment) -> None:
        self._api = deployment.api
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=32)
        self._sent: list[Future[Answer]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown()

    def answers(self) -> list[Answer]:
        """Return what all requests came to; a request that got no answer raises."""
        return [sent.result() for sent in self._sent]

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._stopping.is_set():
            self._sent.append(self._pool.submit(self._request, len(self._sent)))
            self._stopping.wait(max(0.0, begun + len(self._sent) / RATE - time.monotonic()))

    def _request(self, number: int) -> Answer:
        begun = time.monotonic()
        if number % 2:
            answer = requests.get(f"{self._api}/calendar/calendars", timeout=20)
            return Answer(answer.status_code, time.monotonic() - begun)
        answer = requests.post(f"{self._api}/events/", json={"text": f"Sync {number} tomorrow at 3pm"}, timeout=20)
        return Answer(answer.status_code, time.monotonic() - begun, answer.json().get("id"))


def outcome(deployment: Deployment, task: str) -> dict[str, Any]:
    """Return what became of a request for an event."""

    def settled() -> dict[str, Any] | None:
        found = deployment.get(f"{deployment.api}/events/{task}")
        return found if found["status"] != "pending" else None

    found: dict[str, Any] = eventually(settled, within=60, what=f"request {task} is settled")
    return found


def test_no_request_fails_while_the_token_is_rotated(deployment: Deployment) -> None:
    before, unauthorized = deployment.status(), deployment.counters()["calendar"]["unauthorized"]
    counted = deployment.exchanges()
    with Client(deployment) as client:
        eventually(lambda: len(client.answers()) >= 20, within=30, what="the client is under way")
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
