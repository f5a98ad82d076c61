"""What the last writers have noted: conditions, failures, the clock, deadlines, and who was the last one."""

from __future__ import annotations

from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.status import Status

_SKEW: Final = 30.0
_SOON: Final = 7
_LATE: Final = 60
"""Seconds after its end for which a token may wait: a consumer that comes now renews it."""


def examine_conditions(status: Status) -> list[Finding]:
    """Judge what the last writers have noted, the clock and the deadlines."""
    found = []
    for condition in status.conditions:
        if condition["type"] == "ReauthRequired" and condition["status"] == "True":
            found.append(
                Finding(
                    "Conditions",
                    "error",
                    f"the provider won't renew this grant ({condition['reason']}): {condition['message']}",
                    "a person has to consent again: ansible-playbook site.yml -e oauth_token_reconsent=true",
                    "ReauthRequired",
                )
            )
    if status.failures:
        pause = f", the next try is not before {status.cooldown_until}" if status.cooldown_until else ""
        last = next((c["message"] for c in status.conditions if c["type"] == "Refreshing"), "")
        found.append(
            Finding(
                "Conditions",
                "warning",
                f"the last {status.failures} exchanges failed{pause}. {last}".rstrip(". "),
                "see what the provider said; the next try follows by itself",
                "ExchangesFailed",
            )
        )
    if status.clock_skew is not None and abs(status.clock_skew) > _SKEW:
        found.append(
            Finding(
                "Clock",
                "warning",
                f"the provider's clock is {status.clock_skew:+g} s off ours",
                "set up NTP on this host",
                "ClockSkew",
            )
        )
    found += [
        Finding(
            "Deadline",
            "warning",
            f"{d['reason']} {_when(d['days_left'])} ({d['at']})",
            d["remedy"],
            "DeadlineNear",
            where=d["reason"],
        )
        for d in status.deadlines
        if d["days_left"] < _SOON
    ]
    return found or [Finding("Conditions", "ok", "nothing is in the way of the next renewal")]


def _when(days_left: int) -> str:
    return f"in {days_left} days" if days_left >= 0 else "should have come already"


def examine_life(status: Status) -> list[Finding]:
    """Judge how long the access token lives on, and whether somebody has renewed it in time."""
    document = status.document
    if document["state"] != "sound":
        return []  # of which the check of the document tells
    left = document.get("expires_in")
    if left is None or left >= -_LATE:
        message = "the access token has no expiry" if left is None else f"the access token lives for {max(left, 0)} s"
        return [Finding("AccessToken", "ok", message)]
    return [
        Finding(
            "AccessToken",
            "warning" if status.healthy else "error",
            f"the access token is over since {-left} s, and nobody has renewed it",
            "look whether the keeper runs; `ansible-playbook playbooks/verify.yml` renews it, or says why not",
            "AccessTokenOver",
        )
    ]


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
