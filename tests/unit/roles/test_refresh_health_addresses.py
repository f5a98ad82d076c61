"""Where role refresh_health asks application and keeper: at the addresses that they are published on."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles" / "refresh_health"


@pytest.mark.parametrize(
    ("bind", "host"),
    [
        (None, "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("192.0.2.7", "192.0.2.7"),
        ("::", "[::1]"),
        ("2001:db8::7", "[2001:db8::7]"),
    ],
)
def test_each_address_makes_a_url(bind: str | None, host: str) -> None:
    loader = DataLoader()
    known = {}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    if bind:
        known |= {"app_stack_api_bind": bind, "app_stack_keeper_bind": bind}
    urls = Templar(loader, variables=known).template(trust_as_template("{{ refresh_health_heartbeat_urls }}"))
    assert urls == [f"http://{host}:8080/api/v1/health/consumers", f"http://{host}:9401/consumers"]


def test_of_an_application_of_one_s_own_nothing_is_expected_that_was_not_found() -> None:
    loader = DataLoader()
    known = {"app_stack_services": {"web": {}}}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    templar = Templar(loader, variables=known)
    assert templar.template(trust_as_template("{{ refresh_health_expected }}")) == []
    assert templar.template(trust_as_template("{{ refresh_health_heartbeat_urls }}")) == [
        "http://127.0.0.1:9401/consumers"
    ]
    assert templar.template(trust_as_template("{{ refresh_health_urls }}")) == {"Keeper": "http://127.0.0.1:9401"}
