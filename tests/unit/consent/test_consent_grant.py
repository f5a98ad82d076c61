"""The judgement of the token endpoint's answer, and the words for what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from token_keeper.consent import grant
from token_keeper.consent.answer import AuthorizationCode
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.document import TokenDocument
from token_keeper.errors import (
    ClientRejected,
    ConsentError,
    PolicyDenied,
    ProviderUnavailable,
    ReauthRequired,
    TokenKeeperError,
)
from token_keeper.exchange import TokenReply
from token_keeper.refresh import DEFAULT_LIFETIME

NOW = 1_800_000_000.5
SCOPE = "https://www.googleapis.com/auth/calendar"


def reply(**changes: Any) -> TokenReply:
    fields: dict[str, Any] = {
        "access_token": "canary-access",
        "refresh_token": "canary-refresh",
        "expires_in": 3599.0,
        "scope": (SCOPE,),
        "id_token": None,
        "refresh_token_expires_in": None,
        "received_at": NOW,
    }
    return TokenReply(**{**fields, **changes})


def test_document(request_for_consent: AuthorizationRequest) -> None:
    document = grant.judged(reply(scope=("extra", SCOPE)), request_for_consent)

    assert document.token == "canary-access"
    assert document.refresh_token == "canary-refresh"
    assert document.token_uri == "https://provider.example/token"
    assert document.client_id == "client.example"
    assert document.client_secret == "canary-client-secret"
    assert document.scopes == ("extra", SCOPE)
    assert document.expiry is not None
    assert document.expiry.timestamp() == pytest.approx(NOW + 3599, abs=1)
    assert TokenDocument.parse(document.to_json()) == document


def test_no_scope_in_the_answer_means_as_asked(request_for_consent: AuthorizationRequest) -> None:
    assert grant.judged(reply(scope=None), request_for_consent).scopes == (SCOPE,)


def test_unknown_lifetime_is_what_a_refresh_assumes(request_for_consent: AuthorizationRequest) -> None:
    document = grant.judged(reply(expires_in=None), request_for_consent)

    assert document.expiry is not None
    assert document.expiry.timestamp() == pytest.approx(NOW + DEFAULT_LIFETIME, abs=1)


def test_refresh_token_missing(request_for_consent: AuthorizationRequest) -> None:
    with pytest.raises(ConsentError, match="no refresh token") as caught:
        grant.judged(reply(refresh_token=None), request_for_consent)

    assert caught.value.reason == "RefreshTokenMissing"
    assert "prompt=consent" in caught.value.remedy
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("scope", [(), ("openid",), (SCOPE + ".readonly",)])
def test_scopes_missing(request_for_consent: AuthorizationRequest, scope: tuple[str, ...]) -> None:
    with pytest.raises(ConsentError, match=f"without {SCOPE}") as caught:
        grant.judged(reply(scope=scope), request_for_consent)

    assert caught.value.reason == "ScopesMissing"
    assert "tick the box" in caught.value.remedy


@pytest.mark.parametrize(
    ("raised", "kind", "reason", "said"),
    [
        (ReauthRequired("/token answered 400 invalid_grant"), ConsentError, "CodeRejected", "works once"),
        (
            ProviderUnavailable("/token answered 400 redirect_uri_mismatch", reason="RedirectUriMismatch"),
            ConsentError,
            "RedirectUriMismatch",
            "register this redirect",
        ),
        (ProviderUnavailable("no reply", reason="NoReply"), ProviderUnavailable, "NoReply", "run the consent again"),
        (ClientRejected("no", reason="InvalidClient", remedy="check"), ClientRejected, "InvalidClient", "check"),
        (PolicyDenied("no", reason="OrgInternal", remedy="ask"), PolicyDenied, "OrgInternal", "ask"),
    ],
)
def test_refusals_say_what_a_person_can_do(
    request_for_consent: AuthorizationRequest,
    monkeypatch: pytest.MonkeyPatch,
    raised: TokenKeeperError,
    kind: type[TokenKeeperError],
    reason: str,
    said: str,
) -> None:
    forms: list[Mapping[str, str]] = []

    def refuse(uri: str, form: Mapping[str, str], *, deadline: float) -> TokenReply:
        assert (uri, deadline) == ("https://provider.example/token", 3.0)
        forms.append(form)
        raise raised

    monkeypatch.setattr(grant, "request_token", refuse)
    with pytest.raises(TokenKeeperError) as caught:
        grant.redeem(request_for_consent, AuthorizationCode("canary-code"), deadline=3.0)

    assert type(caught.value) is kind
    assert caught.value.reason == reason
    assert said in caught.value.remedy
    assert raised.message in caught.value.message
    assert forms == [
        {
            "grant_type": "authorization_code",
            "code": "canary-code",
            "code_verifier": request_for_consent.verifier,
            "redirect_uri": "http://127.0.0.1:8085/",
            "client_id": "client.example",
            "client_secret": "canary-client-secret",
        }
    ]
