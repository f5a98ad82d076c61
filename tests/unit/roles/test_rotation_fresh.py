"""Whether role rotation takes what its preflight has seen for what is there."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles/rotation"
COUNTER = {"refresh_health_counter_url": "http://provider.example/counters"}


@pytest.mark.parametrize(
    ("age", "finish", "hosts", "variables", "fresh"),
    [
        (5, None, ["one"], {}, True),
        (5, None, ["one", "two"], {}, True),
        (90, None, ["one"], {}, False),
        # The clock was set back
        (-3600, None, ["one"], {}, False),
        (5, "promote", ["one"], {}, False),
        (5, None, ["one"], COUNTER, True),
        # What the provider has counted since is of all of them
        (5, None, ["one", "two"], COUNTER, False),
    ],
)
def test_it_does_for_a_moment(
    age: float, finish: str | None, hosts: list[str], variables: dict[str, Any], fresh: bool
) -> None:
    loader = DataLoader()
    wanted = loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True)["__rotation_fresh"]
    known = {
        "__rotation_plan": {"finish": finish},
        "__rotation_before_at": seen_at(loader, age),
        "ansible_play_hosts_all": hosts,
        **variables,
    }
    assert Templar(loader, variables=known).template(trust_as_template(wanted)) is fresh


def test_it_does_at_any_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only where the controller's clock is UTC: an hour that a clock skips or has twice is none that went by."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        test_it_does_for_a_moment(5, None, ["one"], {}, True)
        test_it_does_for_a_moment(90, None, ["one"], {}, False)
    finally:
        monkeypatch.undo()
        time.tzset()


def seen_at(loader: DataLoader, age: float) -> Any:
    """Return what preflight notes, that many seconds after it did."""
    tasks = loader.load_from_file(str(ROLE / "tasks/preflight.yml"), trusted_as_template=True)
    (noted,) = (task["ansible.builtin.set_fact"] for task in tasks if "ansible.builtin.set_fact" in task)
    at = Templar(loader, variables={}).template(noted["__rotation_before_at"])
    return str(datetime.fromisoformat(at) - timedelta(seconds=age))
