"""The API's replies when all is well, when something is away, and when the input is bad."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from kombu.exceptions import OperationalError
from stack_parts import ACCESS_TOKEN, CLIENT_SECRET, REFRESH_TOKEN, FakeStore, RedisServer

from calendar_assistant.api import create_app
from calendar_assistant.settings import Settings
from token_keeper import TokenStore
from token_keeper.errors import ProviderUnavailable, ReauthRequired, TokenMissing


def settings(redis_url: str, **more: object) -> Settings:
    fields = {
        "redis_url": redis_url,
        "token_keeper_service": "api",
        "oauth_revocation_uri": "https://provider.example/revoke",
        **more,
    }
    return Settings.model_validate(fields)


def client_for(store: object, redis_url: str, **more: object) -> TestClient:
    app = create_app(settings(redis_url, **more), store)  # type: ignore[arg-type]
    return TestClient(app, base_url="http://127.0.0.1:8080", raise_server_exceptions=False)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer over a look than an API that is asked for its readiness should."""
    monkeypatch.setattr("calendar_assistant.routes.health._BOUND", 60.0)
    monkeypatch.setattr("calendar_assistant.services.REDIS_BOUND", 60.0)


@pytest.fixture
def client(fake_store: FakeStore, redis_url: str) -> Iterator[TestClient]:
    with client_for(fake_store, redis_url) as client:
        yield client


@pytest.fixture
def away(redis_server: RedisServer) -> str:
    """Address at which nothing listens."""
    return "redis://127.0.0.1:9/0"


def test_alive_depends_on_nothing(fake_store: FakeStore, away: str) -> None:
    fake_store.error = TokenMissing("none")
    with client_for(fake_store, away) as client:
        answer = client.get("/api/v1/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready(client: TestClient) -> None:
    answer = client.get("/api/v1/health/ready")
    assert answer.status_code == 200, answer.text
    assert [check["reason"] for check in answer.json()["checks"]] == ["Reachable", "Valid"]


def test_unready_names_each_reason(fake_store: FakeStore, away: str) -> None:
    fake_store.error = TokenMissing("there is no token", reason="NoDocument", remedy="run site.yml")
    with client_for(fake_store, away) as client:
        answer = client.get("/api/v1/health/ready")
    assert answer.status_code == 503
    assert [check["reason"] for check in answer.json()["checks"]] == ["RedisUnreachable", "NoDocument"]
    assert "run site.yml" in answer.text


def test_a_torn_document_is_mended_by_whoever_asks_whether_the_api_is_ready(tmp_path: Path, redis_url: str) -> None:
    """A proxy that waits for readiness keeps away the requests that would mend it."""
    path = tmp_path / "tokens" / "token.json"
    path.parent.mkdir(mode=0o700)
    TokenStore(path).replace(FakeStore().document, expires_in=3600)
    path.write_text("\n")
    with client_for(TokenStore(path), redis_url) as client:
        answer = client.get("/api/v1/health/ready")
    assert answer.status_code == 200, answer.text
    assert TokenStore(path).read().refresh_token == REFRESH_TOKEN


@pytest.mark.parametrize("failures", [0, 3])
def test_ready_when_the_next_request_renews_the_token(client: TestClient, fake_store: FakeStore, failures: int) -> None:
    fake_store.document = dataclasses.replace(fake_store.document, expiry=datetime.now(UTC) - timedelta(seconds=1))
    fake_store.failures = failures
    answer = client.get("/api/v1/health/ready")
    assert answer.status_code == 200, answer.text
    check = answer.json()["checks"][1]
    assert (check["ok"], check["reason"]) == (True, "RenewalDue")
    assert "next request" in check["message"]
    assert ("3 in a row failed" in check["message"]) is bool(failures)


@pytest.mark.parametrize(("age", "status", "reason"), [(1, 503, "RenewalFailing"), (-60, 200, "Valid")])
def test_unready_while_no_request_may_renew_a_token_that_is_over(
    client: TestClient, fake_store: FakeStore, age: int, status: int, reason: str
) -> None:
    fake_store.document = dataclasses.replace(fake_store.document, expiry=datetime.now(UTC) - timedelta(seconds=age))
    fake_store.failures, fake_store.cooldown_until = 3, "2026-11-23T12:00:00Z"
    answer = client.get("/api/v1/health/ready")
    assert (answer.status_code, answer.json()["checks"][1]["reason"]) == (status, reason)
    if status == 503:
        assert "3 renewals in a row failed" in answer.text
        assert "2026-11-23T12:00:00Z" in answer.text


def test_unready_when_the_store_says_so_without_a_condition(client: TestClient, fake_store: FakeStore) -> None:
    fake_store.conditions = [{"type": "Refreshing", "status": "False", "reason": "Idle", "message": "nothing"}]
    answer = client.get("/api/v1/health/ready")
    assert (answer.status_code, answer.json()["checks"][1]["reason"]) == (503, "NotHealthy")


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("ReauthRequired", "True", "InvalidGrant"),
        ("Ready", "False", "AccountClosed"),
    ],
)
def test_unready_when_only_a_person_can_help(
    client: TestClient, fake_store: FakeStore, kind: str, status: str, reason: str
) -> None:
    fake_store.conditions = [{"type": kind, "status": status, "reason": reason, "message": "what happened"}]
    answer = client.get("/api/v1/health/ready")
    assert (answer.status_code, answer.json()["checks"][1]["reason"]) == (503, reason)
    assert "what happened; run site.yml" in answer.text


