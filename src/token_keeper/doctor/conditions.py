"""What the last writers have noted: conditions, failures, the clock, deadlines, and who was the last one."""

from __future__ import annotations

from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.status import Status

_SKEW: Final = 30.0
_SOON: Final = 7


def examine_conditions(status: Status) -> list[Finding]:
    """Judge what the last writers have noted, the clock and the deadlines."""
    found = []
    for condition in status.conditions:
        if condition["type"] == "ReauthRequired" and condition["status"] == "True":
            found.append(
                Finding(
                    "Conditions", "problem", f"{condition['reason']}: {condition['message']}", "consent again: site.yml"
                )
            )
    if status.failures:
        found.append(
            Finding("Conditions", "warning", f"the last {status.failures} exchanges failed", "see token-keeper status")
        )
    if status.clock_skew is not None and abs(status.clock_skew) > _SKEW:
        found.append(
            Finding(
                "Clock",
                "warning",
                f"the provider's clock is {status.clock_skew:+g} s off ours",
                "set up NTP on this host",
            )
        )
    found += [
        Finding("Deadline", "warning", f"{d['reason']} in {d['days_left']} days ({d['at']})", d["remedy"])
        for d in status.deadlines
        if d["days_left"] < _SOON
    ]
    return found or [Finding("Conditions", "ok", "nothing is in the way of the next renewal")]


def examine_events(status: Status) -> list[Finding]:
    """Say who was the last to change anything, in whatever container."""
    return [Finding("Events", "ok", "; ".join(trace(status)) or "the event log says nothing")]


def trace(status: Status) -> list[str]:
    """Say what the volume itself tells of who works on it: across PID namespaces the kernel names nobody."""
    found = []
    event = status.last_event
    if event is not None:
        who = f"{event['service']} (container {event['container']}, process {event['pid']} in it)"
        found.append(f"the last event is {event['event']} by {who} at {event['time']}")
    for condition in status.conditions:
        if condition["type"] == "Refreshing" and condition["status"] == "True":
            found.append(f"an exchange is under way since {condition['last_transition_time']}")
    return found
