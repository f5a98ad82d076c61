"""Admin endpoints, console, status page."""

from __future__ import annotations

import pytest
from sandbox_parts import InProcess, refusal

DEFAULTS = {
    "access_token_lifetime": 3600,
    "refresh_token_lifetime": None,
    "rotation": False,
    "reuse_grace": 0,
    "consent": "grant",
    "accounts": ["demo@sandbox.invalid"],
    "omit_refresh_token": False,
    "granted_scopes": None,
    "latency": 0.0,
    "strict_rfc7009": False,
    "revoke_whole_grant": True,
    "refresh_token_cap": 100,
    "unused_lifetime": 15_724_800,
    "publishing": "production",
    "clock_skew": 0,
}


def test_settings(inside: InProcess) -> None:
    assert inside.http.get("/admin/settings").json == DEFAULTS
    changed = inside.http.put("/admin/settings", json={"rotation": True, "granted_scopes": ["a", "b"]})
    assert changed.json == DEFAULTS | {"rotation": True, "granted_scopes": ["a", "b"]}
    assert inside.http.put("/admin/settings", json={}).json == changed.json
    # what was read can be written back
    assert inside.http.put("/admin/settings", json=DEFAULTS).json == DEFAULTS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "unknown setting: colour; known are access_token_lifetime"),
        ({"rotation": "yes"}, "rotation must be true or false"),
        ({"rotation": 1}, "rotation must be true or false"),
        ({"access_token_lifetime": 0}, "access_token_lifetime must be a whole number from 1"),
        ({"access_token_lifetime": 1.5}, "access_token_lifetime must be a whole number"),
        ({"access_token_lifetime": True}, "access_token_lifetime must be a whole number"),
        ({"refresh_token_lifetime": "week"}, "refresh_token_lifetime must be a whole number"),
        ({"reuse_grace": -1}, "reuse_grace must be a number from 0"),
        ({"reuse_grace": float("nan")}, "reuse_grace must be a number from 0"),
        ({"latency": 61}, "latency must be a number from 0 to 60"),
        ({"consent": "maybe"}, "consent must be one of grant, page, deny, silent, wrong_state"),
        ({"granted_scopes": []}, "granted_scopes must be a list"),
        ({"granted_scopes": "openid"}, "granted_scopes must be a list"),
        ({"granted_scopes": ["two words"]}, "each of granted_scopes must be one word"),
        ({"accounts": []}, "accounts must be a list"),
        ({"accounts": ["nobody"]}, "each of accounts must be a mail address"),
        ({"revoke_whole_grant": None}, "revoke_whole_grant must be true or false"),
        ({"refresh_token_cap": 0}, "refresh_token_cap must be a whole number from 1"),
        ({"unused_lifetime": 0}, "unused_lifetime must be a whole number from 1"),
        ({"publishing": "internal"}, "publishing must be one of production, testing"),
        ({"clock_skew": "fast"}, "clock_skew must be a number from -31"),
    ],
)
def test_bad_settings_change_nothing(inside: InProcess, change: dict, words: str) -> None:
    response = inside.http.put("/admin/settings", json={"omit_refresh_token": True} | change)
    assert refusal(response)[:2] == (400, "invalid_request")
    assert words in response.json["error_description"]
    assert inside.http.get("/admin/settings").json == DEFAULTS


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"{}", "text/plain", "Content-Type: application/json"),
        (b"{", "application/json", "must be a JSON object"),
        (b"[]", "application/json", "must be a JSON object"),
        (b"", "application/json", "must be a JSON object"),
        (b"\xff", "application/json", "must be a JSON object"),
        (b"[" * 100_000, "application/json", "must be a JSON object"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "settings"),
        ("POST", "faults"),
        ("POST", "clients"),
        ("POST", "clients/c/secrets"),
        ("PATCH", "clients/c/secrets/1"),
        ("POST", "grants"),
        ("POST", "clock"),
    ],
)
def test_bodies_that_are_no_object(
    inside: InProcess, method: str, path: str, body: bytes, content_type: str, words: str
) -> None:
    response = inside.http.open(f"/admin/{path}", method=method, data=body, content_type=content_type)
    assert refusal(response)[:2] == (400, "invalid_request")
    assert words in response.json["error_description"]


def test_a_body_that_is_too_large(inside: InProcess) -> None:
    response = inside.http.put("/admin/settings", data=b" " * 2_000_000, content_type="application/json")
    assert refusal(response)[:2] == (413, "request_entity_too_large")


