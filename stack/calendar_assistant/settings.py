"""Settings from the environment; none of them is a secret."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, HttpUrl, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """What the API and the workers are told by their environment.

    Attributes:
        token_keeper_path: the token document.
        token_keeper_service: name of this consumer in events and heartbeats.
        redis_url: broker of the task queue, records of events, heartbeats.
        calendar_api_endpoint: base address of the Calendar API v3; Google's own if empty.
        calendar_id: calendar that events go into.
        calendar_timezone: IANA name of the zone in which times without a zone are meant.
        calendar_timeout: seconds that one request to the calendar may take.
        oauth_revocation_uri: RFC 7009 endpoint; revoking is refused if empty.
        llm_base_url: base address of an OpenAI-compatible API, such as ``https://llm.example/v1``; none if empty.
        llm_model: model to ask for.
        llm_api_key_file: file that holds the API key; no key is sent if empty.
        llm_timeout: seconds that the language model may take.
        api_allowed_hosts: host names under which the API answers, against DNS rebinding; ``*`` for any.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    token_keeper_path: Path = Path("/app/tokens/token.json")
    token_keeper_service: str = Field(default_factory=socket.gethostname, min_length=1, max_length=63)
    redis_url: str = Field(default="redis://redis:6379/0", pattern=r"^(rediss?|unix)://")
    calendar_api_endpoint: HttpUrl | None = None
    calendar_id: str = "primary"
    calendar_timezone: str = "UTC"
    calendar_timeout: float = Field(default=10.0, gt=0, le=60)
    oauth_revocation_uri: HttpUrl | None = None
    llm_base_url: HttpUrl | None = None
    llm_model: str = "gpt-4o-mini"
    llm_api_key_file: Path | None = None
    llm_timeout: float = Field(default=15.0, gt=0, le=120)
    api_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("localhost", "127.0.0.1", "[::1]", "api")

    @field_validator("api_allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(host.strip() for host in value.split(",") if host.strip()) if isinstance(value, str) else value

    @field_validator("calendar_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f'there is no time zone "{value}"; write an IANA name such as Europe/Berlin')
        return value

    @property
    def timezone(self) -> ZoneInfo:
        """The zone in which times without a zone are meant."""
        return ZoneInfo(self.calendar_timezone)
