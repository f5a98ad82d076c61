"""What status.yml has written for a machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testinfra.host import Host  # type: ignore[import-untyped]

FILE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "status.json"


def test_all_is_well_and_every_process_is_seen(host: Host) -> None:
    told = json.loads(host.file(str(FILE)).content_string)
    assert (told["health"], told["exit_code"]) == ("ok", 0), told
    [its] = told["hosts"]
    [token] = its["tokens"]
    assert {consumer["generation"] for consumer in token["consumers"]} == {token["generation"]}
    assert len(token["consumers"]) == 4
    assert not [key for key in token if key in {"token", "refresh_token", "client_secret"}]
