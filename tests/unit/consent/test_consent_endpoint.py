"""Which endpoints are taken, and which are refused before a secret is sent to them."""

from __future__ import annotations

import pytest

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.endpoint import Endpoints
from token_keeper.errors import ConsentError
from token_keeper.provider import Profile

BARE = ClientSecrets("id", "secret")


def test_google_when_nobody_says_otherwise() -> None:
    endpoints = Endpoints.choose(BARE)

    assert endpoints.auth_uri == "https://accounts.google.com/o/oauth2/v2/auth"
    assert endpoints.token_uri == endpoints.document_token_uri == "https://oauth2.googleapis.com/token"
    assert endpoints.issuer == "https://accounts.google.com"
    assert endpoints.tokeninfo_uri == "https://oauth2.googleapis.com/tokeninfo"
    assert endpoints.revocation_uri == "https://oauth2.googleapis.com/revoke"
    assert endpoints.account_scopes == ("openid", "email")


def test_the_caller_overrules_the_client(client: ClientSecrets) -> None:
    endpoints = Endpoints.choose(
        client, token_uri="https://other.example/t", document_token_uri="https://inside.example/t"
    )

    assert endpoints.auth_uri == client.auth_uri
    assert endpoints.token_uri == "https://other.example/t"
    assert endpoints.document_token_uri == "https://inside.example/t"
    assert endpoints.issuer is None


@pytest.mark.parametrize("name", ["auth_uri", "token_uri"])
def test_one_alone_is_not_completed_with_google(name: str) -> None:
    with pytest.raises(ConsentError) as caught:
        Endpoints.choose(BARE, **{name: "https://provider.example/x"})  # type: ignore[arg-type]

    assert caught.value.reason == "EndpointMissing"
    assert ("token_uri" if name == "auth_uri" else "auth_uri") in caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost"])
def test_http_to_this_machine(client: ClientSecrets, host: str) -> None:
    uri = f"http://{host}:9400/token"

    assert Endpoints.choose(client, token_uri=uri).token_uri == uri


@pytest.mark.parametrize("name", ["auth_uri", "token_uri", "document_token_uri"])
@pytest.mark.parametrize("host", ["provider.example", "192.0.2.1", "127.0.0.1.example", "x.localhost", "[2001:db8::1]"])
def test_http_elsewhere(client: ClientSecrets, name: str, host: str) -> None:
    uri = f"http://{host}/x"
    with pytest.raises(ConsentError, match="unencrypted") as caught:
        Endpoints.choose(client, **{name: uri})  # type: ignore[arg-type]

    assert caught.value.reason == "EndpointInsecure"
    assert "allow_http" in caught.value.remedy
    assert Endpoints.choose(client, allow_http=True, **{name: uri})


@pytest.mark.parametrize(
    "uri",
    [
        "provider.example/token",
        "ftp://provider.example/token",
        "https:///token",
        "https://user:canary@provider.example/token",
        "https://provider.example/token#canary",
        "https://provider.example/to ken",
        "https://provider.example/\x1b[2J",
        "https://provider.example:canary/token",
        "https://[::1/token",
        "https://prövider.example/token",
    ],
)
def test_not_an_endpoint(client: ClientSecrets, uri: str) -> None:
    with pytest.raises(ConsentError, match="not an address that can be used") as caught:
        Endpoints.choose(client, token_uri=uri, allow_http=True)

    assert caught.value.reason == "EndpointMalformed"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("key", ["userinfo", "tokeninfo", "revocation"])
@pytest.mark.parametrize(
    ("uri", "reason"), [("http://provider.example/x", "EndpointInsecure"), ("provider.example", "EndpointMalformed")]
)
def test_a_profile_sends_no_token_where_everybody_can_read_it(
    client: ClientSecrets, key: str, uri: str, reason: str
) -> None:
    profile = Profile.parse({"hosts": ["provider.example"], "endpoints": {key: uri}}, "the test")
    with pytest.raises(ConsentError) as caught:
        Endpoints.choose(client, profile=profile)
    assert caught.value.reason == reason
    assert f"endpoints.{key}" in caught.value.message
