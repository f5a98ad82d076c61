"""The verbs of a rotation and of a revocation: exit codes, both forms of output, and no secret in any of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from keeper_parts import on_disk, push, state_of
from keeper_provider import Provider
from test_keeper_cli import run, run_json, says_nothing_of

from token_keeper import TokenStore


def client_json(client_id: str, secret: str) -> str:
    return json.dumps({"installed": {"client_id": client_id, "client_secret": secret}})


def test_a_rotation_from_the_shell(path: Path, provider: Provider) -> None:
    push(TokenStore(path), provider.grant())
    new = provider.grant()
    code, answer = run_json(path, "stage", "--expires-in", "3500", text=new.to_json())
    assert (code, answer["changed"], answer["reason"]) == (0, True, "Staged")
    code, answer = run_json(path, "promote")
    assert (code, answer["error"]["type"], answer["error"]["reason"]) == (11, "Conflict", "Unchecked")
    code, answer = run_json(path, "check-staged", "--url", f"{provider.url}/forbidden")
    assert (code, answer["error"]["type"]) == (7, "PolicyDenied")
    code, answer = run_json(path, "check-staged", "--tokeninfo", f"{provider.url}/tokeninfo")
    assert (code, answer["rotation_record"]["phase"]) == (0, "checked")
    code, answer = run_json(path, "promote")
    assert (code, answer["generation"]) == (0, 2)
    assert run_json(path, "converged")[0] == 0
    code, answer = run_json(path, "retire", "--revoke", provider.revocation_uri)
    assert (code, answer["error"]["reason"]) == (11, "RevokesWholeGrant")
    code, answer = run_json(path, "retire", "--revoke", provider.revocation_uri, "--revocation", "token")
    assert (code, answer["rotation_record"]["phase"]) == (0, "retired")
    assert run_json(path, "status")[1]["rotation_record"]["phase"] == "retired"
    assert on_disk(path).refresh_token == new.refresh_token


def test_the_way_back_from_the_shell(path: Path, provider: Provider) -> None:
    push(TokenStore(path), provider.grant())
    run(path, "stage", text=provider.grant().to_json())
    assert run(path, "promote", "--unchecked").exit_code == 0
    record = run_json(path, "status")[1]["rotation_record"]
    code, answer = run_json(path, "rollback", "--grant", record["grant_before"])
    assert (code, answer["exchanged"]) == (0, True)
    assert state_of(path).grant == record["grant_before"]


def test_a_new_secret_from_the_shell(path: Path, provider: Provider) -> None:
    document = provider.grant()
    push(TokenStore(path), document)
    provider.more_secrets.add("the-second-secret")
    code, answer = run_json(path, "reclient", text=client_json(document.client_id, "no-such-secret"))
    assert (code, answer["error"]["type"]) == (6, "ClientRejected")
    code, answer = run_json(path, "reclient", text=client_json(document.client_id, "the-second-secret"))
    assert (code, answer["reason"]) == (0, "ClientChanged")
    assert on_disk(path).client_secret == "the-second-secret"
    code, answer = run_json(path, "reclient", "--back")
    assert (code, answer["reason"]) == (0, "ClientRolledBack")
    assert run(path, "reclient", text="{}").exit_code == 12


def test_a_revocation_from_the_shell(path: Path, provider: Provider) -> None:
    push(TokenStore(path), provider.grant())
    code, answer = run_json(path, "revoke", "--url", provider.revocation_uri)
    assert (code, answer["changed"], answer["at_provider"]) == (0, True, True)
    assert run_json(path, "verify")[1]["error"]["type"] == "ReauthRequired"
    push(TokenStore(path), provider.grant())
    result = run(path, "revoke", "--local")
    assert result.exit_code == 0
    assert "lives on" in result.stdout


@pytest.mark.parametrize("arguments", [["check-staged"], ["revoke"], ["revoke", "--local", "--url", "http://x/"]])
def test_what_contradicts_itself_is_told(path: Path, arguments: list[str]) -> None:
    assert run(path, *arguments).exit_code == 2


def test_no_secret_is_said_by_any_of_them(path: Path, provider: Provider) -> None:
    old, new = provider.grant(), provider.grant()
    push(TokenStore(path), old)
    provider.more_secrets.add("the-second-secret")
    for arguments, text in (
        (["stage"], new.to_json()), (["stage"], old.with_secret("x").to_json()), (["stage"], new.to_json()[:-1]),
        (["status"], None), (["check-staged", "--url", f"{provider.url}/forbidden"], None), (["promote"], None),
        (["check-staged", "--url", f"{provider.url}/calendar"], None), (["promote"], None),
        (["reclient"], client_json(old.client_id, "the-second-secret")), (["status"], None),
        (["reclient"], client_json(old.client_id, "a-third-secret")), (["reclient", "--back"], None),
        (["retire", "--force"], None), (["unstage"], None), (["revoke", "--local"], None), (["status"], None),
    ):  # fmt: skip
        for form in ([], ["--json"]):
            result = run(path, *arguments, *form, text=text)
            says_nothing_of(result, old, new)
            assert "the-second-secret" not in result.output + result.stderr
