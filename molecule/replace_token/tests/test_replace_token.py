"""What was there already stays as it is: the same document is no change."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testinfra.host import Host  # type: ignore[import-untyped]

FILE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "new.json"


def test_the_grant_is_that_of_the_file(host: Host) -> None:
    given = json.loads(FILE.read_text())
    inside = json.loads(host.check_output("docker exec tk-day-two-api-1 cat /app/tokens/token.json"))
    assert inside["refresh_token"] == given["refresh_token"]
    FILE.unlink()
