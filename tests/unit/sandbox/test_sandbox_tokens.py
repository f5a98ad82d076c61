"""The token and revocation endpoints."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sandbox_parts import CALENDAR, InProcess, pkce, refusal

from sandbox_provider.grants import CODE_LIFETIME

DEAD = (400, "invalid_grant", "Token has been expired or revoked.")
REFUSED = (400, "invalid_grant", "Bad Request")


def test_a_token_answer(inside: InProcess) -> None:
    response = inside.exchange(inside.code())
    assert set(response.json) == {"access_token", "refresh_token", "expires_in", "scope", "token_type"}
    assert (response.json["expires_in"], response.json["token_type"]) == (3600, "Bearer")
    assert response.json["scope"] == CALENDAR
    assert response.headers["Cache-Control"] == "no-store"
    assert inside.calendar(response.json["access_token"]) == 200


def test_a_refresh_keeps_the_refresh_token(inside: InProcess) -> None:
    inside.settings(access_token_lifetime=60)
    first = inside.consent()
    second = inside.refresh(first["refresh_token"]).json
    assert set(second) == {"access_token", "expires_in", "scope", "token_type"}
    assert second["expires_in"] == 60
    assert second["access_token"] != first["access_token"]
    # the older access token goes on living, as at Google
    assert inside.calendar(first["access_token"]) == inside.calendar(second["access_token"]) == 200
    assert inside.refresh(first["refresh_token"]).status_code == 200


def test_an_access_token_ends_with_its_time(inside: InProcess) -> None:
    token = inside.consent()["access_token"]
    inside.clock.now += 3599
    assert inside.calendar(token) == 200
    inside.clock.now += 1
    assert inside.calendar(token) == 401


def test_a_grant_that_is_limited_in_time(inside: InProcess) -> None:
    inside.settings(refresh_token_lifetime=604_800)
    token = inside.consent()
    assert token["refresh_token_expires_in"] == 604_800
    inside.clock.now += 604_799
    assert inside.refresh(token["refresh_token"]).json["refresh_token_expires_in"] == 1
    inside.clock.now += 1
    assert refusal(inside.refresh(token["refresh_token"])) == DEAD


def test_fewer_scopes_may_be_asked_for(inside: InProcess) -> None:
    token = inside.consent(scope=f"{CALENDAR} openid")
    narrow = inside.refresh(token["refresh_token"], scope="openid").json
    assert narrow["scope"] == "openid"
    assert inside.calendar(narrow["access_token"]) == 403
    assert inside.refresh(token["refresh_token"]).json["scope"] == f"{CALENDAR} openid"


def test_basic_authentication_of_the_client(inside: InProcess) -> None:
    token = inside.consent()
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    auth = (inside.demo.client_id, inside.demo.client_secret)
    assert inside.http.post("/token", data=form, auth=auth).status_code == 200
    refused = inside.http.post("/token", data=form, auth=(inside.demo.client_id, "wrong"))
    assert refusal(refused) == (401, "invalid_client", "Unauthorized")
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"client_secret": "wrong"}, (401, "invalid_client", "Unauthorized")),
        ({"client_id": "nobody"}, (401, "invalid_client", "The OAuth client was not found.")),
        ({"client_secret": None}, (400, "invalid_request", "client_secret is missing.")),
        ({"client_id": None}, (400, "invalid_request", "Could not determine client ID from request.")),
        ({"refresh_token": "unheard-of"}, REFUSED),
        ({"refresh_token": ""}, (400, "invalid_request", "Missing required parameter: refresh_token")),
        ({"refresh_token": None}, (400, "invalid_request", "Missing 'refresh_token' in request.")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type", "Invalid grant_type: password")),
        ({"grant_type": None}, (400, "invalid_request", "Missing required parameter: grant_type")),
        ({"scope": "openid"}, (400, "invalid_scope", "Bad Request")),
    ],
)
def test_refused_refreshes(inside: InProcess, form: dict, expected: tuple) -> None:
    token = inside.consent()["refresh_token"]
    assert refusal(inside.refresh(token, **form)) == expected
    assert inside.counters()["exchanges"] == {"authorization_code": 1, "refresh_token": 0, "refused": 1}


def test_a_refresh_token_of_another_client(inside: InProcess) -> None:
    token = inside.consent()["refresh_token"]
    inside.http.post("/admin/clients", json={"client_id": "other", "client_secret": "s3"})
    stolen = inside.refresh(token, client_id="other", client_secret="s3")
    assert refusal(stolen) == (401, "unauthorized_client", "Unauthorized")
    assert inside.refresh(token).status_code == 200


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"code": "unheard-of"}, (400, "invalid_grant", "Malformed auth code.")),
        ({"code": ""}, (400, "invalid_request", "Missing required parameter: code")),
        ({"redirect_uri": "http://127.0.0.1:1/"}, (400, "redirect_uri_mismatch", "Bad Request")),
        ({"redirect_uri": None}, (400, "redirect_uri_mismatch", "Bad Request")),
    ],
)
def test_refused_codes(inside: InProcess, form: dict, expected: tuple) -> None:
    code = inside.code()
    assert refusal(inside.exchange(code, **form)) == expected
    assert inside.exchange(code).status_code == 200


def test_a_code_of_another_client(inside: InProcess) -> None:
    code = inside.code()
    inside.http.post("/admin/clients", json={"client_id": "other", "client_secret": "s3"})
    assert refusal(inside.exchange(code, client_id="other", client_secret="s3")) == REFUSED
    assert inside.exchange(code).status_code == 200


def test_a_code_ends_with_its_time(inside: InProcess) -> None:
    code = inside.code()
    inside.clock.now += CODE_LIFETIME
    assert refusal(inside.exchange(code)) == REFUSED


def test_a_code_used_twice_ends_its_grant(inside: InProcess) -> None:
    code = inside.code()
    token = inside.exchange(code).json
    assert refusal(inside.exchange(code)) == REFUSED
    assert refusal(inside.refresh(token["refresh_token"])) == DEAD
    assert inside.calendar(token["access_token"]) == 401


def test_a_failed_pkce_check_spends_nothing(inside: InProcess) -> None:
    verifier, challenge = pkce()
    code = inside.code(code_challenge=challenge, code_challenge_method="S256")
    assert inside.exchange(code, code_verifier=pkce()[0]).status_code == 400
    assert inside.exchange(code, code_verifier=verifier).status_code == 200


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
@pytest.mark.parametrize("place", ["form", "query"])
def test_revocation_ends_all_tokens_of_a_consent(inside: InProcess, which: str, place: str) -> None:
    inside.settings(revoke_whole_grant=False)
    token, other = inside.consent(), inside.consent()
    sent = {"data": {"token": token[which]}} if place == "form" else {"query_string": {"token": token[which]}}
    response = inside.http.post("/revoke", **sent)
    assert (response.status_code, response.json) == (200, {})
    assert refusal(inside.refresh(token["refresh_token"])) == DEAD
    assert inside.calendar(token["access_token"]) == 401
    assert inside.refresh(other["refresh_token"]).status_code == 200
    again = inside.http.post("/revoke", **sent)
    assert refusal(again) == (400, "invalid_token", "Token expired or revoked")
    assert inside.counters()["revocations"] == {"asked": 1}


def test_revocation_by_the_letter_of_rfc_7009(inside: InProcess) -> None:
    inside.settings(strict_rfc7009=True)
    assert inside.http.post("/revoke", data={"token": "unheard-of"}).status_code == 200
    assert refusal(inside.http.post("/revoke"))[1] == "invalid_request"


def test_revocation_with_client_credentials(inside: InProcess) -> None:
    token = inside.consent()
    inside.http.post("/admin/clients", json={"client_id": "other", "client_secret": "s3"})
    form = {"token": token["refresh_token"], "token_type_hint": "refresh_token"}
    assert refusal(inside.http.post("/revoke", data=form, auth=("other", "s3"))) == REFUSED
    assert inside.http.post("/revoke", data=form, auth=("other", "wrong")).status_code == 401
    own = {"client_id": inside.demo.client_id, "client_secret": inside.demo.client_secret}
    assert inside.http.post("/revoke", data=form | own).status_code == 200


def test_token_information(inside: InProcess) -> None:
    token = inside.consent()["access_token"]
    found = inside.http.get("/tokeninfo", query_string={"access_token": token}).json
    assert (found["aud"], found["scope"], found["expires_in"]) == (inside.demo.client_id, CALENDAR, "3600")
    assert found["exp"] == str(int(inside.clock.now) + 3600)
    assert "email" not in found
    assert refusal(inside.http.get("/tokeninfo?access_token=x")) == (400, "invalid_token", "Invalid Value")


def test_metadata(inside: InProcess) -> None:
    found = inside.http.get("/.well-known/oauth-authorization-server").json
    assert found["issuer"] == "http://sandbox.test:9400"
    assert found["token_endpoint"] == "http://sandbox.test:9400/token"
    assert found["authorization_response_iss_parameter_supported"] is True


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["client_id", "client_secret", "grant_type", "code", "redirect_uri", "refresh_token",
                         "scope", "code_verifier", "token", "token_type_hint"]),
        st.one_of(st.text(max_size=40), st.sampled_from(["authorization_code", "refresh_token"])),
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)  # fmt: skip
@example({}, " ")
@example({}, "Basic")
@example({}, "Basic /w==")
@example({}, "Basic x")
def test_no_request_breaks_the_token_endpoints(inside: InProcess, form: dict, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for path in ("/token", "/revoke"):
        response = inside.http.post(path, data=form, headers=headers)
        assert response.status_code in {400, 401}
        assert response.json["error"]
