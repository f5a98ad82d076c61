"""The list of processes that use the token, from their heartbeats."""

from __future__ import annotations

from typing import Literal

import redis.asyncio
from pydantic import AwareDatetime, BaseModel, ValidationError

from calendar_assistant.heartbeat import PREFIX


class Consumer(BaseModel):
    """One process that uses the token.

    Attributes:
        service: name of its service.
        container: host name of its container.
        pid: its process id in the container.
        role: ``api`` or ``worker``.
        generation: generation that it sees, ``None`` while it sees none.
        access_token_fingerprint: fingerprint of the access token that it sees.
        reason: why it sees none.
        seen_at: time of its last heartbeat.
    """

    service: str
    container: str
    pid: int
    role: Literal["api", "worker"]
    generation: int | None
    access_token_fingerprint: str | None
    reason: str | None = None
    seen_at: AwareDatetime


async def live_consumers(client: redis.asyncio.Redis) -> list[Consumer]:
    """Return the processes that have reported within the last seconds, ordered by service, container and pid."""
    keys = [key async for key in client.scan_iter(match=f"{PREFIX}*", count=1000)]
    beats = await client.mget(keys) if keys else []
    found = []
    for beat in beats:
        if beat is None:
            continue  # it fell silent between the two commands
        try:
            found.append(Consumer.model_validate_json(beat))
        except ValidationError:
            continue  # another release's heartbeat, during a rolling update
    return sorted(found, key=lambda consumer: (consumer.service, consumer.container, consumer.pid))
