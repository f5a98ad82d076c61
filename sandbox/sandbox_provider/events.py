"""Calendar events: where they are kept, and what makes one."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sandbox_provider.calendar_errors import CalendarError
from sandbox_provider.database import Database

TIME_ZONE: Final = "Etc/UTC"

_EVENT_ID: Final = re.compile(r"[a-v0-9]{5,1024}")
_READ_ONLY: Final = frozenset(
    {"kind", "etag", "id", "htmlLink", "created", "updated", "creator", "organizer", "iCalUID", "sequence", "eventType"}
)
_NEEDED_OBJECTS: Final = ("start", "end")


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """What is listed.

    Attributes:
        time_min: Unix time; events that end at or before it are left out.
        time_max: Unix time; events that start at or after it are left out.
        text: events without this text in summary, description or location are left out.
        ical_uid: only the event of this iCalendar UID.
        deleted: deleted events are listed too.
        by_start: sorted by start, else in the order in which they were inserted.
    """

    time_min: float | None = None
    time_max: float | None = None
    text: str = ""
    ical_uid: str = ""
    deleted: bool = False
    by_start: bool = False


class EventStore:
    """The primary calendar of each account."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        """Keep events in ``database``, stamped by ``clock`` (Unix time)."""
        self._database = database
        self._clock = clock

    def insert(self, account: str, sent: dict[str, Any], base_url: str) -> dict[str, Any]:
        """Add an event and return it as Google does.

        Raises:
            CalendarError: a part is missing or malformed, or the id that was sent is taken.
        """
        event_id = sent.get("id") or secrets.token_hex(13)
        if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
            raise CalendarError(400, "invalid", "Invalid resource id value.")
        start, starts_at = _moment(sent.get("start"), "start")
        end, ends_at = _moment(sent.get("end"), "end")
        if ends_at < starts_at or ("date" in start) != ("date" in end):
            raise CalendarError(400, "timeRangeEmpty", "The specified time range is empty.")
        now = _rfc3339(self._clock())
        person = {"email": account, "self": True}
        event = {name: value for name, value in sent.items() if name not in {*_READ_ONLY, *_NEEDED_OBJECTS}}
        event = {
            "kind": "calendar#event",
            "etag": f'"{secrets.randbelow(10**16)}"',
            "id": event_id,
            "status": "confirmed",
            "htmlLink": f"{base_url}/#{event_id}",
            "created": now,
            "updated": now,
            **event,
            "creator": person,
            "organizer": person,
            "start": start,
            "end": end,
            "iCalUID": f"{event_id}@sandbox.invalid",
            "sequence": 0,
            "reminders": sent.get("reminders", {"useDefault": True}),
            "eventType": "default",
        }
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO events (account, event_id, starts_at, ends_at, body) VALUES (?, ?, ?, ?, ?)",
                    (account, event_id, starts_at, ends_at, json.dumps(event)),
                )
        except sqlite3.IntegrityError:
            raise CalendarError(409, "duplicate", "The requested identifier already exists.") from None
        return event

    def find(self, account: str, event_id: str) -> dict[str, Any]:
        """Return an event; a deleted one with the status ``cancelled``.

        Raises:
            CalendarError: there never was one.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM events WHERE account = ? AND event_id = ?", (account, event_id)
            ).fetchone()
        if row is None:
            raise CalendarError(404, "notFound", "Not Found")
        return _event(row)

    def delete(self, account: str, event_id: str) -> None:
        """Delete an event; its id stays taken, as at Google.

        Raises:
            CalendarError: there is none, or it is deleted already.
        """
        with self._database.transaction() as connection:
            if self.find(account, event_id)["status"] == "cancelled":
                raise CalendarError(410, "deleted", "Resource has been deleted")
            connection.execute("UPDATE events SET deleted = 1 WHERE account = ? AND event_id = ?", (account, event_id))

    def page(self, account: str, query: Query, offset: int, size: int) -> tuple[list[dict[str, Any]], bool]:
        """Return up to ``size`` events from the ``offset``-th that match, and whether there are more."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM events WHERE account = ? AND deleted <= ? ORDER BY position",
                (account, query.deleted),
            ).fetchall()
        if query.by_start:
            rows.sort(key=lambda row: row["starts_at"])  # stable: equal ones stay as they were inserted
        found = [_event(row) for row in rows if _matches(row, query)]
        return found[offset : offset + size], len(found) > offset + size

    def latest(self, account: str, most: int) -> list[dict[str, Any]]:
        """Return the ``most`` last inserted events that are not deleted, the newest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM events WHERE account = ? AND NOT deleted ORDER BY position DESC LIMIT ?",
                (account, most),
            ).fetchall()
        return [_event(row) for row in rows]


def unix_time(text: str, name: str) -> float:
    """Return the Unix time of an RFC 3339 time with an offset.

    Raises:
        CalendarError: it is something else.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CalendarError(400, "badRequest", f"Bad Request: {name} is not a time with an offset (RFC 3339)")
    return moment.timestamp()


def _event(row: sqlite3.Row) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(row["body"])
    return event | {"status": "cancelled"} if row["deleted"] else event


def _matches(row: sqlite3.Row, query: Query) -> bool:
    if query.time_min is not None and row["ends_at"] <= query.time_min:
        return False
    if query.time_max is not None and row["starts_at"] >= query.time_max:
        return False
    event = json.loads(row["body"])
    if query.ical_uid and event["iCalUID"] != query.ical_uid:
        return False
    words = " ".join(str(event.get(name, "")) for name in ("summary", "description", "location"))
    return query.text.casefold() in words.casefold()


def _moment(sent: object, name: str) -> tuple[dict[str, str], float]:
    """Return a start or end as Google gives it back, and its Unix time.

    Raises:
        CalendarError: it is missing or malformed.
    """
    if not isinstance(sent, dict) or not (sent.get("dateTime") or sent.get("date")):
        raise CalendarError(400, "required", f"Missing {name} time.")
    zone_name = sent.get("timeZone")
    try:
        zone = ZoneInfo(zone_name) if zone_name else None
        if sent.get("date"):
            day = date.fromisoformat(sent["date"])
            return {"date": day.isoformat()}, datetime.combine(day, time(), zone or UTC).timestamp()
        moment = datetime.fromisoformat(sent["dateTime"])
    except (ValueError, TypeError, OSError):
        # a time zone that isn't one is a key error of its own, or whatever its text means as a path
        raise CalendarError(400, "invalid", f"Invalid value for: {name}") from None
    except KeyError:
        raise CalendarError(400, "invalid", f"Invalid time zone definition for {name} time.") from None
    if moment.tzinfo is None and zone is None:
        raise CalendarError(400, "required", f"Missing time zone definition for {name} time.")
    aware = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
    offset = aware.utcoffset() or timedelta()
    text = aware.isoformat(timespec="seconds") if offset else aware.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"dateTime": text, "timeZone": zone_name or TIME_ZONE}, aware.timestamp()


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
