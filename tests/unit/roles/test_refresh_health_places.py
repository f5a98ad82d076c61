"""Where the tokens of a host are, as status.yml and show_token.yml look for them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("places", ROOT / "roles/refresh_health/filter_plugins/places.py")
assert _SPEC is not None
assert _SPEC.loader is not None
PLUGIN = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(PLUGIN)


def places(*tokens: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = PLUGIN.FilterModule().filters()["refresh_health_places"](
        tokens, "shared", "token.json"
    )
    return found


def test_each_token_has_its_place_and_one_is_the_application_s() -> None:
    assert places({"name": "a"}, {"name": "b", "file": "b.json", "app": True}, {"name": "c", "volume": "own"}) == [
        {"name": "a", "volume": "shared", "file": "token.json", "app": False},
        {"name": "b", "volume": "shared", "file": "b.json", "app": True},
        {"name": "c", "volume": "own", "file": "token.json", "app": False},
    ]
    assert [one["app"] for one in places({"name": "a"}, {"name": "b", "file": "b.json"})] == [True, False]
    assert places() == []


def test_nothing_else_of_an_entry_is_taken_over() -> None:
    assert "canary" not in str(places({"name": "a", "client_secret": "canary"}))


def test_an_entry_without_a_name_is_refused_and_not_quoted() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        places({"client_secret": "canary"})
    assert "canary" not in str(caught.value)
