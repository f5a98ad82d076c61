"""The compose file of the application, as the role's template renders it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles/app_stack"
GIVEN = {
    "images_stack": "stack:1",
    "images_redis": "redis:1",
    "images_keeper": "keeper:1",
    "ansible_managed": "Managed",
}


def rendered(**variables: Any) -> dict[str, Any]:
    """Return the compose file as YAML reads it, before Compose puts variables in."""
    loader = DataLoader()
    known: dict[str, Any] = {**GIVEN}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    templar = Templar(loader, variables={**known, **variables})
    text = templar.template(trust_as_template((ROLE / "templates/compose.yml.j2").read_text()))
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("value", ["pa$word", "${HOME}", "$$", "a: $b # c", "$" * 120 + " x" * 60])
def test_a_dollar_in_the_environment_stays_a_dollar(value: str) -> None:
    composed = rendered(app_stack_environment={"LLM_MODEL": value})
    for service in ("api", "celery"):
        told = composed["services"][service]["environment"]["LLM_MODEL"]
        # Compose takes two for one, and one for the beginning of a variable
        assert told == value.replace("$", "$$")
        assert composed["services"][service]["environment"]["REDIS_URL"] == "redis://redis:6379/0"
