"""Who consented: id tokens, token information, user information."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
import requests
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet
from over_http import CALENDAR, answered, authorize, consent, exchange, refresh, tokeninfo

from sandbox_provider.testing import Sandbox, running_sandbox

ADA = "ada@example.com"


def keys(sandbox: Sandbox) -> KeySet:
    found = sandbox.call("GET", "/.well-known/openid-configuration")
    return KeySet.import_key_set(requests.get(found["jwks_uri"], timeout=30).json())


def claims(sandbox: Sandbox, token: dict) -> dict:
    decoded = jwt.decode(token["id_token"], keys(sandbox), algorithms=["RS256"])
    assert decoded.header["alg"] == "RS256"
    return decoded.claims


def test_an_id_token(sandbox: Sandbox) -> None:
    token = consent(sandbox, scope=f"openid email {CALENDAR}", login_hint=ADA)
    found = claims(sandbox, token)
    assert found["iss"] == sandbox.url
    assert found["aud"] == found["azp"] == sandbox.client.client_id
    assert (found["email"], found["email_verified"]) == (ADA, True)
    assert len(found["sub"]) == 21
    assert abs(found["iat"] - time.time()) < 5
    assert found["exp"] - found["iat"] == 3600
    # OpenID Connect Core 3.1.3.6
    half = hashlib.sha256(token["access_token"].encode()).digest()[:16]
    assert found["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
    assert "nonce" not in found


def test_its_subject_is_the_account(sandbox: Sandbox) -> None:
    sandbox.register_client("other", "secret")
    first = claims(sandbox, consent(sandbox, scope="openid", login_hint=ADA))
    assert "email" not in first
    again = claims(sandbox, consent(sandbox, scope=f"openid {CALENDAR}", login_hint=ADA))
    other = claims(sandbox, consent(sandbox, scope="openid", login_hint="grace@example.com"))
    assert first["sub"] == again["sub"] != other["sub"]


def test_a_nonce_comes_back_once(sandbox: Sandbox) -> None:
    token = exchange(sandbox, answered(authorize(sandbox, scope="openid", nonce="n-0S6"))["code"]).json()
    assert claims(sandbox, token)["nonce"] == "n-0S6"
    renewed = refresh(sandbox, token["refresh_token"]).json()
    assert "nonce" not in claims(sandbox, renewed)


def test_a_refresh_brings_an_id_token_too(sandbox: Sandbox) -> None:
    token = consent(sandbox, scope=f"openid email {CALENDAR}", login_hint=ADA)
    found = claims(sandbox, refresh(sandbox, token["refresh_token"]).json())
    assert (found["email"], found["iss"]) == (ADA, sandbox.url)


def test_without_openid_there_is_none(sandbox: Sandbox) -> None:
    assert "id_token" not in consent(sandbox, scope=f"email {CALENDAR}")


def test_it_goes_by_the_provider_s_clock(sandbox: Sandbox) -> None:
    sandbox.settings(clock_skew=900)
    found = claims(sandbox, consent(sandbox, scope="openid"))
    assert abs(found["iat"] - time.time() - 900) < 5


def test_the_key_outlives_a_restart_and_is_nobody_else_s() -> None:
    with running_sandbox() as first, running_sandbox() as second:
        token = consent(first, scope="openid")
        first.kill()
        first.start()
        assert claims(first, token)["sub"]
        with pytest.raises(InvalidKeyIdError):
            jwt.decode(token["id_token"], keys(second), algorithms=["RS256"])


def test_the_key_set_has_nothing_private(sandbox: Sandbox) -> None:
    (key,) = sandbox.call("GET", "/oauth2/v3/certs")["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}


def test_token_information(sandbox: Sandbox) -> None:
    token = consent(sandbox, scope=f"openid email profile {CALENDAR}", login_hint=ADA)
    found = tokeninfo(sandbox, token["access_token"])
    assert 3590 < int(found.pop("expires_in")) <= 3600
    assert abs(int(found.pop("exp")) - time.time() - 3600) < 5
    assert found == {
        "azp": sandbox.client.client_id,
        "aud": sandbox.client.client_id,
        "scope": f"openid email profile {CALENDAR}",
        "access_type": "offline",
        "sub": claims(sandbox, token)["sub"],
        "email": ADA,
        "email_verified": "true",
    }


@pytest.mark.parametrize("scope", ["email", "https://www.googleapis.com/auth/userinfo.email"])
def test_the_address_is_told_for_its_scope_only(sandbox: Sandbox, scope: str) -> None:
    assert tokeninfo(sandbox, consent(sandbox, scope=scope, login_hint=ADA)["access_token"])["email"] == ADA
    assert "email" not in tokeninfo(sandbox, consent(sandbox, login_hint=ADA)["access_token"])


def test_faults_of_token_information(sandbox: Sandbox) -> None:
    token, before = consent(sandbox)["access_token"], sandbox.counters()["requests"]["tokeninfo"]
    sandbox.fault("tokeninfo", "503")
    response = requests.get(f"{sandbox.url}/tokeninfo", {"access_token": token}, timeout=30)
    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    assert tokeninfo(sandbox, token)["scope"] == CALENDAR
    assert sandbox.counters()["requests"]["tokeninfo"] - before == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_user_information(sandbox: Sandbox, method: str) -> None:
    token = consent(sandbox, scope="openid email profile", login_hint=ADA)
    response = requests.request(
        method, f"{sandbox.url}/userinfo", headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=30
    )
    assert response.json() == {
        "sub": claims(sandbox, token)["sub"],
        "email": ADA,
        "email_verified": True,
        "name": "ada",
    }


def test_refused_user_information(sandbox: Sandbox) -> None:
    url, without = f"{sandbox.url}/userinfo", consent(sandbox)["access_token"]
    nobody = requests.get(url, timeout=30)
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    for header in ("Bearer unheard-of", "Bearer", "Basic eDp5"):
        refused = requests.get(url, headers={"Authorization": header}, timeout=30)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
    narrow = requests.get(url, headers={"Authorization": f"Bearer {without}"}, timeout=30)
    assert (narrow.status_code, narrow.json()["error"]) == (403, "insufficient_scope")
