"""What became of each request for an event, kept in Redis for a day."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import redis
import redis.asyncio
from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from calendar_assistant.event_draft import EventDraft

KEPT: Final = 24 * 3600
"""Seconds for which a record is kept after its last change."""

_PREFIX: Final = "calendar_assistant:event:"


class EventResult(BaseModel):
    """The event as it is in the calendar."""

    model_config = ConfigDict(frozen=True)

    id: str
    link: str | None
    start: str
    end: str
    title: str


class EventError(BaseModel):
    """Why there is no event (yet)."""

    model_config = ConfigDict(frozen=True)

    type: str
    reason: str
    message: str
    remedy: str = ""


class EventRecord(BaseModel):
    """State of one request.

    Attributes:
        id: the task's id.
        status: pending, done or failed.
        accepted_at: when the API took the request; "tomorrow" counts from here, however late a worker reads it.
        updated_at: last change.
        attempts: how many times a worker has begun with it.
        draft: what the text was understood as, so that a retry means the same event.
        event: the event, once it is done.
        error: why it failed, or what a pending one waits for.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    status: Literal["pending", "done", "failed"]
    accepted_at: AwareDatetime
    updated_at: AwareDatetime
    attempts: int = 0
    draft: EventDraft | None = None
    event: EventResult | None = None
    error: EventError | None = None

    @classmethod
    def accepted(cls, task_id: str) -> EventRecord:
        """Return the record of a request that was just taken."""
        now = datetime.now(UTC)
        return cls(id=task_id, status="pending", accepted_at=now, updated_at=now)

    def changed(self, **fields: object) -> EventRecord:
        """Return the record with other fields and a new ``updated_at``."""
        return self.model_copy(update={**fields, "updated_at": datetime.now(UTC)})


class EventRecords:
    """The records as a worker uses them; a short outage of Redis is waited for.

    Args:
        url: address of Redis.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=2,
            socket_timeout=2,
            health_check_interval=15,
            retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), 6),
        )

    def get(self, task_id: str) -> EventRecord | None:
        """Return a record, ``None`` where the request was withdrawn or is over a day old."""
        value = self._redis.get(_PREFIX + task_id)
        return EventRecord.model_validate_json(value) if isinstance(value, (bytes, str)) else None

    def save(self, record: EventRecord) -> None:
        """Write a record, unless it was withdrawn meanwhile."""
        self._redis.set(_PREFIX + record.id, record.model_dump_json(), ex=KEPT, xx=True)


class EventDesk:
    """The records as the API uses them; an outage of Redis is answered at once.

    Args:
        client: an asyncio client with short socket timeouts.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client

    async def open(self, record: EventRecord) -> None:
        """Write the record of a new request."""
        await self._redis.set(_PREFIX + record.id, record.model_dump_json(), ex=KEPT, nx=True)

    async def withdraw(self, task_id: str) -> None:
        """Take a request back that could not be queued: a worker that gets it in spite of that drops it."""
        await self._redis.delete(_PREFIX + task_id)

    async def get(self, task_id: str) -> EventRecord | None:
        """Return a record, ``None`` where there is none."""
        value = await self._redis.get(_PREFIX + task_id)
        return EventRecord.model_validate_json(value) if value is not None else None