def test_clients(inside: InProcess) -> None:
    client = {"client_id": "c", "client_secret": "first"}
    created = inside.http.post("/admin/clients", json=client)
    assert (created.status_code, created.json) == (201, {"client_id": "c", "created": True})
    token = inside.http.post("/admin/grants", json={"client_id": "c", "scopes": ["openid"]}).json
    changed = inside.http.post("/admin/clients", json=client | {"client_secret": "second"})
    assert (changed.status_code, changed.json["created"]) == (200, False)
    assert inside.refresh(token["refresh_token"], client_id="c", client_secret="first").status_code == 401
    assert inside.refresh(token["refresh_token"], client_id="c", client_secret="second").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("clients", {"client_id": "c"}, "client_secret must be one line"),
        ("clients", {"client_id": 5, "client_secret": "s"}, "client_id must be one line"),
        ("clients", {"client_id": "c\n", "client_secret": "s"}, "client_id must be one line"),
        ("clients", {"client_id": "c", "client_secret": "s", "redirect_uris": []}, "redirect_uris must be a list"),
        ("clients", {"client_id": "c", "client_secret": "s", "name": "n"}, "unknown part of a client: name"),
        ("grants", {}, "scopes must be a list"),
        ("grants", {"scopes": ["openid"], "client_id": "nobody"}, "there is no client of that client_id"),
        ("grants", {"scopes": ["openid"], "user": "me"}, "unknown part of a grant: user"),
        ("grants", {"scopes": ["openid"], "account": ""}, "account must be one line"),
    ],
)
def test_bad_clients_and_grants(inside: InProcess, path: str, body: dict, words: str) -> None:
    response = inside.http.post(f"/admin/{path}", json=body)
    assert refusal(response)[:2] == (400, "invalid_request")
    assert words in response.json["error_description"]


def test_withdrawing_every_grant(inside: InProcess) -> None:
    first, second = inside.consent(), inside.consent()
    assert inside.http.delete("/admin/grants").json == {"revoked": 2}
    assert inside.http.delete("/admin/grants").json == {"revoked": 0}
    assert inside.refresh(first["refresh_token"]).status_code == 400
    assert inside.calendar(second["access_token"]) == 401


def test_counters_start_at_zero(inside: InProcess) -> None:
    assert inside.counters() == {
        "exchanges": {"authorization_code": 0, "refresh_token": 0, "refused": 0},
        "calendar": {"inserts": 0, "deletes": 0, "unauthorized": 0},
        "requests": {"auth": 0, "token": 0, "revoke": 0, "tokeninfo": 0, "calendar": 0},
        "rotation": {"reuse_detected": 0, "replayed_in_grace": 0},
        "revocations": {"asked": 0},
        "faults": {"fired": 0},
    }


def test_the_client_file_of_the_console(inside: InProcess) -> None:
    installed = inside.http.get("/console/client_secret.json").json["installed"]
    assert installed["auth_uri"] == "http://sandbox.test:9400/o/oauth2/v2/auth"
    assert installed["token_uri"] == "http://sandbox.test:9400/token"
    assert installed["redirect_uris"] == ["http://localhost"]
    assert (installed["client_id"], installed["client_secret"]) == (inside.demo.client_id, inside.demo.client_secret)


def test_the_status_page_escapes_what_others_wrote(inside: InProcess) -> None:
    token = inside.consent()["access_token"]
    event = {
        "summary": "<script>alert('x')</script>",
        "start": {"date": "2026-12-24"},
        "end": {"date": "2026-12-25"},
    }
    inside.http.post("/calendar/v3/calendars/primary/events", json=event, headers={"Authorization": f"Bearer {token}"})
    inside.http.post("/admin/faults", json={"endpoint": "token", "kind": "drop"})
    page = inside.http.get("/")
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "2026-12-24" in page.text
    assert "drop" in page.text


def test_the_status_page_shows_no_secret(inside: InProcess) -> None:
    token = inside.consent()
    page = inside.http.get("/").text
    for secret in (token["access_token"], token["refresh_token"], inside.demo.client_secret):
        assert secret not in page


def test_wrong_addresses_and_methods_get_json(inside: InProcess) -> None:
    assert refusal(inside.http.get("/nowhere"))[:2] == (404, "not_found")
    response = inside.http.get("/token")
    assert refusal(response)[:2] == (405, "method_not_allowed")
    assert "POST" in response.headers["Allow"]
