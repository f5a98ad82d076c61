"""One request for an event, from its text to the calendar, safe to be done again at any point."""

from __future__ import annotations

import dataclasses
import logging
import random
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

from calendar_assistant.calendar_client import CalendarEvent, event_id
from calendar_assistant.event_draft import EventDraft
from calendar_assistant.event_reader import Reader
from calendar_assistant.event_records import EventError, EventRecord, EventResult
from calendar_assistant.failures import Failure

logger = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 8
"""Attempts before a request fails for good: with :func:`backoff` about two minutes of an outage."""


class Job(BaseModel):
    """The message from the API to a worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    text: str


class Records(Protocol):
    """Where a job notes what became of it."""

    def get(self, task_id: str) -> EventRecord | None:
        """Return a record."""

    def save(self, record: EventRecord) -> None:
        """Write a record."""


class Calendar(Protocol):
    """Where events go."""

    def insert(self, draft: EventDraft, identity: str) -> CalendarEvent:
        """Insert an event once."""


def run(job: Job, records: Records, read: Reader, calendar: Calendar) -> float | None:
    """Do a job and note its outcome.

    The calendar refuses a second event with the job's id, so a job that is delivered twice, or whose worker died
    after the insert, ends as one event.

    Returns:
        Seconds after which to try again, ``None`` when the job is over, well or badly.
    """
    record = records.get(job.id)
    if record is None:
        logger.warning("event %s was withdrawn or is too old: dropped", job.id)
        return None
    if record.status != "pending":
        logger.info("event %s is %s already: nothing to do", job.id, record.status)
        return None
    record = record.changed(attempts=record.attempts + 1)
    # written down first, so that a job that kills its worker does not come back for ever
    records.save(record)
    if record.attempts > MAX_ATTEMPTS:
        given_up = Failure("GivenUp", "TooManyAttempts", f"{MAX_ATTEMPTS} attempts did not succeed", "send it again")
        return _after(given_up, record, records)
    try:
        draft = record.draft or read(job.text, record.accepted_at)
        record = record.changed(draft=draft)
        records.save(record)
        event = calendar.insert(draft, event_id(job.id))
    except Failure as failure:
        return _after(failure, record, records)
    except Exception:
        logger.exception("event %s failed on something unforeseen", job.id)
        unforeseen = Failure("InternalError", "Unforeseen", "an unforeseen error", "look at the worker's log")
        return _after(unforeseen, record, records)
    records.save(record.changed(status="done", event=EventResult(**dataclasses.asdict(event)), error=None))
    logger.info("event %s is in the calendar", job.id)
    return None


def _after(failure: Failure, record: EventRecord, records: Records) -> float | None:
    error = EventError(**failure.as_dict())
    if failure.retry_after is None or record.attempts >= MAX_ATTEMPTS:
        logger.warning("event %s failed: %s", record.id, failure)
        records.save(record.changed(status="failed", error=error))
        return None
    wait = max(failure.retry_after if failure.retry_after <= 60 else 60.0, backoff(record.attempts))
    logger.info("event %s waits %.1f s: %s", record.id, wait, failure)
    records.save(record.changed(error=error))
    return wait


def backoff(attempt: int) -> float:
    """Return seconds to wait after an attempt (from 1): doubling up to 30, with jitter against a thundering herd."""
    return min(2.0 ** (attempt - 1), 30.0) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret hangs on it
