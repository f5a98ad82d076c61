"""Discovery: what a client finds out by itself is true at the address by which it asks."""

from __future__ import annotations

import pytest
import requests
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt
from joserfc.jwk import KeySet
from over_http import REDIRECT, answered, authorize

from sandbox_provider.testing import Sandbox

DOCUMENTS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def fetched(sandbox: Sandbox, path: str, host: str | None = None) -> dict:
    return requests.get(sandbox.url + path, headers={"Host": host} if host else {}, timeout=30).json()


@pytest.mark.parametrize(
    ("path", "judge"), list(zip(DOCUMENTS, (OpenIDProviderMetadata, AuthorizationServerMetadata), strict=True))
)
def test_the_documents_are_valid(sandbox: Sandbox, path: str, judge: type) -> None:
    found = fetched(sandbox, path)
    # both specifications want https, which the sandbox can't have
    judge(
        {
            name: value.replace("http://", "https://") if isinstance(value, str) else value
            for name, value in found.items()
        }
    ).validate()
    assert found["issuer"] == sandbox.url
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["code_challenge_methods_supported"] == ["S256"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_endpoint_in_them_is_there(sandbox: Sandbox, path: str) -> None:
    endpoints = {name: value for name, value in fetched(sandbox, path).items() if name.endswith(("_endpoint", "_uri"))}
    assert len(endpoints) >= 4
    for name, url in endpoints.items():
        assert requests.get(url, timeout=30).status_code != 404, name


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("host", ["sandbox:9400", "localhost:19400", "[::1]:9400", "sandbox.internal"])
def test_they_name_the_address_by_which_they_were_asked_for(sandbox: Sandbox, path: str, host: str) -> None:
    found = fetched(sandbox, path, host)
    assert found["issuer"] == f"http://{host}"
    assert all(
        value.startswith(f"http://{host}/") for name, value in found.items() if name.endswith(("_endpoint", "_uri"))
    )


def test_a_host_that_makes_no_sense_gets_the_public_address(sandbox: Sandbox) -> None:
    assert fetched(sandbox, DOCUMENTS[0], 'x"><script>')["issuer"] == sandbox.url


def test_answers_name_the_issuer_that_the_documents_name(sandbox: Sandbox) -> None:
    for host in ("sandbox:9400", None):
        issuer = fetched(sandbox, DOCUMENTS[0], host)["issuer"]
        found = answered(authorize(sandbox, host=host, scope="openid"))
        assert found["iss"] == issuer
        client = sandbox.client
        form = {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "grant_type": "authorization_code",
            "code": found["code"],
            "redirect_uri": REDIRECT,
        }
        headers = {"Host": host} if host else {}
        token = requests.post(sandbox.token_uri, data=form, headers=headers, timeout=30).json()
        keys = KeySet.import_key_set(sandbox.call("GET", "/oauth2/v3/certs"))
        assert jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims["iss"] == issuer


@pytest.mark.parametrize("settings", [{"consent": "deny"}, {}])
def test_refusals_name_it_too(sandbox: Sandbox, settings: dict) -> None:
    sandbox.settings(**settings)
    nobody = {} if settings else {"prompt": "none", "login_hint": "never@example.com"}
    found = answered(authorize(sandbox, host="sandbox:9400", **nobody))
    assert found["error"] in {"access_denied", "interaction_required"}
    assert found["iss"] == "http://sandbox:9400"
