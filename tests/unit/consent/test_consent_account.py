"""Whose tokens they are, against the sandbox, and against providers that tell it otherwise or not at all."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from small_server import SmallServer, small_server

from sandbox_provider import person
from sandbox_provider.testing import Sandbox
from token_keeper.consent import ClientSecrets, Consent, Inquiry, by_loopback, missing_scopes
from token_keeper.consent.account import Account, check, identify
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.errors import ConsentError
from token_keeper.exchange import TokenReply

CALENDAR = "https://www.googleapis.com/auth/calendar"
ISSUER = "https://provider.example"


@pytest.fixture
def server() -> Iterator[SmallServer]:
    with small_server() as running:
        yield running


def consent(secrets: ClientSecrets, wishes: person.Wishes | None = None, **options: Any) -> Consent:
    inquiry = Inquiry.prepare(secrets, options.pop("scopes", [CALENDAR]), **options)
    return by_loopback(
        inquiry,
        announce=lambda _text: None,
        open_browser=lambda url: person.visit(url, wishes) < 400,
        timeout=10.0,
    )


def test_the_account_that_was_expected(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    found = consent(secrets, provider="generic", issuer=sandbox.url, account="demo@sandbox.invalid")

    assert found.document.account == "demo@sandbox.invalid"
    assert found.warnings == ()
    assert found.document.token is not None
    assert sandbox.accepts(found.document.token)


def test_another_account(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    with pytest.raises(ConsentError) as caught:
        consent(
            secrets,
            person.Wishes(account="bob@sandbox.invalid"),
            provider="generic",
            issuer=sandbox.url,
            account="ada@sandbox.invalid",
        )

    assert caught.value.reason == "AccountMismatch"
    assert "given by bob@sandbox.invalid" in caught.value.message
    assert "ada@sandbox.invalid is the account that was expected" in caught.value.message
    assert "choose ada@sandbox.invalid" in caught.value.remedy
    assert "expect bob@sandbox.invalid" in caught.value.remedy


def test_the_account_is_noted_although_none_was_expected(secrets: ClientSecrets) -> None:
    assert consent(secrets, scopes=[CALENDAR, "openid", "email"]).document.account == "demo@sandbox.invalid"


def test_a_second_run_finds_what_it_asks_for(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    """What was asked for besides, to be told the account, is in the document; nobody has to ask for it again."""
    document = consent(secrets, provider="generic", issuer=sandbox.url, account="Demo@Sandbox.invalid").document

    assert missing_scopes([CALENDAR], document.scopes) == []
    assert document.account == "Demo@Sandbox.invalid", "as it is expected, so that it is the same the next time"


def test_it_cannot_be_told(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    found = consent(secrets, account="demo@sandbox.invalid", ask_for_account=False)

    assert (found.document.account, found.account) == ("demo@sandbox.invalid", "")
    assert len(found.warnings) == 1
    assert "could not be told" in found.warnings[0]


def test_a_provider_that_does_not_grant_the_scopes_for_it(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(granted_scopes=[CALENDAR])
    found = consent(secrets, provider="generic", issuer=sandbox.url, account="demo@sandbox.invalid")

    assert found.document.scopes == (CALENDAR,)
    assert "could not be told" in found.warnings[0]


def test_scopes_that_were_asked_for_are_required_even_those_of_a_sign_in(
    sandbox: Sandbox, secrets: ClientSecrets
) -> None:
    sandbox.settings(granted_scopes=[CALENDAR])
    with pytest.raises(ConsentError) as caught:
        consent(secrets, scopes=[CALENDAR, "openid"], account="demo@sandbox.invalid")

    assert caught.value.reason == "ScopesMissing"


def test_token_information_of_the_sandbox(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    profile = {
        "endpoints": {"token": sandbox.token_uri, "tokeninfo": f"{sandbox.url}/tokeninfo"},
        "authorization_parameters": {"access_type": "offline", "prompt": "consent"},
        "account": {"sources": ["tokeninfo"], "scopes": ["email"]},
    }
    found = consent(secrets, provider=profile, account="demo@sandbox.invalid")

    assert (found.document.account, found.warnings) == ("demo@sandbox.invalid", ())


def test_user_information_of_the_sandbox(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    profile = {
        "endpoints": {"token": sandbox.token_uri, "userinfo": f"{sandbox.url}/userinfo"},
        "authorization_parameters": {"access_type": "offline", "prompt": "consent"},
        "account": {"sources": ["userinfo"]},
    }
    found = consent(secrets, provider=profile, scopes=["openid", "email"], account="demo@sandbox.invalid")

    assert (found.document.account, found.warnings) == ("demo@sandbox.invalid", ())


# -- without a provider


def id_token(**claims: Any) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part({'iss': ISSUER, 'aud': 'client.example', 'sub': '42', **claims})}.c2ln"


def reply(token: str | None, scope: tuple[str, ...] = ("openid", "email")) -> TokenReply:
    return TokenReply("canary-access", "canary-refresh", 3599.0, scope, token, None, 1_800_000_000.0)


def asking(request: AuthorizationRequest, **changes: Any) -> AuthorizationRequest:
    return dataclasses.replace(request, endpoints=dataclasses.replace(request.endpoints, **changes))


def test_claims(request_for_consent: AuthorizationRequest) -> None:
    def told(**claims: Any) -> Account:
        return identify(reply(id_token(**claims)), request_for_consent)

    assert told(email="ada@example.org") == Account("ada@example.org", "42")
    assert told(email="ada@example.org", email_verified=True).name == "ada@example.org"
    assert told(email="ada@example.org", email_verified=False).name == "42"
    assert told(email="ada@example.org", email_verified="false").name == "42"
    assert told(aud=["other", "client.example"]).name == "42"
    assert told(email=["x"], sub=7).name == ""
    assert told(email="a\nb", sub="\x1b[2J").name == ""


@pytest.mark.parametrize(
    "text", ["", "x", "a.b", "a.%%%.c", "a.W10.c", "a.IngiCg.c", "..", "é.é.é", "a." + "W" * 90_000]
)
def test_id_tokens_that_are_none_tell_nothing(request_for_consent: AuthorizationRequest, text: str) -> None:
    assert identify(reply(text), request_for_consent) == Account()


def test_an_id_token_for_another_client_or_of_another_issuer(request_for_consent: AuthorizationRequest) -> None:
    for claims, said in (
        ({"aud": "other"}, "another client"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": {"canary": []}}, "another issuer"),
    ):
        with pytest.raises(ConsentError, match=said) as caught:
            identify(reply(id_token(**claims)), request_for_consent)
        assert caught.value.reason == "IdTokenForeign"
        assert "canary" not in str(caught.value)


def test_names_of_the_issuer(request_for_consent: AuthorizationRequest) -> None:
    alias = asking(request_for_consent, issuer_aliases=("provider.example",))
    assert identify(reply(id_token(iss="provider.example")), alias).name == "42"
    # reached by another address from here than from browsers, and going by that
    inside = asking(request_for_consent, token_uri="http://sandbox:9400/token")
    assert identify(reply(id_token(iss="http://sandbox:9400")), inside).name == "42"
    nobody = asking(request_for_consent, issuer=None)
    assert identify(reply(id_token(iss="anything")), nobody).name == "42"


def test_user_information(request_for_consent: AuthorizationRequest, server: SmallServer) -> None:
    request = asking(request_for_consent, userinfo_uri=f"{server.url}/me")
    server.answers["/me"] = (200, b'{"sub": "42", "email": "ada@example.org"}')

    assert identify(reply(id_token()), request).name == "ada@example.org"
    assert server.headers["Authorization"] == "Bearer canary-access"
    assert identify(reply(id_token(sub="43")), request).name == "43", "it speaks of somebody else"
    server.asked.clear()
    assert identify(reply(id_token(email="bob@example.org")), request).name == "bob@example.org"
    assert identify(reply(None, ("calendar",)), request).name == ""
    assert server.asked == []


def test_token_information_for_another_client(request_for_consent: AuthorizationRequest, server: SmallServer) -> None:
    request = asking(request_for_consent, account_sources=("tokeninfo",), tokeninfo_uri=f"{server.url}/info")
    server.answers["/info"] = (200, b'{"aud": "other", "email": "ada@example.org"}')
    assert identify(reply(None), request) == Account()
    server.answers["/info"] = (200, b'{"aud": "client.example", "email": "ada@example.org"}')
    assert identify(reply(None), request).name == "ada@example.org"


@pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"hotel"), (200, b"[1]"), (401, b'{"sub": "42"}')])
def test_a_source_that_fails_fails_nothing(
    request_for_consent: AuthorizationRequest, server: SmallServer, answer: tuple[int, bytes]
) -> None:
    request = asking(request_for_consent, userinfo_uri=f"{server.url}/me")
    server.answers["/me"] = answer
    assert identify(reply(None), request) == Account()


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        (Account("Ada@Example.org", "42"), "ada@example.org", True),
        (Account("ada@example.org", "42"), "42", True),
        (Account("", "42"), "42", True),
        (Account("", "42"), "ada@example.org", None),
        (Account(), "ada@example.org", None),
        (Account("ada@example.org"), "42", None),
        (Account("bob@example.org", "42"), "ada@example.org", False),
        (Account("", "42"), "43", False),
        (Account("", "aB"), "Ab", False),
    ],
)
def test_comparison(found: Account, expected: str, same: bool | None) -> None:
    assert found.is_called(expected) is same
    if same is False:
        with pytest.raises(ConsentError):
            check(found, expected)
    else:
        assert (check(found, expected) is None) is (same is True)
