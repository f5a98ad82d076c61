"""The language model's answers: used when valid, passed over with a logged reason when not."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from calendar_assistant.event_reader import make_reader
from calendar_assistant.language_model import LanguageModel

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 23, 9, 15, tzinfo=BERLIN)
TEXT = "Team sync tomorrow at 3pm for an hour"
GOOD = {"title": "Sync of the team", "start": "2026-11-24T15:00:00+01:00", "end": "2026-11-24T16:00:00+01:00"}
KEY = "canary-api-key-5d1f"


def completion(content: object) -> httpx.Response:
    text = content if isinstance(content, str) else json.dumps(content)
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": text}}]})


def model(answer: httpx.Response | Exception, seen: list[httpx.Request], key: Path | None = None) -> LanguageModel:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return LanguageModel(
        "https://llm.example/v1/", "small", api_key_file=key, transport=httpx.MockTransport(handle), timeout=1
    )


def test_a_valid_answer_is_used(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    seen: list[httpx.Request] = []
    draft = make_reader(BERLIN, model(completion(GOOD), seen, key))(TEXT, MONDAY)
    assert draft.title == "Sync of the team"
    assert str(seen[0].url) == "https://llm.example/v1/chat/completions"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    body = json.loads(seen[0].content)
    assert body["messages"][1] == {"role": "user", "content": TEXT}
    assert "Monday 2026-11-23T09:15:00+01:00 in the time zone Europe/Berlin" in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.ConnectError(f"refused {KEY}"), "can't be asked: ConnectError"),
        (httpx.ReadTimeout("slow"), "can't be asked: ReadTimeout"),
        (httpx.Response(500, text="canary"), "HTTP 500"),
        (httpx.Response(401, text="canary"), "HTTP 401"),
        (httpx.Response(200, text="<html>canary"), "not a chat completion"),
        (httpx.Response(200, json={"choices": []}), "not a chat completion"),
        (httpx.Response(200, content=b" " * 70_000), "too large"),
        (completion("Sure! canary"), "not valid: the answer"),
        (completion({**GOOD, "start": None}), "not valid: start"),
        (completion({**GOOD, "start": "2026-11-24T15:00:00"}), "not valid: start"),
        (completion({**GOOD, "end": "2026-11-24T14:00:00+01:00"}), "not valid: the answer"),
        (completion({**GOOD, "end": "2027-11-24T14:00:00+01:00"}), "not valid: the answer"),
        (completion({**GOOD, "title": ""}), "not valid: title"),
        (completion({**GOOD, "title": "a\nb"}), "not valid: title"),
        (completion({**GOOD, "title": "x" * 201}), "not valid: title"),
        (completion({**GOOD, "attendees": ["canary@example.com"]}), "not valid: attendees"),
        (completion({**GOOD, "start": "2020-01-01T10:00:00Z", "end": "2020-01-01T11:00:00Z"}), "in the past"),
    ],
)
def test_a_bad_answer_is_passed_over_for_the_parser(
    answer: httpx.Response | Exception, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        draft = make_reader(BERLIN, model(answer, []))(TEXT, MONDAY)
    assert draft.title == "Team sync"
    assert why in caplog.text
    assert "canary" not in caplog.text


def test_a_missing_key_file_is_passed_over_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draft = make_reader(BERLIN, model(completion(GOOD), [], tmp_path / "none"))(TEXT, MONDAY)
    assert draft.title == "Team sync"
    assert "can't be asked: FileNotFoundError" in caplog.text
