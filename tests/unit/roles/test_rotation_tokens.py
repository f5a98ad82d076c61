"""Which token role rotation rotates: the application's, as the stack and the proof have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLES = Path(__file__).resolve().parents[3] / "roles"
REPORTS: dict[str, Any] = {"name": "reports", "file": "reports.json"}
CALENDAR: dict[str, Any] = {"name": "calendar", "volume": "calendar_tokens", "app": True}


@pytest.mark.parametrize("prefix", ["rotation", "refresh_health"])
@pytest.mark.parametrize(
    ("tokens", "volume", "file"),
    [
        (None, "token_data", "token.json"),
        ([REPORTS], "token_data", "reports.json"),
        ([REPORTS, CALENDAR], "calendar_tokens", "token.json"),
    ],
)
def test_it_is_the_applications(prefix: str, tokens: list[dict[str, Any]] | None, volume: str, file: str) -> None:
    loader = DataLoader()
    known: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLES / prefix / part / "main.yml"), trusted_as_template=True)
    known["token_volume_name"] = "token_data"
    if tokens is not None:
        known["oauth_tokens"] = tokens
    wanted = trust_as_template("{{ [" + f"{prefix}_volume, {prefix}_file" + "] }}")
    assert Templar(loader, variables=known).template(wanted) == [volume, file]
