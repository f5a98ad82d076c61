"""What a forced proof leaves: a refresh that the kit made, and a proof of the newest generation."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testinfra.host import Host  # type: ignore[import-untyped]

PROJECT = "tk-day-two"
STATE_HOME = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "token-keeper"


def test_the_proof_is_of_the_newest_generation_which_the_kit_made(host: Host) -> None:
    inside = f"docker exec {PROJECT}-api-1"
    status = json.loads(host.check_output(f"{inside} token-keeper status --json"))
    last = json.loads(host.check_output(f"{inside} tail -n 1 /app/tokens/.token.json.events"))
    assert (last["event"], last["service"], last["generation"]) == ("Refreshed", "ansible", status["generation"])
    proof = json.loads(host.file(str(STATE_HOME / PROJECT / "proof.json")).content_string)
    assert (proof["generation"], proof["level"]) == (status["generation"], "process")
