"""The address a person opens: its parameters, and what may be asked for."""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.endpoint import Endpoints
from token_keeper.consent.inquiry import Inquiry
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.errors import ConsentError

REDIRECT = "http://127.0.0.1:8085/"


def create(client: ClientSecrets, scopes: Any = ("a",), **options: Any) -> AuthorizationRequest:
    endpoints = Endpoints.choose(client, auth_uri=options.pop("auth_uri", None))
    return AuthorizationRequest.create(client, endpoints, scopes, REDIRECT, **options)


def parameters(request: AuthorizationRequest) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.url).query, strict_parsing=True)


def test_parameters(client: ClientSecrets) -> None:
    request = create(client, ["b", "a", "b"], login_hint="ada@example.org", extra_params={"hd": "example.org"})
    challenge = base64.urlsafe_b64encode(hashlib.sha256(request.verifier.encode()).digest()).decode().rstrip("=")

    assert request.url.startswith("https://provider.example/auth?")
    assert request.scopes == ("b", "a")
    assert parameters(request) == {
        "response_type": ["code"],
        "client_id": ["client.example"],
        "redirect_uri": [REDIRECT],
        "scope": ["b a"],
        "state": [request.state],
        "code_challenge": [challenge],
        "code_challenge_method": ["S256"],
        "access_type": ["offline"],
        "prompt": ["consent"],
        "login_hint": ["ada@example.org"],
        "hd": ["example.org"],
    }


def test_every_request_is_another_one(client: ClientSecrets) -> None:
    one, other = create(client), create(client)

    assert one.state != other.state
    assert one.verifier != other.verifier
    # RFC 7636 section 4.1, and 256 bits of state
    assert 43 <= len(one.verifier) <= 128
    assert len(one.state) >= 43


def test_no_secret_in_the_address_the_repr_or_the_log(client: ClientSecrets, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        request = create(client)

    assert client.client_secret not in request.url
    assert request.verifier not in request.url
    for secret in (request.state, request.verifier, client.client_secret):
        assert secret not in repr(request)
        assert secret not in caplog.text


def test_extra_parameters_replace_or_drop_the_defaults(client: ClientSecrets) -> None:
    asked = parameters(create(client, extra_params={"prompt": "select_account consent", "access_type": None}))

    assert asked["prompt"] == ["select_account consent"]
    assert "access_type" not in asked


OURS = ["client_id", "client_secret", "state", "redirect_uri", "code_challenge", "code_verifier", "scope"]


def test_extra_parameters_are_texts_numbers_and_truth_values(client: ClientSecrets) -> None:
    extra = {
        "audience": "https://api.example",
        "max_age": 0,
        "include_granted_scopes": True,
        "prompt": None,
        "access_type": "",
    }
    asked = parameters(create(client, extra_params=extra))

    assert (asked["audience"], asked["max_age"]) == (["https://api.example"], ["0"])
    assert asked["include_granted_scopes"] == ["true"]
    assert not {"prompt", "access_type"} & asked.keys()


@pytest.mark.parametrize("extra", [{"a": ["x"]}, {"a": {"b": "c"}}, {"": "x"}, {7: "x"}])
def test_extra_parameters_that_are_none(client: ClientSecrets, extra: dict[Any, Any]) -> None:
    with pytest.raises(ConsentError, match="not a name with a text") as caught:
        create(client, extra_params=extra)

    assert caught.value.reason == "ParametersInvalid"


@pytest.mark.parametrize("name", OURS)
def test_extra_parameters_may_not_replace_the_rest(client: ClientSecrets, name: str) -> None:
    with pytest.raises(ConsentError, match=f"may not set {name}") as caught:
        create(client, extra_params={name: "x"})

    assert caught.value.reason == "ParametersInvalid"


@pytest.mark.parametrize("name", OURS)
def test_a_profile_may_not_replace_them_either(client: ClientSecrets, name: str) -> None:
    with pytest.raises(ConsentError, match=f"of the profile may not set {name}") as caught:
        Inquiry.prepare(client, ["a"], provider={"authorization_parameters": {name: "x"}})

    assert caught.value.reason == "ParametersInvalid"


@pytest.mark.parametrize("name", ["account", "login_hint"])
@pytest.mark.parametrize("text", ["ada@example.org\n", "a\0b", "\ud800"])
def test_an_account_is_one_line(client: ClientSecrets, name: str, text: str) -> None:
    """It would become a part of the document, which nobody could read then."""
    with pytest.raises(ConsentError, match=f"the {name} is not one line") as caught:
        Inquiry.prepare(client, ["a"], **{name: text})

    assert caught.value.reason == "ParametersInvalid"


@pytest.mark.parametrize("scopes", [[], [""], ["a b"], ["a\n"], ["a\\b"], ['"a"'], ["ä"], [None], [7], [["a"]], [{}]])
def test_scopes_that_are_none(client: ClientSecrets, scopes: Any) -> None:
    with pytest.raises(ConsentError) as caught:
        create(client, scopes)

    assert caught.value.reason == "ScopesInvalid"


def test_http_endpoint_keeps_its_scheme_and_query(client: ClientSecrets) -> None:
    request = create(client, auth_uri="http://127.0.0.1:9400/auth?tenant=t")

    assert request.url.startswith("http://127.0.0.1:9400/auth?tenant=t&")
    assert parameters(request)["tenant"] == ["t"]
