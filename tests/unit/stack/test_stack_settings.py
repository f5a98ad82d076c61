"""Settings from the environment: empty means default, nonsense is told at the start."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from calendar_assistant.settings import Settings


def test_empty_variables_mean_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CALENDAR_API_ENDPOINT", "LLM_BASE_URL", "LLM_API_KEY_FILE", "OAUTH_REVOCATION_URI", "CALENDAR_ID"):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert settings.calendar_api_endpoint is None
    assert settings.llm_base_url is None
    assert settings.calendar_id == "primary"


def test_hosts_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_ALLOWED_HOSTS", "assistant.example, localhost")
    assert Settings().api_allowed_hosts == ("assistant.example", "localhost")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CALENDAR_TIMEZONE", "Middle-earth/Shire"),
        ("CALENDAR_TIMEOUT", "0"),
        ("REDIS_URL", "http://redis"),
        ("CALENDAR_API_ENDPOINT", "sandbox:9400"),
        ("OAUTH_REVOCATION_URI", "ftp://x"),
    ],
)
def test_nonsense_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
