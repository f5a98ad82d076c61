"""The Celery worker: ``celery -A calendar_assistant.worker worker --concurrency 4``."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from calendar_assistant.calendar_client import CalendarClient
from calendar_assistant.event_job import Job, run
from calendar_assistant.event_reader import Reader, make_reader
from calendar_assistant.event_records import EventRecords
from calendar_assistant.heartbeat import Heartbeat
from calendar_assistant.language_model import LanguageModel
from calendar_assistant.logs import set_up_logging
from calendar_assistant.settings import Settings
from calendar_assistant.task_queue import CREATE_EVENT, make_celery
from token_keeper import TokenStore

if os.getuid() != 0:
    # a container may run under a uid and gid that /etc/passwd and /etc/group don't know; Celery takes that for root
    warnings.filterwarnings("ignore", category=SecurityWarning)

settings = Settings()
app = make_celery(settings.redis_url)


@dataclass(frozen=True, slots=True)
class _Resources:
    """What one worker process works with; sockets and threads don't survive a fork, so each has its own."""

    pid: int
    calendar: CalendarClient
    records: EventRecords
    read: Reader
    heartbeat: Heartbeat


_resources: _Resources | None = None


def _open() -> _Resources:
    global _resources  # noqa: PLW0603 - one set a process is the point
    if _resources is None or _resources.pid != os.getpid():
        store = TokenStore(settings.token_keeper_path, service=settings.token_keeper_service)
        model = None
        if settings.llm_base_url is not None:
            model = LanguageModel(
                str(settings.llm_base_url),
                settings.llm_model,
                api_key_file=settings.llm_api_key_file,
                timeout=settings.llm_timeout,
            )
        _resources = _Resources(
            pid=os.getpid(),
            calendar=CalendarClient(
                store,
                endpoint=str(settings.calendar_api_endpoint or ""),
                calendar_id=settings.calendar_id,
                timezone=settings.calendar_timezone,
                timeout=settings.calendar_timeout,
            ),
            records=EventRecords(settings.redis_url),
            read=make_reader(settings.timezone, model),
            heartbeat=Heartbeat.of(store, settings, "worker"),
        )
        _resources.heartbeat.start()
    return _resources


@worker_process_init.connect
def _process_begins(**_: Any) -> None:
    _open()


@worker_process_shutdown.connect
def _process_ends(**_: Any) -> None:
    if _resources is not None and _resources.pid == os.getpid():
        _resources.heartbeat.stop()


@setup_logging.connect
def _log_our_way(**_: Any) -> None:
    # being connected, this also keeps `--loglevel debug` from switching on what prints headers
    set_up_logging()


@app.task(name=CREATE_EVENT, bind=True, max_retries=None)
def create_event(self: Any, fields: dict[str, Any]) -> None:
    """Turn a request's text into an event, trying again later where that helps."""
    resources = _open()
    wait = run(Job.model_validate(fields), resources.records, resources.read, resources.calendar)
    if wait is not None:
        raise self.retry(countdown=wait)
