"""The Celery application's configuration, shared by the API (which sends) and the workers (which do)."""

from __future__ import annotations

from typing import Any, Final

from celery import Celery

CREATE_EVENT: Final = "calendar_assistant.create_event"
"""Name of the task that turns a :class:`calendar_assistant.event_job.Job` into an event."""

_REDELIVER_AFTER: Final = 300
"""Seconds after which a job whose worker vanished is given to another one; longer than any retry waits."""


def make_celery(redis_url: str) -> Celery:
    """Return a Celery application without tasks.

    There are no time limits on tasks: one would interrupt a process in the middle of a token exchange, whose reply
    must not be lost. Every call that a task makes has a deadline of its own instead.
    """
    celery = Celery("calendar_assistant", broker=redis_url, set_as_current=False)
    celery.conf.update(_configuration())
    return celery


def _configuration() -> dict[str, Any]:
    return {
        # JSON alone: a pickled message would be code from whoever reaches Redis
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # outcomes are noted by the job itself, see event_records
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # a job leaves the queue when it is over, and comes back if its process or container dies
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # a connection that breaks does not kill a process that may be exchanging a token
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_transport_options": {
            "visibility_timeout": _REDELIVER_AFTER,
            "socket_connect_timeout": 2,
            "socket_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 15,
            "retry_on_timeout": False,
        },
        "broker_connection_timeout": 2,
        "broker_connection_retry_on_startup": True,
        # a worker waits for Redis for ever; a sender is told at once (see task_publish_retry_policy)
        "broker_connection_max_retries": None,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
        "task_create_missing_queues": True,
        "task_default_queue": "calendar_assistant",
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
    }
