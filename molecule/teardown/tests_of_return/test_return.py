"""The stack is back, with the token that stayed: nobody was asked to consent again."""

from __future__ import annotations

import json

from testinfra.host import Host  # type: ignore[import-untyped]

PROJECT = "tk-day-two"


def test_the_token_is_the_one_that_stayed(host: Host) -> None:
    inside = f"docker exec {PROJECT}-api-1"
    assert json.loads(host.check_output(f"{inside} token-keeper status --json"))["document"]["state"] == "sound"
    events = map(json.loads, host.check_output(f"{inside} cat /app/tokens/.token.json.events").splitlines())
    assert [event["event"] for event in events].count("Pushed") <= 1
