"""Requests for events: taken at once, done by a worker."""

from __future__ import annotations

import logging
import uuid
from typing import Annotated, Literal

import redis
from fastapi import APIRouter, Response
from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict, StringConstraints

from calendar_assistant.error_replies import ErrorReply, queue_failure
from calendar_assistant.event_job import Job
from calendar_assistant.event_records import EventError, EventRecord, EventResult
from calendar_assistant.failures import Failure
from calendar_assistant.services import Assistant, Services
from calendar_assistant.task_queue import CREATE_EVENT

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/api/v1/events", tags=["events"])

_BOUND = 5.0

Text = Annotated[
    str,
    # printable, over as many lines as it likes: no control characters except white space
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+$"
    ),
]


class EventRequest(BaseModel):
    """An event in plain English."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "Team sync tomorrow at 3pm for an hour"}]}
    )

    text: Text


class Accepted(BaseModel):
    """The request is queued."""

    id: str
    status: Literal["pending"] = "pending"


class EventState(BaseModel):
    """What became of a request: ``event`` once it is done, ``error`` if it failed or waits for something."""

    id: str
    status: Literal["pending", "done", "failed"]
    accepted_at: str
    updated_at: str
    attempts: int
    event: EventResult | None
    error: EventError | None


@router.post("/", status_code=202, responses={422: {"model": ErrorReply}, 503: {"model": ErrorReply}})
async def create(request: EventRequest, assistant: Assistant, response: Response) -> Accepted:
    """Take a request such as "Team sync tomorrow at 3pm for an hour"; its state is at the ``Location``."""
    task_id = str(uuid.uuid4())
    await assistant.desk.open(EventRecord.accepted(task_id))
    try:
        await assistant.queue_calls.run(lambda: _send(assistant, task_id, request.text), timeout=_BOUND)
    except (Failure, OperationalError, redis.RedisError, OSError) as error:
        await _withdraw(assistant, task_id)
        raise queue_failure(error) from error
    response.headers["Location"] = f"/api/v1/events/{task_id}"
    return Accepted(id=task_id)


@router.get("/{task_id}", responses={404: {"model": ErrorReply}, 503: {"model": ErrorReply}})
async def state(task_id: uuid.UUID, assistant: Assistant, response: Response) -> EventState:
    """Tell what became of a request."""
    record = await assistant.desk.get(str(task_id))
    if record is None:
        raise Failure(
            "NotFound", "EventUnknown", f"there is no request {task_id}", "requests are kept for a day", status=404
        )
    response.headers["Cache-Control"] = "no-store"
    return EventState.model_validate(record.model_dump(mode="json", exclude={"draft"}))


def _send(assistant: Services, task_id: str, text: str) -> None:
    job = Job(id=task_id, text=text)
    # argsrepr keeps what people write out of logs
    assistant.celery.send_task(CREATE_EVENT, args=[job.model_dump()], task_id=task_id, argsrepr=f"({task_id})")


async def _withdraw(assistant: Services, task_id: str) -> None:
    try:
        await assistant.desk.withdraw(task_id)
    except redis.RedisError as error:
        logger.warning("request %s could not be withdrawn: %s", task_id, type(error).__name__)
