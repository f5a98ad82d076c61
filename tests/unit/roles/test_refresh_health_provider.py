"""Whoever asks the provider in this role's name goes the way that the application goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles" / "refresh_health"


def renewals() -> Iterator[Any]:
    for path in sorted((ROLE / "tasks").glob("*.yml")):
        for task in yaml.safe_load(path.read_text()):
            if task.get("token_volume", {}).get("state") == "refreshed":
                yield pytest.param(task["token_volume"], id=path.stem)


@pytest.mark.parametrize("options", list(renewals()))
def test_each_renewal_has_network_proxy_and_certificates(options: dict[str, str]) -> None:
    ways = {name: options[name] for name in ("network", "environment", "ca_bundle")}
    assert ways == {
        "network": "{{ refresh_health_network }}",
        "environment": "{{ refresh_health_environment }}",
        "ca_bundle": "{{ refresh_health_ca_bundle or omit }}",
    }


@pytest.mark.parametrize(
    ("variables", "handed_over"),
    [
        ({}, {}),
        ({"app_stack_environment": {"LOG_LEVEL": "debug", "MY_HTTPS_PROXY_PORT": 3128}}, {}),
        (
            {"app_stack_environment": {"HTTPS_PROXY": "http://p:1", "no_proxy": ".example", "LOG_LEVEL": "debug"}},
            {"HTTPS_PROXY": "http://p:1", "no_proxy": ".example"},
        ),
    ],
    ids=["nothing", "no proxy", "a proxy"],
)
def test_the_application_s_proxy_is_the_default(variables: dict[str, Any], handed_over: dict[str, str]) -> None:
    default = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())["refresh_health_environment"]
    assert Templar(DataLoader(), variables).template(trust_as_template(default)) == handed_over
