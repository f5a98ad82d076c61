"""What an event must be before it goes into a calendar."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, model_validator

LONGEST: Final = timedelta(days=14)
"""Longer than this is a slip of the pen, or of a language model."""

Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class EventDraft(BaseModel):
    """Title, start and end of an event, checked.

    Attributes:
        title: one line of text.
        start: aware start.
        end: aware end, after the start and at most :data:`LONGEST` later.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Title
    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not timedelta(0) < self.end - self.start <= LONGEST:
            raise ValueError(f"an event ends after it starts, and at most {LONGEST.days} days later")
        return self

    def starts_before(self, moment: datetime) -> bool:
        """Tell whether the event would start before an aware ``moment``."""
        return self.start < moment

    def as_calendar_event(self, event_id: str, timezone: str) -> dict[str, Any]:
        """Return the body of an insert into the Calendar API v3 (``events`` resource).

        Args:
            event_id: the caller's id, so that a second insert of the same event is refused.
            timezone: IANA name of the zone in which the calendar shows the event.
        """
        return {
            "id": event_id,
            "summary": self.title,
            "start": {"dateTime": self.start.isoformat(timespec="seconds"), "timeZone": timezone},
            "end": {"dateTime": self.end.isoformat(timespec="seconds"), "timeZone": timezone},
        }
