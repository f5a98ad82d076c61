"""Every fault, over real HTTP."""

from __future__ import annotations

import json
import threading
import time

import pytest
import requests

from sandbox_provider.testing import Sandbox


def refresh(sandbox: Sandbox, document: dict, timeout: float = 30) -> requests.Response:
    form = {"grant_type": "refresh_token"} | {
        name: document[name] for name in ("client_id", "client_secret", "refresh_token")
    }
    return requests.post(sandbox.token_uri, data=form, timeout=timeout)


def exchanges(sandbox: Sandbox) -> int:
    return sandbox.counters()["exchanges"]["refresh_token"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "status", "content_type", "body"),
    [
        ("500", 500, "application/json", '{"error": "internal_failure", "error_description": "Backend Error"}'),
        ("503", 503, "application/json", '{"error": "temporarily_unavailable", "error_description": "Backend Error"}'),
        ("429", 429, "application/json", None),
        ("html", 200, "text/html", None),
        ("bad_json", 200, "application/json", None),
        ("not_an_object", 200, "application/json", None),
        ("oauth_error", 400, "application/json", '{"error": "invalid_grant", "error_description": "Bad Request"}'),
    ],
)
def test_answers(sandbox: Sandbox, kind: str, status: int, content_type: str, body: str | None, when: str) -> None:
    document, before = sandbox.issue_token(), exchanges(sandbox)
    sandbox.fault("token", kind, when=when)
    response = refresh(sandbox, document)
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith(content_type)
    assert body is None or response.text == body
    if kind in {"html", "bad_json"}:
        with pytest.raises(ValueError):
            response.json()
    assert "Retry-After" not in response.headers
    assert exchanges(sandbox) - before == (1 if when == "after" else 0)
    # the fault is over
    assert refresh(sandbox, document).status_code == 200
    assert exchanges(sandbox) - before == (2 if when == "after" else 1)


def test_retry_after(sandbox: Sandbox) -> None:
    sandbox.fault("token", "429", retry_after=7)
    sandbox.fault("token", "503", retry_after=0.2)
    document = sandbox.issue_token()
    assert refresh(sandbox, document).headers["Retry-After"] == "7"
    assert refresh(sandbox, document).headers["Retry-After"] == "1"


def test_a_policy_error(sandbox: Sandbox) -> None:
    sandbox.fault("token", "oauth_error", error="admin_policy_enforced", error_description="No.")
    answer = refresh(sandbox, sandbox.issue_token())
    assert answer.json() == {"error": "admin_policy_enforced", "error_description": "No."}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_dropped_reply(sandbox: Sandbox, when: str) -> None:
    document, before = sandbox.issue_token(), exchanges(sandbox)
    sandbox.fault("token", "drop", when=when)
    with pytest.raises(requests.ConnectionError, match="Remote end closed connection without response"):
        refresh(sandbox, document)
    assert exchanges(sandbox) - before == (1 if when == "after" else 0)
    assert refresh(sandbox, document).status_code == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stall(sandbox: Sandbox, when: str) -> None:
    document, before = sandbox.issue_token(), exchanges(sandbox)
    sandbox.fault("token", "stall", when=when)
    with pytest.raises(requests.ReadTimeout):
        refresh(sandbox, document, timeout=0.3)
    deadline = time.monotonic() + 20
    while sandbox.call("GET", "/admin/faults")["faults"] or exchanges(sandbox) - before < (when == "after"):
        assert time.monotonic() < deadline, "the request has not come as far"
        time.sleep(0.02)
    assert exchanges(sandbox) - before == (1 if when == "after" else 0)
    assert refresh(sandbox, document).status_code == 200


def test_clearing_the_faults_lets_go_of_stalled_requests(sandbox: Sandbox) -> None:
    document = sandbox.issue_token()
    sandbox.fault("token", "stall")
    outcome: list[Exception] = []

    def wait() -> None:
        try:
            refresh(sandbox, document)
        except requests.ConnectionError as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    fired = sandbox.counters()["faults"]["fired"]
    while sandbox.call("GET", "/admin/faults")["faults"] and waiting.is_alive():
        time.sleep(0.01)
    assert sandbox.counters()["faults"]["fired"] >= fired
    sandbox.clear_faults()
    waiting.join(10)
    assert not waiting.is_alive()
    assert "Remote end closed" in str(outcome[0])


def test_a_dropped_reply_after_a_rotation_costs_the_grant_unless_there_is_a_grace(sandbox: Sandbox) -> None:
    for grace, status in ((0, 400), (30, 200)):
        sandbox.settings(rotation=True, reuse_grace=grace)
        document = sandbox.issue_token()
        sandbox.fault("token", "drop", when="after")
        with pytest.raises(requests.ConnectionError):
            refresh(sandbox, document)
        assert refresh(sandbox, document).status_code == status


def test_count_and_order(sandbox: Sandbox) -> None:
    sandbox.fault("token", "500", count=2)
    sandbox.fault("token", "429", count=1)
    sandbox.fault("calendar", "503")
    assert [fault["count"] for fault in sandbox.call("GET", "/admin/faults")["faults"]] == [2, 1, 1]
    document = sandbox.issue_token()
    assert [refresh(sandbox, document).status_code for _ in range(4)] == [500, 500, 429, 200]
    assert len(sandbox.call("GET", "/admin/faults")["faults"]) == 1


