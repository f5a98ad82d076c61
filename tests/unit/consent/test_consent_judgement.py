"""What a person is told when the answer is not what was asked for, by the sandbox as Google would have it."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import ends_at

from sandbox_provider import person
from sandbox_provider.testing import Sandbox
from token_keeper.consent import ClientSecrets, Consent, Inquiry, by_loopback
from token_keeper.errors import ConsentError, TokenKeeperError

CALENDAR = "https://www.googleapis.com/auth/calendar"
READING = f"{CALENDAR}.readonly"


def consent(secrets: ClientSecrets, wishes: person.Wishes | None = None, **options: Any) -> Consent:
    timeout = options.pop("timeout", 10.0)
    inquiry = Inquiry.prepare(secrets, options.pop("scopes", [CALENDAR, READING]), **options)
    return by_loopback(
        inquiry,
        announce=lambda _text: None,
        open_browser=lambda url: person.visit(url, wishes) < 400,
        timeout=timeout,
    )


def refused(secrets: ClientSecrets, wishes: person.Wishes | None = None, **options: Any) -> TokenKeeperError:
    with pytest.raises(TokenKeeperError) as caught:
        consent(secrets, wishes, **options)
    return caught.value


def test_a_box_that_was_not_ticked(secrets: ClientSecrets) -> None:
    error = refused(secrets, person.Wishes(leave_out=("calendar.readonly",)))

    assert error.reason == "ScopesMissing"
    assert error.message == f"consent was given, but without {READING}"
    assert "tick the box of each of these" in error.remedy


def test_no_box_ticked_is_a_no(secrets: ClientSecrets) -> None:
    error = refused(secrets, person.Wishes(leave_out=("calendar", "calendar.readonly")))

    assert error.reason == "ConsentRefused"
    assert "choose Allow" in error.remedy


def test_a_no_of_an_app_in_testing(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(publishing="testing")
    error = refused(secrets, person.Wishes(deny=True))

    assert error.reason == "ConsentRefused"
    assert "in Testing, the account must be one of its test users" in error.remedy


def test_a_grant_that_ends_in_a_week(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(publishing="testing")
    found = consent(secrets)

    assert found.grant_expires_in == pytest.approx(7 * 86_400, abs=5)
    assert "ends this grant by itself in 7 days" in found.warnings[0]
    assert "Testing: publish the app" in found.warnings[0]
    sandbox.settings(publishing="production")
    assert consent(secrets).warnings == ()


def test_a_second_consent_without_the_prompt(secrets: ClientSecrets) -> None:
    assert consent(secrets)
    error = refused(secrets, extra_params={"prompt": None})

    assert error.reason == "RefreshTokenMissing"
    assert "asked without prompt=consent" in error.remedy


def test_without_offline_access(secrets: ClientSecrets) -> None:
    error = refused(secrets, extra_params={"access_type": "online"})

    assert error.reason == "RefreshTokenMissing"
    assert "asked without access_type=offline" in error.remedy


def test_asked_for_with_all_that_helps(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(omit_refresh_token=True)
    error = refused(secrets)

    assert error.reason == "RefreshTokenMissing"
    assert "remove this app in the account's settings" in error.remedy


def test_a_web_client_without_a_redirect_to_this_machine(sandbox: Sandbox) -> None:
    redirects = ["https://app.example/callback"]
    sandbox.register_client("web.example", "canary-web", redirect_uris=redirects)
    web = sandbox.call("GET", "/console/client_secret.json?client_id=web.example")
    error = refused(ClientSecrets.parse(web, "web client"))

    assert error.reason == "RedirectUriMismatch"
    assert "type Desktop app" in error.remedy


def test_a_web_client_that_is_taken_for_a_desktop_app(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.register_client("web2.example", "canary-web", redirect_uris=["https://app.example/callback"])
    client = ClientSecrets("web2.example", "canary-web", secrets.auth_uri, secrets.token_uri)
    error = refused(client, timeout=0.6)

    assert error.reason == "ConsentTimedOut"
    assert "redirect_uri_mismatch, use a client of type Desktop app" in error.remedy


def test_an_answer_without_the_issuer_that_the_provider_promises(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    def strip(url: str) -> bool:
        address = ends_at(url)
        before, _, after = address.partition("iss=")
        return person.visit(before + after.partition("&")[2]) < 400

    inquiry = Inquiry.prepare(secrets, [CALENDAR], provider="generic", issuer=sandbox.url)
    exchanges = sandbox.counters()["exchanges"]
    with pytest.raises(ConsentError, match="names no issuer") as caught:
        by_loopback(inquiry, announce=lambda _text: None, open_browser=strip, timeout=10.0)

    assert caught.value.reason == "IssuerMismatch"
    assert sandbox.counters()["exchanges"] == exchanges
    unpromised = Inquiry.prepare(secrets, [CALENDAR], issuer=sandbox.url)
    assert by_loopback(unpromised, announce=lambda _text: None, open_browser=strip, timeout=10.0)
