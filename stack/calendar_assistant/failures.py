"""What can go wrong in the application, in the one shape in which callers see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)
class Failure(Exception):
    """A failure that a caller is told about; it never carries a secret.

    Attributes:
        type: kind of failure, such as ``UnclearText``.
        reason: CamelCase word that a program can branch on.
        message: what happened.
        remedy: what to do next.
        status: HTTP status that fits.
        retry_after: seconds after which a retry makes sense; ``None`` where a retry alone won't help.
    """

    type: str
    reason: str
    message: str
    remedy: str = ""
    status: int = 503
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def as_dict(self) -> dict[str, str]:
        """Return the ``error`` object of a reply or of an event's record."""
        return {"type": self.type, "reason": self.reason, "message": self.message, "remedy": self.remedy}


HOW_TO_WRITE = (
    'say what, when and how long, for example "Team sync tomorrow at 3pm for an hour" '
    'or "Workshop on 3 December from 14:00 to 15:30"'
)


def unclear(reason: str, message: str, remedy: str = HOW_TO_WRITE) -> Failure:
    """Return the failure for a text that cannot become an event."""
    return Failure("UnclearText", reason, message, remedy, status=422)
