"""The provider's clock: moved forward, or wrong; and the Date header that tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
import requests
from over_http import consent, refresh, tokeninfo

from sandbox_provider.testing import Sandbox, running_sandbox

ALLOWED = 5.0  # seconds that a test may take longer on a busy machine


@pytest.fixture
def timed() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


def ahead(sandbox: Sandbox, path: str = "/healthz") -> float:
    """Return the seconds by which the Date header is ahead of this machine."""
    response = requests.get(sandbox.url + path, timeout=30)
    return parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()


def test_time_moves_forward(timed: Sandbox) -> None:
    token = consent(timed)
    assert abs(timed.now() - time.time()) < ALLOWED
    timed.advance(3590)
    assert timed.accepts(token["access_token"])
    assert int(tokeninfo(timed, token["access_token"])["expires_in"]) <= 10
    timed.advance(10.5)
    assert not timed.accepts(token["access_token"])
    # the tokens that are issued now live as long as ever
    renewed = refresh(timed, token["refresh_token"]).json()
    assert renewed["expires_in"] == 3600
    assert timed.accepts(renewed["access_token"])
    assert abs(ahead(timed) - 3600.5) < ALLOWED
    assert timed.call("GET", "/admin/clock")["advanced"] == 3600.5


def test_time_that_was_moved_forward_outlives_a_restart(timed: Sandbox) -> None:
    timed.advance(86_400)
    timed.kill()
    timed.start()
    assert abs(timed.now() - time.time() - 86_400) < ALLOWED


@pytest.mark.parametrize("skew", [7200, -7200])
def test_skew(timed: Sandbox, skew: int) -> None:
    timed.settings(clock_skew=skew)
    for path in ("/healthz", "/nowhere", "/calendar/v3/users/me/calendarList"):
        assert abs(ahead(timed, path) - skew) < ALLOWED
    token = consent(timed)
    assert token["expires_in"] == 3600
    found = tokeninfo(timed, token["access_token"])
    assert abs(int(found["exp"]) - time.time() - 3600 - skew) < ALLOWED
    assert 3600 - ALLOWED < int(found["expires_in"]) <= 3600
    timed.settings(clock_skew=0)
    assert abs(ahead(timed)) < ALLOWED


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "advance must be a number from 0"),
        ({"advance": -1}, "advance must be a number from 0"),
        ({"advance": "1"}, "advance must be a number from 0"),
        ({"advance": 1, "now": 0}, "unknown part of a clock: now"),
    ],
)
def test_bad_input(sandbox: Sandbox, body: dict, words: str) -> None:
    response = requests.post(f"{sandbox.url}/admin/clock", json=body, timeout=30)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert words in response.json()["error_description"]
    assert sandbox.call("GET", "/admin/clock")["advanced"] == 0