def test_a_volume_that_hangs_does_not_hang_readiness_or_the_loop(
    client: TestClient, fake_store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calendar_assistant.routes.health._BOUND", 0.2)
    fake_store.delay = 4.0
    begun = time.monotonic()
    answer = client.get("/api/v1/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"][1]["reason"] == "Timeout"
    assert client.get("/api/v1/health").status_code == 200
    assert time.monotonic() - begun < 3.5
    fake_store.delay = 0.0


def test_a_request_is_taken_and_its_state_can_be_asked(client: TestClient, redis_url: str) -> None:
    answer = client.post("/api/v1/events/", json={"text": "Team sync tomorrow at 3pm for an hour"})
    assert answer.status_code == 202, answer.text
    location = answer.headers["location"]
    assert location == f"/api/v1/events/{answer.json()['id']}"
    state = client.get(location).json()
    assert (state["status"], state["attempts"], state["event"], state["error"]) == ("pending", 0, None, None)
    with redis.Redis.from_url(redis_url) as raw:
        message = json.loads(raw.lindex("calendar_assistant", 0) or b"{}")
    assert message["content-type"] == "application/json"
    assert "tomorrow" not in json.dumps(message["headers"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "body.text: Field required"),
        ({"text": ""}, "at least 1 character"),
        ({"text": "   "}, "at least 1 character"),
        ({"text": "x" * 501}, "at most 500 characters"),
        ({"text": "a\0b"}, "match pattern"),
        ({"text": 5}, "valid string"),
        ({"text": "x", "more": 1}, "body.more: Extra inputs"),
        ([], "valid dictionary"),
    ],
)
def test_bad_input_is_told(client: TestClient, body: object, told: str) -> None:
    answer = client.post("/api/v1/events/", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (422, "BadInput")
    assert told in error["message"]


def test_a_body_that_is_not_json_is_told(client: TestClient) -> None:
    answer = client.post("/api/v1/events/", content=b"{nope", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "BadInput")


def test_unknown_requests_and_paths_have_the_one_shape(client: TestClient) -> None:
    unknown = client.get("/api/v1/events/00000000-0000-0000-0000-000000000001")
    assert (unknown.status_code, unknown.json()["error"]["reason"]) == (404, "EventUnknown")
    assert client.get("/api/v1/events/nonsense").status_code == 422
    assert client.get("/nowhere").json()["error"]["reason"] == "NotFound"
    assert client.delete("/api/v1/health").status_code == 405


def test_redis_away_is_told_soon(fake_store: FakeStore, away: str) -> None:
    with client_for(fake_store, away) as client:
        begun = time.monotonic()
        answers = [
            client.post("/api/v1/events/", json={"text": "Sync tomorrow at 3pm"}),
            client.get("/api/v1/events/00000000-0000-0000-0000-000000000001"),
            client.get("/api/v1/health/consumers"),
        ]
        assert time.monotonic() - begun < 3
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "QueueUnavailable")
        assert int(answer.headers["retry-after"]) >= 1


