"""The file that show_token.yml was told to write, and nobody else may read."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testinfra.host import Host  # type: ignore[import-untyped]

FILE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "revealed.json"


def test_the_document_is_whole_and_private(host: Host) -> None:
    file = host.file(str(FILE))
    assert file.mode == 0o600
    shown = json.loads(file.content_string)
    inside = json.loads(host.check_output("docker exec tk-day-two-api-1 cat /app/tokens/token.json"))
    assert shown == inside
    FILE.unlink()
