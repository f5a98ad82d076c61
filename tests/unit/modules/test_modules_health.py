"""How well a token does: what serves and what does not, and what the report and the exit code make of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from module_utils.token_keeper_helper import health, status_report
from pretended import NOTHING, document, status

NOW = datetime(2026, 11, 23, 11, 10, tzinfo=UTC)
READY = {"type": "Ready", "status": "True", "reason": "Refreshed", "message": "the access token was renewed"}
FAILING = {"type": "Refreshing", "status": "False", "reason": "NoReply", "message": "the provider did not answer"}
DEAD = {"type": "ReauthRequired", "status": "True", "reason": "Revoked", "message": "the grant was revoked"}
RENEWAL = {
    "time": "2026-11-23T11:00:00Z",
    "event": "Refreshed",
    "service": "keeper",
    "container": "5f3b",
    "pid": 1,
}
DEADLINE = {"reason": "TestingEnds", "at": "2026-11-26T09:00:00Z", "days_left": 2, "remedy": "publish the screen"}
CONSUMER = {
    "container": "app-api-1",
    "service": "api",
    "mount": "/app/tokens",
    "level": "process",
    "generation": 8,
    "converged": True,
    "processes": [{"pid": 1, "generation": 8}],
    "reason": "",
    "hostname": "5f3b",
}
LOST = {"type": "EngineError", "reason": "EngineUnreachable", "message": "no engine answers", "remedy": "start it"}


def look(found: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    whole = status(8, conditions=[READY], last_refresh=RENEWAL, deadlines=[])
    return {
        **{"name": "token.json", "volume": "tokens", "file": "token.json", "app": True, "volume_exists": True},
        **{"status": {**whole, **(found or {})}, "consumers": [CONSUMER], "silent": [], "missing": [], "error": None},
        **changes,
    }


def report(looks: dict[str, Any], **asked: Any) -> dict[str, Any]:
    return status_report.gathered(looks, **{"strict": False, "deadline_days": 3.0, "now": NOW, **asked})


EXPIRED = document(expires_in=-5)
LAGS = {**CONSUMER, "converged": False, "generation": 7, "reason": "not at generation 8: process 1 has 7"}
PAGE = {"url": "http://127.0.0.1:8080/x", "why": "it answered 404"}


@pytest.mark.parametrize(
    ("seen", "expected", "said"),
    [
        (look(), "ok", ""),
        (look({"document": EXPIRED}), "degraded", "the next who asks renews it"),
        (look({"document": document(expires_in=None)}), "degraded", "has no expiry that is known"),
        (
            look({"failures": 2, "conditions": [READY, FAILING]}),
            "degraded",
            "failed 2 times; the last attempt: NoReply",
        ),
        (look({"document": document(settled=False)}), "degraded", "another program wrote"),
        (look({"volume": {"writable": False}}), "degraded", "may not write"),
        (look({"deadlines": [DEADLINE]}), "degraded", "ends on 2026-11-26 (TestingEnds), 2 days left"),
        (look({"deadlines": [{**DEADLINE, "days_left": -1}]}), "degraded", "that day is past"),
        (look({"deadlines": [{**DEADLINE, "days_left": 4}]}), "ok", ""),
        (look(silent=[PAGE]), "degraded", "it answered 404"),
        (look(missing=["celery: 1 of 2 containers run"]), "degraded", "celery: 1 of 2"),
        (look(consumers=[LAGS]), "degraded", "app-api-1 lags behind: not at generation 8"),
        (look(error=LOST, status=None, volume_exists=None), "failed", "no engine answers"),
        (look(status=None, volume_exists=False), "failed", "tokens does not exist"),
        (look({"document": NOTHING}), "failed", "the document is missing: there is no token"),
        (look({"conditions": [READY, DEAD], "healthy": False}), "failed", "Revoked, the grant was revoked"),
        # alive for an hour, and then nobody but a person can help
        (look({"conditions": [READY, DEAD], "healthy": True}), "failed", "can't be renewed any more"),
        (
            look({"document": EXPIRED, "failures": 3, "healthy": False, "conditions": [FAILING]}),
            "failed",
            "has run out, and renewing it failed 3 times",
        ),
        (look({"healthy": False, "conditions": [{**READY, "message": "taken away"}]}), "failed", "taken away"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(seen: dict[str, Any], expected: str, said: str) -> None:
    findings = health.judge(seen, 3.0)
    assert health.worst(finding.health for finding in findings) == expected
    assert said in "; ".join(finding.what for finding in findings)
    assert all(finding.remedy for finding in findings)


def test_where_a_page_is_silent_its_consumers_are_not_blamed() -> None:
    findings = health.judge(look(silent=[PAGE], consumers=[LAGS]), 3.0)
    assert [finding.what for finding in findings if "lags" in finding.what] == []


@pytest.mark.parametrize(
    ("looks", "strict", "code", "worst"),
    [
        ({"east": {"tokens": [look()]}}, False, 0, "ok"),
        ({"east": {"tokens": [look()]}}, True, 0, "ok"),
        ({"east": {"tokens": [look({"document": EXPIRED})]}}, False, 0, "degraded"),
        ({"east": {"tokens": [look({"document": EXPIRED})]}}, True, 2, "degraded"),
        ({"east": {"tokens": [look(), look({"document": NOTHING})]}}, False, 2, "failed"),
        ({"east": {"tokens": [look()]}, "west": {"unreachable": True, "msg": "no route"}}, False, 2, "failed"),
        ({"east": {"tokens": [look()]}, "west": {"msg": "no python"}}, False, 2, "failed"),
        ({"east": {"tokens": [look()]}, "west": {}}, False, 2, "failed"),
    ],
)
def test_the_exit_code_goes_by_the_worst(looks: dict[str, Any], strict: bool, code: int, worst: str) -> None:
    found = report(looks, strict=strict)
    assert (found["exit_code"], found["health"]) == (code, worst)
    assert [host["passes"] for host in found["hosts"]].count(False) == (1 if code else 0)


def test_a_host_that_is_down_is_in_the_table_with_the_others() -> None:
    found = report({"east": {"tokens": [look()]}, "west": {"unreachable": True, "msg": "ssh: no\nroute\x1b[2J"}})
    text = status_report.tables(found)
    assert [line.split()[0] for line in text.splitlines()[1:3]] == ["east", "west"]
    assert "west  -       -           unreachable" in text
    assert "UNREACHABLE  west: the host can't be reached: ssh: no route?[2J (do: see that it is up" in text
    assert "2 hosts: 1 ok, 1 unreachable" in text
    assert "\x1b" not in text
    assert status_report.failure(found["hosts"][1]).startswith("the host can't be reached")


def test_the_table_says_what_a_person_asks_for() -> None:
    seen = look({"deadlines": [{**DEADLINE, "days_left": 9}], "document": document(account="a@example.com")})
    text = status_report.tables(report({"east": {"tokens": [seen]}}))
    head, row = text.splitlines()[:2]
    for column, cell in {
        "Host": "east",
        "Volume": "tokens",
        "Document": "token.json",
        "Health": "ok",
        "Account": "a@example.com",
        "Condition": "Ready (Refreshed)",
        "Access token": "50 min 00 s, to 12:00 UTC",
        "Grant until": "2026-11-26 (TestingEnds)",
        "Gen": "8",
        "Last refresh": "11:00 UTC by keeper (app-api-1)",
    }.items():
        assert row[head.index(column) :].startswith(cell), column
    assert "app-api-1  east  tokens/token.json  8           1          process" in text
    assert "Health   1 host: 1 ok" in text


def test_what_a_volume_says_moves_no_cursor() -> None:
    event = {**RENEWAL, "service": "\x1b]0;canary\x07", "container": None}
    text = status_report.tables(report({"east": {"tokens": [look({"last_refresh": event}, consumers=[])]}}))
    assert "?]0;canary?" in text
    assert "No running container mounts them." in text


def test_what_no_host_has_told_is_not_known() -> None:
    text = status_report.tables(report({"east": {"unreachable": True}}))
    assert "Nothing is known of those who use them" in text


def test_details_are_fingerprints() -> None:
    text = status_report.details(report({"east": {"tokens": [look()]}}))
    assert f"Refresh token   {'e' * 16}" in text
    assert f"Access token    {'a' * 16}" in text
    assert "Scopes          calendar" in text


def test_the_document_is_json_with_what_a_machine_asks_for() -> None:
    found = json.loads(json.dumps(report({"east": {"tokens": [look()]}})))
    [token] = found["hosts"][0]["tokens"]
    assert (found["version"], found["at"], found["hosts"][0]["passes"]) == (1, "2026-11-23T11:10:00Z", True)
    assert token["last_refresh"]["container_name"] == "app-api-1"
    assert token["condition"]["reason"] == "Refreshed"
    assert token["status"]["generation"] == token["generation"] == 8


@pytest.mark.parametrize(
    ("conditions", "shown"),
    [
        ([READY], "Ready (Refreshed)"),
        ([{**READY, "status": "Unknown", "reason": "TokenExpired"}], "Ready unknown (TokenExpired)"),
        ([{**READY, "status": "False", "reason": "NoSoundDocument"}], "not Ready (NoSoundDocument)"),
        ([READY, {**FAILING, "status": "True", "reason": "Exchanging"}], "Refreshing (Exchanging)"),
        ([READY, DEAD], "ReauthRequired (Revoked)"),
        ([], "sound"),
    ],
)
def test_the_condition_that_says_most_is_shown(conditions: list[dict[str, Any]], shown: str) -> None:
    text = status_report.tables(report({"east": {"tokens": [look({"conditions": conditions})]}}))
    assert f"  {shown}  " in text.splitlines()[1]
