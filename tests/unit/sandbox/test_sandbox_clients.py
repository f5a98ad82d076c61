"""Clients: two secrets at a time, and where each type may send a person back to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import requests
from over_http import REDIRECT, authorize, refresh, refusal

from sandbox_provider.database import FILE_NAME, Database
from sandbox_provider.testing import Sandbox

UNAUTHORIZED = (401, "invalid_client", "Unauthorized")


@pytest.fixture
def client(sandbox: Sandbox, request: pytest.FixtureRequest) -> str:
    """A client of the test's own, whose secret is "first"."""
    name = f"{request.node.name}.example"
    sandbox.register_client(name, "first")
    return name


def accepted(sandbox: Sandbox, client: str, document: dict, secret: str) -> bool:
    response = refresh(sandbox, document["refresh_token"], client_id=client, client_secret=secret)
    assert response.status_code == 200 or refusal(response) == UNAUTHORIZED
    return response.status_code == 200


def test_two_secrets_are_valid_at_the_same_time(sandbox: Sandbox, client: str) -> None:
    document = sandbox.issue_token(client_id=client)
    made = sandbox.add_secret(client)
    assert made["enabled"] is True
    assert [accepted(sandbox, client, document, secret) for secret in ("first", made["client_secret"])] == [True, True]
    assert not accepted(sandbox, client, document, "third")
    # the newest is what the client file has
    offered = sandbox.call("GET", f"/console/client_secret.json?client_id={client}")["installed"]
    assert offered["client_secret"] == sandbox.issue_token(client_id=client)["client_secret"] == made["client_secret"]


def test_a_disabled_one_is_refused_and_can_be_enabled_again(sandbox: Sandbox, client: str) -> None:
    document = sandbox.issue_token(client_id=client)
    sandbox.add_secret(client, "second")
    old, new = (secret["secret_id"] for secret in sandbox.secrets(client))
    sandbox.enable_secret(old, False, client)
    assert sandbox.secrets(client) == [{"secret_id": old, "enabled": False}, {"secret_id": new, "enabled": True}]
    assert [accepted(sandbox, client, document, secret) for secret in ("first", "second")] == [False, True]
    basic = requests.post(
        sandbox.token_uri,
        data={"grant_type": "refresh_token", "refresh_token": document["refresh_token"]},
        auth=(client, "first"),
        timeout=30,
    )
    assert refusal(basic) == UNAUTHORIZED
    sandbox.enable_secret(old, True, client)
    assert accepted(sandbox, client, document, "first")
    sandbox.enable_secret(new, False, client)
    assert sandbox.issue_token(client_id=client)["client_secret"] == "first"


def test_a_removed_one_is_gone(sandbox: Sandbox, client: str) -> None:
    document = sandbox.issue_token(client_id=client)
    sandbox.add_secret(client, "second")
    sandbox.remove_secret(sandbox.secrets(client)[0]["secret_id"], client)
    assert [accepted(sandbox, client, document, secret) for secret in ("first", "second")] == [False, True]
    assert len(sandbox.secrets(client)) == 1


def test_registering_again_replaces_them_all(sandbox: Sandbox, client: str) -> None:
    document = sandbox.issue_token(client_id=client)
    sandbox.add_secret(client, "second")
    sandbox.register_client(client, "third")
    secrets = ("first", "second", "third")
    assert [accepted(sandbox, client, document, secret) for secret in secrets] == [False, False, True]


def test_the_demo_s_client_can_have_two(sandbox: Sandbox) -> None:
    before, document = sandbox.client, sandbox.issue_token()
    made = sandbox.add_secret()
    assert sandbox.client.client_secret == made["client_secret"] != before.client_secret
    assert refresh(sandbox, document["refresh_token"], client_secret=before.client_secret).status_code == 200
    sandbox.remove_secret(made["secret_id"])
    assert sandbox.client == before


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "", {"client_secret": "third"}, "at most 2 secrets; remove one first"),
        ("POST", "", {"client_secret": ""}, "client_secret must be one line"),
        ("POST", "", {"name": "x"}, "unknown part of a secret: name"),
        ("PATCH", "/999999", {"enabled": False}, "no secret of that number"),
        ("PATCH", "/999999", {"enabled": 1}, "enabled must be true or false"),
        ("DELETE", "/999999", None, "no secret of that number"),
    ],
)
def test_bad_secrets(sandbox: Sandbox, client: str, method: str, path: str, body: object, words: str) -> None:
    sandbox.add_secret(client, "second")
    before = sandbox.secrets(client)
    response = requests.request(method, f"{sandbox.url}/admin/clients/{client}/secrets{path}", json=body, timeout=30)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert words in response.json()["error_description"]
    assert sandbox.secrets(client) == before