def test_every_request_is_counted(sandbox: Sandbox) -> None:
    document, before = sandbox.issue_token(), sandbox.counters()
    sandbox.fault("token", "500", count=2)
    for _ in range(3):
        refresh(sandbox, document)
    after = sandbox.counters()
    assert after["requests"]["token"] - before["requests"]["token"] == 3
    assert after["exchanges"]["refresh_token"] - before["exchanges"]["refresh_token"] == 1
    assert after["faults"]["fired"] - before["faults"]["fired"] == 2


def test_faults_of_the_calendar(sandbox: Sandbox) -> None:
    document = sandbox.issue_token()
    headers = {"Authorization": f"Bearer {document['token']}"}
    url = f"{sandbox.calendar_endpoint}calendars/primary/events"
    event = {"start": {"date": "2026-12-24"}, "end": {"date": "2026-12-25"}}
    sandbox.fault("calendar", "429", when="after", retry_after=2)
    response = requests.post(url, json=event, headers=headers, timeout=30)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
    assert response.json()["error"]["errors"][0]["reason"] == "rateLimitExceeded"
    assert len(sandbox.events(document["token"])) == 1
    sandbox.fault("calendar", "500", when="after")
    # work that fails by itself is no reason for another answer than the fault's
    refused = requests.post(url, json=event, timeout=30)
    assert (refused.status_code, refused.json()["error"]["status"]) == (500, "INTERNAL")


def test_faults_of_consent_and_revocation(sandbox: Sandbox) -> None:
    sandbox.fault("auth", "html")
    assert requests.get(f"{sandbox.url}/o/oauth2/v2/auth", timeout=30).text.startswith("<!doctype html>")
    document = sandbox.issue_token()
    sandbox.fault("revoke", "500", when="after")
    assert requests.post(sandbox.revocation_uri, data={"token": document["token"]}, timeout=30).status_code == 500
    assert not sandbox.accepts(document["token"])


def test_latency(sandbox: Sandbox) -> None:
    document = sandbox.issue_token()
    sandbox.settings(latency=0.3)
    started = time.monotonic()
    assert refresh(sandbox, document).status_code == 200
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "endpoint is missing"),
        ({"endpoint": "token"}, "kind is missing"),
        ({"endpoint": "moon", "kind": "500"}, "endpoint must be one of"),
        ({"endpoint": "token", "kind": "418"}, "kind must be one of"),
        ({"endpoint": "token", "kind": None}, "kind must be one of"),
        ({"endpoint": "token", "kind": "500", "when": "during"}, "when must be one of before, after"),
        ({"endpoint": "token", "kind": "500", "count": 0}, "count must be a whole number"),
        ({"endpoint": "token", "kind": "500", "count": True}, "count must be a whole number"),
        ({"endpoint": "token", "kind": "500", "retry_after": -1}, "retry_after must be a number"),
        ({"endpoint": "token", "kind": "500", "colour": "red"}, "unknown part of a fault: colour"),
        ({"endpoint": "token", "kind": "oauth_error", "error": ""}, "error must be one line of text"),
    ],
)
def test_bad_input(sandbox: Sandbox, body: dict, words: str) -> None:
    response = requests.post(f"{sandbox.url}/admin/faults", json=body, timeout=30)
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"
    assert words in response.json()["error_description"]
    assert sandbox.call("GET", "/admin/faults")["faults"] == []


def test_a_whole_number_will_do_as_a_kind(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/admin/faults", {"endpoint": "token", "kind": 500})
    assert json.loads(refresh(sandbox, sandbox.issue_token()).text)["error"] == "internal_failure"


def test_policies(sandbox: Sandbox) -> None:
    document = sandbox.issue_token()
    sandbox.fault("token", "admin_policy_enforced")
    sandbox.fault("token", "invalid_rapt")
    restricted = refresh(sandbox, document)
    assert (restricted.status_code, restricted.json()["error"]) == (400, "admin_policy_enforced")
    again = refresh(sandbox, document)
    assert again.status_code == 400
    assert again.json() == {
        "error": "invalid_grant",
        "error_description": "reauth related error (invalid_rapt)",
        "error_uri": "https://support.google.com/a/answer/9368756",
        "error_subtype": "invalid_rapt",
    }
    # a policy ends nothing: when it is lifted the same token works
    assert refresh(sandbox, document).status_code == 200


def test_a_subtype_of_an_error(sandbox: Sandbox) -> None:
    sandbox.fault("token", "oauth_error", error_subtype="rapt_required")
    assert refresh(sandbox, sandbox.issue_token()).json() == {
        "error": "invalid_grant",
        "error_description": "Bad Request",
        "error_subtype": "rapt_required",
    }


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"kind": "admin_policy_enforced"}, "admin_policy_enforced"),
        ({"kind": "oauth_error", "error": "org_internal"}, "org_internal"),
    ],
)
def test_at_the_consent_a_policy_is_a_page(sandbox: Sandbox, fault: dict, word: str) -> None:
    sandbox.fault("auth", **fault)
    response = requests.get(f"{sandbox.url}/o/oauth2/v2/auth", allow_redirects=False, timeout=30)
    assert (response.status_code, "Location" in response.headers) == (400, False)
    assert f"Error 400: <strong>{word}</strong>" in response.text
