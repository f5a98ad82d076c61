"""Times of day and lengths of time, as people write them in English."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Final

from calendar_assistant.failures import unclear

_MERIDIEM: Final = r"(?:\s*(?:a\.?m\.?|p\.?m\.?)(?![a-z]))"
_MARKED: Final = (
    r"(?:noon|midday|midnight"
    rf"|[0-9]{{1,2}}:[0-9]{{2}}(?![0-9:]){_MERIDIEM}?"
    rf"|[0-9]{{1,2}}{_MERIDIEM}"
    r"|[0-9]{1,2}h(?:[0-9]{2})?(?![0-9a-z])"
    r"|[0-9]{1,2}\s+o'?clock)"
)
# not the first half of "3rd", "3.5", "3/12" or "10%", and not followed by a unit
_BARE: Final = r"(?:[0-9]{1,2}(?:\.[0-9]{2})?(?![0-9a-z/%]|[:.][0-9]))"
_ANY: Final = rf"(?:{_MARKED}|{_BARE})"
_JOINT: Final = r"\s*(?:-|\u2013|\u2014|\bto\b|\buntil\b|\btill\b)\s*"
_ZONE: Final = (
    r"(?P<zone>\s*(?:Z\b|\b(?:UTC|GMT|CET|CEST|EET|EEST|WET|WEST|BST|IST|JST|[ECMP][SD]T)\b|[+-][0-9]{2}:[0-9]{2}"
    r"|\s[A-Z][A-Za-z_]+/[A-Z][A-Za-z_/]+))?"
)

RANGE: Final = re.compile(
    rf"(?<![\w:.])(?i:(?:(?:from|between)\s+(?P<first>{_ANY})(?:{_JOINT}|\s+and\s+)(?P<last>{_ANY})"
    rf"|(?:at\s+)?(?P<first2>{_MARKED}){_JOINT}(?P<last2>{_ANY})"
    rf"|(?:at\s+)?(?P<first3>{_BARE}){_JOINT}(?P<last3>{_MARKED})))(?:{_ZONE})"
)
"""``from 14:00 to 15:30``, ``9-10am``, ``3pm until 4``, each with a zone behind it if there is one."""

MOMENT: Final = re.compile(
    rf"(?<![\w:.])(?i:(?:at|@|from|starting\s+at)\s*(?P<after_at>{_ANY})|(?P<marked>{_MARKED})){_ZONE}"
)
"""``at 3pm``, ``10:30``, ``at 15:00 UTC``."""

_NUMBERS: Final = {
    word: number
    for number, words in {
        0.25: "quarter of an",
        0.5: "half an,half a",
        1: "a,an,one",
        2: "two,a couple of",
        3: "three",
        4: "four",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten",
        15: "fifteen",
        20: "twenty",
        30: "thirty",
        40: "forty",
        45: "forty-five,forty five",
        50: "fifty",
        60: "sixty",
        90: "ninety",
    }.items()
    for word in words.split(",")
}
_WORDS: Final = "|".join(sorted(map(re.escape, _NUMBERS), key=len, reverse=True))
_DIGITS: Final = r"[0-9]{1,4}(?:[.,][0-9]{1,2})?"
_UNIT: Final = r"(?:hours?|hrs?|h|minutes?|mins?|days?|weeks?)(?![a-z])"
_AMOUNT: Final = rf"(?:(?:(?:{_WORDS})\s+|{_DIGITS}\s*-?\s*){_UNIT})"
_LENGTH: Final = (
    rf"(?:[0-9]{{1,2}}h[0-9]{{1,2}}(?:m|min)?(?![0-9a-z])"
    rf"|{_AMOUNT}(?:\s+and\s+a\s+half|(?:\s+and\s+|\s*,?\s*){_AMOUNT})?"
    rf"|(?:{_WORDS}|{_DIGITS})\s+and\s+a\s+half\s+{_UNIT})"
)

LENGTH: Final = re.compile(
    rf"\b(?:for|lasting|during)\s+(?:about\s+|around\s+|at\s+most\s+)?(?P<length>{_LENGTH})", re.IGNORECASE
)
"""``for an hour and a half``, ``for 45 minutes``, ``for 1h30``."""

BARE_LENGTH: Final = re.compile(
    r"(?<![\w.:/-])(?P<length>[0-9]{1,3}\s*-?\s*(?:minutes?|mins?|hours?|hrs?|h)(?![a-z0-9]))", re.IGNORECASE
)
"""``30 min``, ``2-hour``: a length without ``for``."""

LATER: Final = re.compile(rf"\bin\s+(?:about\s+)?(?P<length>{_LENGTH})", re.IGNORECASE)
"""``in two hours``, ``in 3 days``: an offset from now."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day.

    Attributes:
        hour: 0 to 23.
        minute: 0 to 59.
        certain: whether the half of the day was said; ``3`` alone does not say it.
        movable: whether the end of a range may still be read twelve hours later, as in ``4pm until 5:30``.
    """

    hour: int
    minute: int
    certain: bool
    movable: bool = False

    def as_time(self) -> time:
        """Return the time of day without a zone."""
        return time(self.hour, self.minute)

    def later_half(self) -> Clock:
        """Return the time in the afternoon where the half of the day was not said."""
        return self if self.certain else self.twelve_hours_on()

    def twelve_hours_on(self) -> Clock:
        """Return the time twelve hours later on the same day, if the way it was written allows that."""
        return Clock(self.hour + 12, self.minute, True) if self.movable else self


def read_clock(text: str) -> Clock:
    """Read one time of day.

    Raises:
        Failure: there is no such time, such as ``25:00`` or ``13pm``.
    """
    word = text.strip().lower().replace(".m", "m").replace("m.", "m")
    if word in ("noon", "midday"):
        return Clock(12, 0, True)
    if word == "midnight":
        return Clock(0, 0, True)
    match = re.match(r"([0-9]{1,2})(?:[:.h]([0-9]{2}))?\s*(am|pm|h|o)?", word)
    if match is None:
        raise unclear("TimeInvalid", f'"{text.strip()}" is not a time of day')
    hour, minute, mark = int(match[1]), int(match[2] or 0), match[3]
    half = mark in ("am", "pm")
    if minute > 59 or hour > 23 or (half and not 1 <= hour <= 12):
        raise unclear("TimeInvalid", f'there is no time of day "{text.strip()}"')
    if half:
        return Clock(hour % 12 + (12 if mark == "pm" else 0), minute, True)
    # "15:00", "03:00" and "9:30" are taken as written; "3" and "3.30" may be either half of the day
    certain = ":" in word or mark == "h" or hour == 0 or hour >= 12
    return Clock(hour, minute, certain, movable=1 <= hour < 12 and not word.startswith("0"))


def read_length(text: str) -> timedelta:
    """Read a length of time that one of this module's patterns found."""
    words = " ".join(text.lower().split())
    half = re.search(rf"({_WORDS}|{_DIGITS})\s+and\s+a\s+half\s+({_UNIT})", words)
    if half:
        return (_number(half[1]) + 0.5) * _unit(half[2])
    short = re.fullmatch(r"([0-9]{1,2})h([0-9]{1,2})(?:m|min)?", words)
    if short:
        return timedelta(hours=int(short[1]), minutes=int(short[2]))
    total, unit = timedelta(0), timedelta(hours=1)
    for match in re.finditer(rf"(?:({_WORDS})\s+|({_DIGITS})\s*-?\s*)({_UNIT})", words):
        unit = _unit(match[3])
        total += _number(match[1] or match[2]) * unit
    return total + unit / 2 if words.endswith("and a half") else total


def _number(text: str) -> float:
    return float(_NUMBERS[text]) if text in _NUMBERS else float(text.replace(",", "."))


def _unit(text: str) -> timedelta:
    return {
        "h": timedelta(hours=1),
        "m": timedelta(minutes=1),
        "d": timedelta(days=1),
        "w": timedelta(weeks=1),
    }[text[0]]
