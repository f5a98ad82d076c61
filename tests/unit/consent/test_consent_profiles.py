"""Provider profiles: those that come with the package, and the operator's own, held to their form key by key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from token_keeper.consent import ClientSecrets, Inquiry
from token_keeper.consent.endpoint import Endpoints
from token_keeper.errors import ConsentError
from token_keeper.provider import Profile, profile_at

DAY = 86_400
OWN: dict[str, Any] = {
    "name": "acme",
    "issuer": "https://login.acme.example",
    "hosts": ["login.acme.example"],
    "issuer_in_answers": True,
    "endpoints": {
        "authorization": "https://login.acme.example/authorize",
        "token": "https://login.acme.example/token",
        "userinfo": "https://login.acme.example/me",
    },
    "authorization_parameters": {"audience": "https://api.acme.example"},
    "refresh_tokens": {"rotation": "yes", "reuse_grace": 30, "idle_limit": 90 * DAY},
    "revocation": {"ends": "none"},
    "account": {"sources": ["userinfo"], "scopes": ["openid"]},
}


def invalid(provider: Any) -> ConsentError:
    with pytest.raises(ConsentError) as caught:
        Profile.load(provider)
    assert caught.value.remedy
    return caught.value


def test_google() -> None:
    google = Profile.load("google")

    assert google.endpoints["token"] == "https://oauth2.googleapis.com/token"
    assert google.authorization_parameters == {"access_type": "offline", "prompt": "consent"}
    assert (google.rotation, google.reuse_grace, google.revocation) == ("no", None, "grant")
    assert (google.idle_limit, google.testing_limit) == (182 * DAY, 7 * DAY)
    assert google.account_sources == ("id_token", "tokeninfo", "userinfo")
    assert "openid" in google.untested_scopes
    assert profile_at("https://oauth2.googleapis.com/token") is google


def test_generic_knows_nothing_of_tokens() -> None:
    generic = Profile.load("generic")

    assert (generic.rotation, generic.reuse_grace, generic.idle_limit, generic.testing_limit) == (
        "unknown", None, None, None,
    )  # fmt: skip
    assert generic.endpoints == {}
    assert profile_at("https://login.example.com/token") is generic
    assert Profile.load(None) is generic


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    profile = Profile.load(OWN)

    assert (profile.rotation, profile.reuse_grace, profile.idle_limit) == ("yes", 30.0, 90.0 * DAY)
    assert (profile.revocation, profile.issuer_in_answers) == ("none", True)
    file = tmp_path / "acme.toml"
    file.write_text('name = "acme"\n[refresh_tokens]\nrotation = "yes"\n')
    assert Profile.load(str(file)).rotation == "yes"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"isuer": "x"}, "isuer is not a key"),
        ({"endpoints": {"tokens": "x"}}, "endpoints.tokens is not a key"),
        ({"endpoints": "x"}, "endpoints is not a table"),
        ({"endpoints": {"token": 7}}, "endpoints.token is not a line of text"),
        ({"name": ""}, "name is not a line"),
        ({"hosts": "login.acme.example"}, "hosts is not a list"),
        ({"issuer_in_answers": "yes"}, "issuer_in_answers is not true or false"),
        ({"authorization_parameters": {"max_age": 0}}, "authorization_parameters.max_age is not a line"),
        ({"refresh_tokens": {"rotation": True}}, "refresh_tokens.rotation is not one of unknown, yes, no"),
        ({"refresh_tokens": {"reuse_grace": -1}}, "refresh_tokens.reuse_grace is not a number"),
        ({"refresh_tokens": {"reuse_grace": True}}, "refresh_tokens.reuse_grace is not a number"),
        ({"refresh_tokens": {"idle_limit": float("nan")}}, "refresh_tokens.idle_limit is not a number"),
        ({"refresh_tokens": {"testing_limit": "7d"}}, "refresh_tokens.testing_limit is not a number"),
        ({"revocation": {"ends": "all"}}, "revocation.ends is not one of token, grant, none"),
        ({"account": {"sources": ["guess"]}}, "account.sources is not a list of id_token"),
        ({"account": {"scopes": [""]}}, "account.scopes is not a list"),
    ],
)
def test_one_message_names_the_key(change: dict[str, Any], key: str) -> None:
    error = invalid({**OWN, **change})

    assert error.reason == "ProfileInvalid"
    assert error.message.startswith(f"the provider's profile: {key}")


def test_files_that_are_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")

    assert invalid(str(broken)).reason == invalid(str(binary)).reason == "ProfileInvalid"
    assert invalid(str(tmp_path / "none.toml")).reason == "ProfileUnreadable"
    error = invalid("gogle")
    assert error.reason == "ProfileUnknown"
    assert "generic, google" in error.remedy


def test_a_profile_makes_the_question() -> None:
    inquiry = Inquiry.prepare(ClientSecrets("id", "secret"), ["calendar"], provider=OWN, account="ada@acme.example")
    request = inquiry.request("http://127.0.0.1:8085/")

    assert request.endpoints.issuer == "https://login.acme.example"
    assert request.endpoints.issuer_in_answers
    assert request.endpoints.userinfo_uri == "https://login.acme.example/me"
    assert request.endpoints.revocation_uri is None
    assert request.asks_with("audience") == "https://api.acme.example"
    assert request.asks_with("access_type") is None
    assert (request.required, request.scopes) == (("calendar",), ("calendar", "openid"))
    assert request.asks_with("login_hint") == "ada@acme.example"


def test_a_server_that_only_behaves_like_google_is_not_asked_at_googles_addresses() -> None:
    client = ClientSecrets("id", "secret", "http://127.0.0.1:9400/auth", "http://127.0.0.1:9400/token")
    endpoints = Endpoints.find(client, provider="google")

    assert endpoints.token_uri == "http://127.0.0.1:9400/token"
    assert (endpoints.tokeninfo_uri, endpoints.userinfo_uri, endpoints.revocation_uri) == (None, None, None)
    assert endpoints.issuer is None


def test_a_profile_without_endpoints_or_issuer() -> None:
    with pytest.raises(ConsentError, match="auth_uri and token_uri are not known") as caught:
        Endpoints.find(ClientSecrets("id", "secret"), provider="generic")

    assert caught.value.reason == "EndpointMissing"


def test_who_reads_a_fresh_token_reads_no_profile(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, time, token_keeper; from token_keeper import TokenStore, TokenDocument;"
        "path = pathlib.Path(sys.argv[1]);"
        "document = TokenDocument(token='t', refresh_token='r', token_uri='https://x.example/t', client_id='i',"
        " client_secret='s').with_expires_in(3600, time.time());"
        "path.write_text(document.to_json()); path.chmod(0o600);"
        "TokenStore(path).read();"
        "assert 'token_keeper.provider' not in sys.modules; assert 'tomllib' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "token.json"], check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
