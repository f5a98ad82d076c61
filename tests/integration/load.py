"""A client that uses the API at a steady rate, and what its requests came to."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests
from deployment import Deployment, eventually

RATE = 20.0
"""Requests a second."""

_PATIENCE = 20.0
"""Seconds after which a request that is not answered has failed."""


@dataclass(frozen=True)
class Answer:
    """What a request came to."""

    status: int
    seconds: float
    task: str | None = None
    at: float = 0.0
    """When it was sent, by the monotonic clock."""


class Client:
    """Sends requests at a steady rate, whether or not earlier ones have been answered: every second one an event."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
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

    def failed(self) -> list[Answer]:
        """Return the requests that were not answered as they should be, or whose event was not made."""
        answers = self.answers()
        bad = [answer for at, answer in enumerate(answers) if answer.status != (200 if at % 2 else 202)]
        for answer in answers:
            if answer.task is not None and outcome(self._deployment, answer.task)["status"] != "done":
                bad.append(answer)
        return bad

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
            answer = requests.get(f"{self._api}/calendar/calendars", timeout=_PATIENCE)
            return Answer(answer.status_code, time.monotonic() - begun, at=begun)
        answer = requests.post(
            f"{self._api}/events/", json={"text": f"Sync {number} tomorrow at 3pm"}, timeout=_PATIENCE
        )
        return Answer(answer.status_code, time.monotonic() - begun, answer.json().get("id"), begun)


def outcome(deployment: Deployment, task: str) -> dict[str, Any]:
    """Return what became of a request for an event."""

    def settled() -> dict[str, Any] | None:
        found = deployment.get(f"{deployment.api}/events/{task}")
        return found if found["status"] != "pending" else None

    found: dict[str, Any] = eventually(settled, within=60, what=f"request {task} is settled")
    return found
