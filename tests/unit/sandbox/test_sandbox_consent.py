"""The authorization endpoint."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_parts import CALENDAR, REDIRECT, InProcess, answer, pkce, refusal


def test_consent_answers_by_a_redirect_without_any_cookie(inside: InProcess) -> None:
    response = inside.authorize()
    assert "Set-Cookie" not in response.headers
    assert response.location.startswith(REDIRECT)
    assert answer(response) | {"code": "..."} == {
        "code": "...",
        "state": "the-state",
        "iss": "http://sandbox.test:9400",
        "scope": CALENDAR,
    }


def test_the_query_of_the_redirect_uri_is_kept(inside: InProcess) -> None:
    assert answer(inside.authorize(redirect_uri=f"{REDIRECT}?a=b"))["a"] == "b"


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://localhost:1/",
        "http://localhost",
        "http://127.0.0.1:65535/callback",
        "http://127.0.0.2:8080",
        "http://[::1]:8080/",
    ],
)
def test_an_installed_client_may_use_any_loopback_address(inside: InProcess, redirect_uri: str) -> None:
    assert inside.authorize(redirect_uri=redirect_uri).status_code == 302


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://example.com/",
        "https://localhost:1/",
        "http://localhost.example.com/",
        "http://localhost@example.com/",
        "http://user@localhost/",
        "http://localhost:99999/",
        "http://localhost:1/#fragment",
        "http://local\nhost:1/",
        "http://[::1",
        "http://10.0.0.1/",
        "urn:ietf:wg:oauth:2.0:oob",
        "<script>alert(1)</script>",
    ],
)
def test_another_address_gets_a_page_and_no_redirect(inside: InProcess, redirect_uri: str) -> None:
    response = inside.authorize(redirect_uri=redirect_uri)
    assert response.status_code == 400
    assert response.mimetype == "text/html"
    assert "Error 400: <strong>redirect_uri_mismatch</strong>" in response.text
    assert "<script>" not in response.text
    assert "Location" not in response.headers


def test_a_web_client_may_use_its_own_addresses_only(inside: InProcess) -> None:
    client = {"client_id": "web", "client_secret": "s3", "redirect_uris": ["https://app.example/cb"]}
    assert inside.http.post("/admin/clients", json=client).status_code == 201
    assert inside.authorize(client_id="web", redirect_uri="https://app.example/cb").status_code == 302
    assert inside.authorize(client_id="web", redirect_uri="https://app.example/cb/").status_code == 400
    assert inside.authorize(client_id="web", redirect_uri=REDIRECT).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"client_id": None}, 400, "Missing required parameter: client_id"),
        ({"client_id": "nobody"}, 401, "The OAuth client was not found."),
        ({"redirect_uri": None}, 400, "Missing required parameter: redirect_uri"),
        ({"response_type": None}, 400, "Missing required parameter: response_type"),
        ({"response_type": "token"}, 400, "unsupported_response_type"),
        ({"scope": None}, 400, "Missing required parameter: scope"),
        ({"scope": 'a"b'}, 400, "invalid_scope"),
        ({"scope": "   "}, 400, "invalid_scope"),
        ({"code_challenge": "x" * 43}, 400, "code_challenge_method must be S256"),
        ({"code_challenge": "x" * 43, "code_challenge_method": "plain"}, 400, "must be S256"),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, 400, "code_challenge"),
        ({"prompt": "none consent"}, 400, "prompt=none"),
    ],
)
def test_a_malformed_request_gets_a_page(inside: InProcess, changes: dict, status: int, words: str) -> None:
    response = inside.authorize(**changes)
    assert response.status_code == status
    assert words in response.text.replace("&#39;", "'")


def test_a_repeated_parameter_gets_a_page(inside: InProcess) -> None:
    query = f"client_id={inside.demo.client_id}&redirect_uri={REDIRECT}&response_type=code&scope=a&state=1&state=2"
    response = inside.http.get(f"/o/oauth2/v2/auth?{query}")
    assert response.status_code == 400
    assert "state" in response.text


def test_deny(inside: InProcess) -> None:
    inside.settings(consent="deny")
    found = answer(inside.authorize())
    assert found["error"] == "access_denied"
    assert (found["state"], found["iss"]) == ("the-state", "http://sandbox.test:9400")
    assert "code" not in found


def test_silent(inside: InProcess) -> None:
    inside.settings(consent="silent")
    response = inside.authorize()
    assert response.status_code == 200
    assert "nobody answers" in response.text


def test_wrong_state(inside: InProcess) -> None:
    inside.settings(consent="wrong_state")
    found = answer(inside.authorize())
    assert found["state"] != "the-state"
    assert found["code"]
    assert found["iss"] == "http://sandbox.test:9400"


def test_refresh_token_at_the_first_consent_only(inside: InProcess) -> None:
    assert "refresh_token" in inside.consent(prompt=None)
    assert "refresh_token" not in inside.consent(prompt=None)
    assert "refresh_token" in inside.consent(prompt="consent")
    assert "refresh_token" in inside.consent(prompt="select_account consent")
    # another person, and a scope the person has not been asked for yet
    assert "refresh_token" in inside.consent(prompt=None, login_hint="ada@example.com")
    assert "refresh_token" in inside.consent(prompt=None, scope=f"{CALENDAR} openid")


def test_no_refresh_token_without_offline_access(inside: InProcess) -> None:
    assert "refresh_token" not in inside.consent(access_type=None)
    assert "refresh_token" not in inside.consent(access_type="online")


def test_a_revoked_grant_makes_the_next_consent_a_first_one(inside: InProcess) -> None:
    first = inside.consent(prompt=None)
    assert inside.http.post("/revoke", data={"token": first["refresh_token"]}).status_code == 200
    assert "refresh_token" in inside.consent(prompt=None)


def test_prompt_none(inside: InProcess) -> None:
    found = answer(inside.authorize(prompt="none"))
    assert (found["error"], found["state"]) == ("interaction_required", "the-state")
    inside.consent()
    assert "code" in answer(inside.authorize(prompt="none"))


def test_omitted_refresh_token(inside: InProcess) -> None:
    inside.settings(omit_refresh_token=True)
    assert "refresh_token" not in inside.consent()


def test_granted_scopes(inside: InProcess) -> None:
    inside.settings(granted_scopes=["openid"])
    redirect = inside.authorize(scope=f"{CALENDAR} openid")
    assert answer(redirect)["scope"] == "openid"
    token = inside.exchange(answer(redirect)["code"]).json
    assert token["scope"] == "openid"
    # google-auth asks for all it wanted in the first place
    assert refusal(inside.refresh(token["refresh_token"], scope=f"{CALENDAR} openid")) == (
        400,
        "invalid_scope",
        "Bad Request",
    )
    assert inside.refresh(token["refresh_token"]).json["scope"] == "openid"


def test_pkce(inside: InProcess) -> None:
    verifier, challenge = pkce()
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    assert inside.exchange(inside.code(**asked), code_verifier=verifier).status_code == 200
    code = inside.code(**asked)
    assert refusal(inside.exchange(code)) == (400, "invalid_grant", "Missing code verifier.")
    assert refusal(inside.exchange(code, code_verifier=pkce()[0])) == (400, "invalid_grant", "Invalid code verifier.")
    assert refusal(inside.exchange(code, code_verifier="short")) == (400, "invalid_grant", "Invalid code verifier.")
    # RFC 9700 section 4.8: a verifier nobody asked for is a downgrade
    assert refusal(inside.exchange(inside.code(), code_verifier=verifier))[1] == "invalid_grant"
    assert inside.exchange(code, code_verifier=verifier).status_code == 200


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["client_id", "redirect_uri", "response_type", "scope", "state", "prompt", "login_hint",
                         "access_type", "code_challenge", "code_challenge_method"]),
        st.one_of(st.none(), st.text(max_size=40), st.from_regex(r"http://localhost:[0-9]{1,5}/.{0,20}")),
    )
)  # fmt: skip
def test_no_request_breaks_the_authorization_endpoint(inside: InProcess, changes: dict) -> None:
    assert inside.authorize(**changes).status_code in {200, 302, 400, 401}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["account", "other_account", "decision", "granted", "scope", "state", "response_type"]),
        st.one_of(st.text(max_size=40), st.sampled_from(["a@b.example", "allow", "deny", CALENDAR])),
    )
)
def test_no_form_breaks_the_consent_page(inside: InProcess, form: dict) -> None:
    query = {"client_id": inside.demo.client_id, "redirect_uri": REDIRECT, "response_type": "code", "scope": CALENDAR}
    response = inside.http.post("/o/oauth2/v2/auth", query_string=query, data=form)
    assert response.status_code in {303, 400}
