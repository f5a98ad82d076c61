"""What a rotation that failed says of what is live now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
from test_rotation_plan import rotation, status

TEMPLATES = Path(__file__).resolve().parents[3] / "roles" / "rotation" / "templates"
UNREADABLE = {"error": {"message": "the engine does not answer"}}


def said(now: dict[str, Any], *, reason: str = "", way: str = "none", **more: Any) -> str:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=False, trim_blocks=True)
    environment.filters.update(rotation.FilterModule().filters())
    known = {
        "rotation_mode": "reconsent",
        "rotation_volume": "tokens",
        "inventory_hostname": "h",
        "__rotation_failed": {"why": "it broke", "reason": reason},
        "__rotation_now": now,
        "__rotation_way": way,
        "__rotation_back": {},
        "__rotation_on": {},
    }
    return environment.get_template("failed.txt.j2").render({**known, **more})


def test_nobody_claims_to_know_what_can_not_be_read() -> None:
    text = said(UNREADABLE)
    assert "can't be read: the engine does not answer" in text
    assert "Nothing was replaced" not in text
    assert "Nothing was replaced." in said({"status": status()})


@pytest.mark.parametrize(("reason", "force"), [("ForeignWriter", True), ("Unreachable", False)])
def test_only_what_somebody_holds_has_to_be_retired_by_force(reason: str, force: bool) -> None:
    text = said({"status": status("converged")}, reason=reason)
    assert "not retired yet" in text
    assert ("rotation_force_retire=true" in text) is force


@pytest.mark.parametrize(
    ("before", "exchanged"), [({"status": {"generation": 7}}, False), ({"status": {"generation": 6}}, True), ({}, True)]
)
def test_nobody_speaks_of_an_exchange_that_was_not_made(before: dict[str, Any], exchanged: bool) -> None:
    text = said({"status": status(generation=7)}, rotation_mode="refresh", __rotation_before=before)
    assert ("Nothing was exchanged: generation 7 stays." in text) is not exchanged
    assert ("There is no way back from an exchange" in text) is exchanged
