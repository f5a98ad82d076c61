"""What the API works with: one set a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import redis.asyncio
from celery import Celery
from fastapi import Depends, Request
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from calendar_assistant.bounded import BoundedCalls
from calendar_assistant.calendar_client import CalendarClient
from calendar_assistant.event_records import EventDesk
from calendar_assistant.heartbeat import Heartbeat
from calendar_assistant.settings import Settings
from calendar_assistant.task_queue import make_celery
from token_keeper import Snapshot, TokenStore

REDIS_BOUND = 2.0
"""Seconds that an answer of Redis may take."""


class StatusReport(Protocol):
    """A look at the token volume."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""


class Store(Protocol):
    """What the API needs of a token store."""

    def snapshot(self) -> Snapshot:
        """Return the document as it is, without an exchange."""

    def access_token(self) -> str:
        """Return a valid access token, renewing it or mending the document if it must be."""

    def status(self) -> StatusReport:
        """Look at the volume without changing anything."""

    def credentials(self) -> Any:
        """Return google-auth credentials whose token is the store's."""

    def revoke(self, revocation_uri: str) -> object:
        """Revoke the grant and leave a tombstone."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes use.

    Attributes:
        settings: the settings.
        store: the token store.
        calendar: the calendar, through the shared token.
        redis: asyncio client with short timeouts.
        desk: records of events.
        celery: sends jobs.
        heartbeat: speaks for this process.
        volume_calls: threads that look at the token volume.
        calendar_calls: threads that ask the calendar, each with a connection of its own.
        queue_calls: threads that send jobs.
        grant_calls: the thread that revokes.
    """

    settings: Settings
    store: Store
    calendar: CalendarClient
    redis: redis.asyncio.Redis
    desk: EventDesk
    celery: Celery
    heartbeat: Heartbeat
    volume_calls: BoundedCalls
    calendar_calls: BoundedCalls
    queue_calls: BoundedCalls
    grant_calls: BoundedCalls

    @classmethod
    def open(cls, settings: Settings, store: Store | None = None) -> Services:
        """Return the set; nothing connects before its first use."""
        if store is None:
            store = TokenStore(settings.token_keeper_path, service=settings.token_keeper_service, lock_timeout=15.0)
        client = redis.asyncio.Redis.from_url(
            settings.redis_url,
            socket_connect_timeout=REDIS_BOUND / 2,
            socket_timeout=REDIS_BOUND,
            health_check_interval=15,
            # a pooled connection that Redis has closed is replaced once, an outage is told at once
            retry=Retry(NoBackoff(), 1),
        )
        return cls(
            settings=settings,
            store=store,
            calendar=CalendarClient(
                store,
                endpoint=str(settings.calendar_api_endpoint or ""),
                calendar_id=settings.calendar_id,
                timezone=settings.calendar_timezone,
                timeout=settings.calendar_timeout,
            ),
            redis=client,
            desk=EventDesk(client),
            celery=make_celery(settings.redis_url),
            heartbeat=Heartbeat.of(store, settings, "api"),
            volume_calls=BoundedCalls("the token volume", 4),
            calendar_calls=BoundedCalls("the calendar", 16),
            queue_calls=BoundedCalls("the task queue", 8),
            grant_calls=BoundedCalls("the provider", 1),
        )

    async def close(self) -> None:
        """Let go of connections and threads."""
        self.heartbeat.stop()
        for calls in (self.volume_calls, self.calendar_calls, self.queue_calls, self.grant_calls):
            calls.close()
        self.celery.close()
        await self.redis.aclose()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Assistant = Annotated[Services, Depends(_services)]
"""The services, as a route's parameter."""