def test_a_request_that_cannot_be_queued_is_withdrawn(
    client: TestClient, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(client.app.state.services.celery, "send_task", refuse)  # type: ignore[attr-defined]
    assert client.post("/api/v1/events/", json={"text": "Sync tomorrow at 3pm"}).status_code == 503
    with redis.Redis.from_url(redis_url) as raw:
        assert list(raw.scan_iter("calendar_assistant:event:*")) == []


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (ProviderUnavailable("the provider does not answer", reason="NoAnswer", retry_after=7.2), 503, "8"),
        (ReauthRequired("the grant is dead", reason="InvalidGrant", remedy="consent again"), 503, None),
        (TokenMissing("there is no token", reason="NoDocument"), 503, None),
    ],
)
def test_token_errors_have_the_one_shape(
    client: TestClient, fake_store: FakeStore, error: ReauthRequired, status: int, retry_after: str | None
) -> None:
    fake_store.error = error
    for path in ("/api/v1/calendar/calendars", "/api/v1/calendar/auth/status"):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.json() == {"error": error.as_dict()}
        assert answer.headers.get("retry-after") == retry_after


def test_revoking_must_be_confirmed(client: TestClient, fake_store: FakeStore) -> None:
    path = "/api/v1/calendar/auth/revoke"
    assert client.post(path).status_code == 422
    assert client.post(path, json={"confirm": False}).status_code == 422
    # what a form on a foreign page can send
    simple = client.post(path, content=b'{"confirm": true}', headers={"Content-Type": "text/plain"})
    assert simple.status_code == 422
    assert fake_store.revoked == []
    assert client.post(path, json={"confirm": True}).json() == {"status": "revoked"}
    assert fake_store.revoked == ["https://provider.example/revoke"]


def test_revoking_without_an_endpoint_says_so(fake_store: FakeStore, redis_url: str) -> None:
    with client_for(fake_store, redis_url, oauth_revocation_uri=None) as client:
        answer = client.post("/api/v1/calendar/auth/revoke", json={"confirm": True})
    assert answer.status_code == 501
    assert "OAUTH_REVOCATION_URI" in answer.text


def test_foreign_host_names_are_refused(client: TestClient) -> None:
    assert client.get("/api/v1/health", headers={"Host": "rebound.example"}).status_code == 400
    assert client.get("/api/v1/health", headers={"Host": "localhost:8080"}).status_code == 200


def test_no_reply_and_no_log_carries_a_secret(
    redis_url: str, fake_store: FakeStore, tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    volume = tmp_path / "tokens"  # type: ignore[operator]
    volume.mkdir()
    store = TokenStore(volume / "token.json", service="api")
    store.replace(fake_store.document, expires_in=3600)
    said = ""
    with caplog.at_level("DEBUG"), client_for(store, redis_url, calendar_api_endpoint="http://127.0.0.1:9/") as client:
        status = client.get("/api/v1/calendar/auth/status")
        assert status.status_code == 200, status.text
        body = status.json()
        assert body["generation"] == 1 and body["state"] == "sound" and body["healthy"] is True
        assert body["condition"]["type"] == "Ready"
        assert body["scopes"] == list(fake_store.document.scopes)
        for path in ("calendar/calendars", "health/ready", "health/consumers"):
            said += client.get(f"/api/v1/{path}").text
        said += status.text
    assert "CalendarUnavailable" in said
    for secret in (ACCESS_TOKEN, REFRESH_TOKEN, CLIENT_SECRET):
        assert secret not in said
        assert secret not in caplog.text


def test_the_root_leads_to_the_description() -> None:
    with_defaults = TestClient(create_app(), base_url="http://localhost")
    answer = with_defaults.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
