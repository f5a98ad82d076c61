"""What role oauth_token asks for each token of a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles/oauth_token"


def asked(**variables: Any) -> list[dict[str, Any]]:
    """Return the settings of each token, with these variables on the host."""
    loader = DataLoader()
    known: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    found: list[dict[str, Any]] = Templar(loader, variables={**known, **variables}).template(
        trust_as_template("{{ __oauth_token_all }}")
    )
    return found


def test_a_host_with_one_token_has_it_by_the_variables_of_the_role() -> None:
    (one,) = asked(oauth_token_volume="v", oauth_token_scopes=["a", "b"], oauth_token_client_secrets_file="/c.json")
    assert (one["name"], one["volume"], one["file"]) == ("token.json", "v", "token.json")
    assert one["scopes"] == ["a", "b"]
    assert (one["client_secrets_file"], one["client_secrets_variable"]) == ("/c.json", "oauth_token_client_secrets")


def test_what_an_entry_does_not_say_the_role_says_for_all() -> None:
    entries = [{"name": "one"}, {"name": "two", "volume": "w", "scopes": ["b"], "rotation": False, "app": True}]
    one, two = asked(oauth_token_list=entries, oauth_token_volume="v", oauth_token_scopes=["a"])
    assert (one["name"], one["volume"], one["scopes"]) == ("one", "v", ["a"])
    assert (two["name"], two["volume"], two["scopes"], two["rotation"]) == ("two", "w", ["b"], False)


def test_a_client_of_its_own_takes_the_place_of_the_common_one_wherever_either_is_kept() -> None:
    entries = [{"name": "one", "client_secrets_variable": "mine"}, {"name": "two", "client_secrets_file": "/two.json"}]
    one, two = asked(oauth_token_list=entries, oauth_token_client_secrets_file="/common.json")
    assert (one["client_secrets_file"], one["client_secrets_variable"]) == ("", "mine")
    assert (two["client_secrets_file"], two["client_secrets_variable"]) == ("/two.json", "")