def test_the_last_secret_stays(sandbox: Sandbox, client: str) -> None:
    (only,) = sandbox.secrets(client)
    url = f"{sandbox.url}/admin/clients/{client}/secrets/{only['secret_id']}"
    assert "keeps its last secret" in requests.delete(url, timeout=30).json()["error_description"]


def test_a_client_that_is_not_there(sandbox: Sandbox) -> None:
    for method in ("GET", "POST"):
        response = requests.request(method, f"{sandbox.url}/admin/clients/nobody/secrets", json={}, timeout=30)
        assert refusal(response)[:2] == (400, "invalid_request")
    file = requests.get(f"{sandbox.url}/console/client_secret.json?client_id=nobody", timeout=30)
    assert refusal(file)[:2] == (404, "not_found")


def mismatch(response: requests.Response) -> bool:
    """Tell whether that is Google's page, and no redirect."""
    assert response.status_code in {302, 400}
    if response.status_code == 302:
        return False
    assert "Location" not in response.headers
    assert response.headers["Content-Type"].startswith("text/html")
    return "Error 400: <strong>redirect_uri_mismatch</strong>" in response.text


def test_an_installed_client_is_sent_to_loopback_alone(sandbox: Sandbox, client: str) -> None:
    sandbox.register_client(client, "first", type="installed")
    assert not mismatch(authorize(sandbox, client_id=client, redirect_uri="http://127.0.0.1:1/any"))
    assert mismatch(authorize(sandbox, client_id=client, redirect_uri="https://app.example/cb"))
    offered = sandbox.call("GET", f"/console/client_secret.json?client_id={client}")
    assert offered["installed"]["redirect_uris"] == ["http://localhost"]


def test_a_web_client_is_sent_to_its_own_addresses_alone(sandbox: Sandbox, client: str) -> None:
    addresses = ["https://app.example/cb", "http://localhost:8080/cb"]
    sandbox.register_client(client, "first", type="web", redirect_uris=addresses)
    for address in addresses:
        assert not mismatch(authorize(sandbox, client_id=client, redirect_uri=address))
    for address in ("https://app.example/cb/", "http://localhost:8081/cb", REDIRECT):
        assert mismatch(authorize(sandbox, client_id=client, redirect_uri=address))
    offered = sandbox.call("GET", f"/console/client_secret.json?client_id={client}")
    assert offered["web"]["redirect_uris"] == addresses


@pytest.mark.parametrize(
    "body",
    [{"type": "web"}, {"type": "installed", "redirect_uris": ["https://app.example/cb"]}, {"type": "desktop"}],
)
def test_a_type_that_does_not_fit(sandbox: Sandbox, body: dict) -> None:
    sent = {"client_id": "c", "client_secret": "s"} | body
    response = requests.post(f"{sandbox.url}/admin/clients", json=sent, timeout=30)
    assert refusal(response)[:2] == (400, "invalid_request")


def test_storage_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(
        "CREATE TABLE clients (client_id TEXT PRIMARY KEY, client_secret TEXT NOT NULL, redirect_uris TEXT NOT NULL,"
        " demo INTEGER NOT NULL DEFAULT 0);"
        "INSERT INTO clients VALUES ('old', 'old-secret', '[]', 1);"
        "CREATE TABLE grants (grant_id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL,"
        " account TEXT NOT NULL, scope TEXT NOT NULL, offline INTEGER NOT NULL, created_at REAL NOT NULL,"
        " expires_at REAL, sequence INTEGER NOT NULL DEFAULT 0, advanced_at REAL, revoked_at REAL,"
        " revoked_because TEXT);"
        "CREATE TABLE codes (digest TEXT PRIMARY KEY, grant_id INTEGER NOT NULL, redirect_uri TEXT NOT NULL,"
        " code_challenge TEXT, code_challenge_method TEXT, expires_at REAL NOT NULL, used_at REAL);"
    )
    connection.close()
    for _ in range(2):
        Database(tmp_path).close()
    sandbox = Sandbox(tmp_path)
    try:
        assert tuple(sandbox.client) == ("old", "old-secret")
        document = sandbox.issue_token()
        assert refresh(sandbox, document["refresh_token"]).status_code == 200
        assert not mismatch(authorize(sandbox))
    finally:
        sandbox.stop()
