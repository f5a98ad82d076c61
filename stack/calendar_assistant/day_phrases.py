"""Days, as people write them in English.

``dateparser.search.search_dates`` alone is not enough here: it takes the May of "lunch with May on Friday" for
the month, the 1:1 of "1:1 with Ana" for a time, and drops the hour of "tonight at 7". So this module finds the
phrases that mean a day for certain, and dateparser reads the ones that need a calendar.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import dateparser

from calendar_assistant.failures import unclear

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY: Final = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_SHORT_WEEKDAY: Final = r"(?:mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun)\b\.?"
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY: Final = r"[0-9]{1,2}(?:st|nd|rd|th)?"
_YEAR: Final = r"(?:,?\s+[0-9]{4}(?![0-9:]))?"
_PART: Final = r"(?:\s+(?:in\s+the\s+)?(?P<part>morning|afternoon|evening|night)\b)?"
_LEAD: Final = rf"(?:on\s+)?(?:(?:{_WEEKDAY}|{_SHORT_WEEKDAY}),?\s+)?(?:the\s+)?"

_PATTERNS: Final = {
    "iso": re.compile(
        rf"(?<![\w-])(?:on\s+)?(?P<phrase>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:T(?=[0-9]{{2}}:)|(?![\w-])){_PART}", re.I
    ),
    "dotted": re.compile(
        rf"(?<![\w.])(?:on\s+)?(?P<phrase>[0-9]{{1,2}}\.\s?[0-9]{{1,2}}\.(?:[0-9]{{4}})?)(?![0-9.]){_PART}", re.I
    ),
    "month": re.compile(
        rf"\b{_LEAD}(?P<phrase>{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}|{_MONTH}\s+(?:the\s+)?{_DAY}(?![0-9:]){_YEAR}){_PART}",
        re.I,
    ),
    "after": re.compile(rf"\b(?P<phrase>(?:the\s+)?day\s+after\s+tomorrow){_PART}", re.I),
    "near": re.compile(
        rf"\b(?P<phrase>today|tomorrow|tonight|yesterday|this(?=\s+(?:morning|afternoon|evening)\b)){_PART}", re.I
    ),
    "week": re.compile(
        rf"\b(?:on\s+)?(?P<phrase>{_WEEKDAY}\s+next\s+week|next\s+week,?\s+(?:on\s+)?{_WEEKDAY}){_PART}", re.I
    ),
    "weekday": re.compile(
        rf"\b(?:(?P<led>on|next|this|coming|on\s+next|this\s+coming)\s+(?P<phrase>{_WEEKDAY}|{_SHORT_WEEKDAY})"
        rf"|(?P<phrase2>{_WEEKDAY}|{_SHORT_WEEKDAY}(?=\s*(?:,|$|at\b|from\b|[0-9])))){_PART},?",
        re.I,
    ),
}


@dataclass(frozen=True, slots=True)
class DayPhrase:
    """A day that a text names.

    Attributes:
        span: where it stands in the text.
        text: as it is written.
        day: the day it means.
        part: ``morning``, ``afternoon``, ``evening``, ``night`` or nothing.
        weekday: whether only a weekday was named, so that it may be a week later if that moment is over.
        bare: whether that weekday stands without ``on`` or ``next`` and so may belong to the title.
    """

    span: tuple[int, int]
    text: str
    day: date
    part: str = ""
    weekday: bool = False
    bare: bool = False


def find_days(text: str, now: datetime) -> list[DayPhrase]:
    """Return the days that ``text`` names, in their order, seen from ``now``.

    Raises:
        Failure: a date names a day that does not exist, or is written with slashes, which people on two
            continents read in two ways.
    """
    slashed = re.search(r"(?<![\w/])[0-9]{1,2}/[0-9]{1,2}/(?:[0-9]{4}|[0-9]{2})(?![\w/])", text)
    if slashed:
        raise unclear(
            "DateAmbiguous",
            f'"{slashed[0]}" means two different days to different people',
            'write the month as a word, for example "3 December"',
        )
    found: list[DayPhrase] = []
    for kind, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            if any(match.start() < phrase.span[1] and phrase.span[0] < match.end() for phrase in found):
                continue
            found.append(_phrase(kind, match, now))
    return sorted(found, key=lambda phrase: phrase.span)


def _phrase(kind: str, match: re.Match[str], now: datetime) -> DayPhrase:
    groups = match.groupdict()
    words = " ".join((groups["phrase"] or groups.get("phrase2") or "").lower().split())
    part = (groups["part"] or "").lower()
    today = now.date()
    if kind == "near":
        day = today + timedelta(days={"tomorrow": 1, "yesterday": -1}.get(words, 0))
        part = part or ("evening" if words == "tonight" else "")
    elif kind == "after":
        day = today + timedelta(days=2)
    elif kind == "week":
        name = words.replace("next week", "").replace(",", "").replace("on ", "").strip()
        day = today + timedelta(days=7 - today.weekday() + _weekday(name))
    elif kind == "weekday":
        ahead = (_weekday(words) - today.weekday()) % 7
        if ahead == 0 and "next" in (groups["led"] or "").lower():
            ahead = 7
        return DayPhrase(
            match.span(), match[0].strip(), today + timedelta(days=ahead), part, weekday=True, bare=not groups["led"]
        )
    else:
        day = _calendar_day(words, now)
    return DayPhrase(match.span(), match[0].strip(), day, part)


def _weekday(name: str) -> int:
    return next(number for number, weekday in enumerate(_WEEKDAYS) if weekday.startswith(name.strip(" .")[:3]))


def _calendar_day(words: str, now: datetime) -> date:
    dotted = re.match(r"([0-9]{1,2})\.\s?([0-9]{1,2})\.([0-9]{4})?", words)
    spelled = words.replace("the ", "")
    if dotted and 1 <= int(dotted[2]) <= 12:
        # dateparser reads 3.12.2026, but not 3.12. without a year
        spelled = f"{dotted[1]} {calendar.month_name[int(dotted[2])]} {dotted[3] or ''}"
    parsed = dateparser.parse(
        spelled,
        languages=["en"],
        settings={
            "RELATIVE_BASE": now.replace(tzinfo=None),
            "PREFER_DATES_FROM": "future",
            "DATE_ORDER": "YMD" if re.match(r"[0-9]{4}-", words) else "DMY",
            "REQUIRE_PARTS": ["day", "month"],
        },
    )
    if parsed is None:
        raise unclear("DateInvalid", f'there is no day "{words}"')
    return parsed.date()
