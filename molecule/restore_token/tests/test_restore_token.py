"""The token is back, with its lineage, and nobody was asked to consent."""

from __future__ import annotations

import json

from testinfra.host import Host  # type: ignore[import-untyped]

INSIDE = "docker exec tk-day-two-api-1"


def test_the_token_is_back_and_serves(host: Host) -> None:
    status = json.loads(host.check_output(f"{INSIDE} token-keeper status --json"))
    assert (status["document"]["state"], status["healthy"]) == ("sound", True)
    events = [
        json.loads(line) for line in host.check_output(f"{INSIDE} cat /app/tokens/.token.json.events").splitlines()
    ]
    assert "Restored" in {event["event"] for event in events}
    assert "Pushed" not in {event["event"] for event in events}
