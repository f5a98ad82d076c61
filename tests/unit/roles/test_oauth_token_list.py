"""What role oauth_token asks for each token of a host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.plugins.loader import init_plugin_loader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles/oauth_token"
LOADER = DataLoader()
OMITTED = "omitted"


@pytest.fixture(scope="module", autouse=True)
def _lookups() -> None:
    init_plugin_loader()


def loaded(path: str) -> Any:
    return LOADER.load_from_file(str(ROLE / path), trusted_as_template=True)


def asked(**variables: Any) -> list[dict[str, Any]]:
    """Return the options of the action for each token, with these variables on the host."""
    known = {**loaded("defaults/main.yml"), **loaded("vars/main.yml"), "omit": OMITTED, **variables}
    task = loaded("tasks/obtain.yml")[0]
    options = {name: value for name, value in task["oauth_token"].items() if name not in {"environment", "network"}}
    found = []
    for name in Templar(LOADER, variables=known).template(trust_as_template("{{ __oauth_token_names }}")):
        one = {**known, **task["vars"], "__oauth_token_name": name, "oauth_token_image": "keeper:1"}
        found.append(Templar(LOADER, variables=one).template(options))
    return found


def test_a_host_with_one_token_has_it_by_the_variables_of_the_role() -> None:
    (one,) = asked(oauth_token_volume="v", oauth_token_scopes=["a", "b"], oauth_token_client_secrets_file="/c.json")
    assert (one["volume"], one["file"], one["scopes"]) == ("v", "token.json", ["a", "b"])
    assert (one["client_secrets_file"], one["client_secrets"]) == ("/c.json", OMITTED)
    assert {one[name] for name in ("account", "provider", "issuer", "rotation", "reuse_grace")} == {OMITTED}
    (one,) = asked(oauth_token_client_secrets={"client_id": "c"})
    assert (one["client_secrets_file"], one["client_secrets"]) == (OMITTED, {"client_id": "c"})


def test_what_an_entry_does_not_say_the_role_says_for_all() -> None:
    entries = [
        {"name": "one"},
        {"name": "two", "volume": "w", "scopes": ["b"], "rotation": False, "app": True, "reuse_grace": 0},
    ]
    common = {"oauth_token_volume": "v", "oauth_token_scopes": ["a"], "oauth_token_rotation": "yes"}
    one, two = asked(oauth_token_list=entries, oauth_token_account="a@example.org", **common)
    assert (one["volume"], one["scopes"], one["rotation"], one["reuse_grace"]) == ("v", ["a"], "yes", OMITTED)
    assert (two["volume"], two["scopes"], two["rotation"], two["reuse_grace"]) == ("w", ["b"], False, 0)
    assert one["account"] == two["account"] == "a@example.org"


def test_what_this_run_has_seen_is_of_one_volume_and_file() -> None:
    entries = [{"name": "one"}, {"name": "two", "volume": "w"}, {"name": "three", "file": "three.json"}]
    seen = {"volume": "v", "file": "token.json", "status": {"generation": 7}}
    found = asked(
        oauth_token_list=entries, oauth_token_volume="v", oauth_token_file="token.json", oauth_token_seen=seen
    )
    assert [one["seen"] for one in found] == [{"generation": 7}, {}, {}]


def test_a_client_of_its_own_takes_the_place_of_the_common_one_wherever_either_is_kept() -> None:
    entries = [{"name": "one", "client_secrets_variable": "mine"}, {"name": "two", "client_secrets_file": "/two.json"}]
    one, two = asked(oauth_token_list=entries, oauth_token_client_secrets_file="/common.json", mine={"client_id": "m"})
    assert (one["client_secrets_file"], one["client_secrets"]) == (OMITTED, {"client_id": "m"})
    assert (two["client_secrets_file"], two["client_secrets"]) == ("/two.json", OMITTED)


@pytest.mark.parametrize("file", ["main.yml", "request.yml"])
def test_hosts_that_differ_in_what_is_asked_for_go_side_by_side(file: str) -> None:
    """Ansible includes tasks once for all hosts whose items are the same, and else for one host after the other."""
    (loop,) = (task["loop"] for task in loaded(f"tasks/{file}") if "loop" in task)
    lists = [[{"name": "app", "account": account}] for account in ("a@example.org", "b@example.org")]
    known = {**loaded("defaults/main.yml"), **loaded("vars/main.yml")}
    one, two = (Templar(LOADER, variables={**known, "oauth_token_list": each}).template(loop) for each in lists)
    assert one == two == ["app"]


def test_every_key_of_an_entry_is_read() -> None:
    text = "".join((ROLE / "tasks" / file).read_text() for file in ("obtain.yml", "request_one.yml"))
    read = set(re.findall(r"__oauth_token_(?:entry|client)\['(\w+)'\]", text))
    assert read | {"name", "app"} == set(loaded("vars/main.yml")["__oauth_token_keys"])
