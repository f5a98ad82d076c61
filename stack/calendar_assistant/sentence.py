"""From a sentence to an event, without a language model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import dateparser
from pydantic import ValidationError

from calendar_assistant.clock_phrases import (
    BARE_LENGTH,
    LATER,
    LENGTH,
    MOMENT,
    RANGE,
    Clock,
    read_clock,
    read_length,
)
from calendar_assistant.day_phrases import DayPhrase, find_days
from calendar_assistant.event_draft import LONGEST, EventDraft
from calendar_assistant.failures import Failure, unclear

USUAL_LENGTH: Final = timedelta(hours=1)
"""Length of an event whose text names neither an end nor a length."""

_DAY: Final = 24 * 60  # minutes
_ORDERS: Final = re.compile(
    r"^(?:please\s+|can\s+you\s+|could\s+you\s+)*(?:(?:schedule|add|create|set\s+up|put)\s+(?:(?:an?|the|my)\s+)?)?",
    re.IGNORECASE,
)
_TARGET: Final = re.compile(r"\s+(?:to|in|into|on)\s+(?:my|the)\s+calendar\b", re.IGNORECASE)
_LOOSE_END: Final = re.compile(r"(?:[\s,;:\u2013\u2014-]|\b(?:at|on|from|for|starting|by)\s*$)+$", re.IGNORECASE)
_LOOSE_START: Final = re.compile(r"^[\s,;:.!\u2013\u2014-]+")


@dataclass(frozen=True, slots=True)
class _When:
    """What a sentence says about the time of day, and where."""

    span: tuple[int, int]
    first: Clock
    last: Clock | None
    zone: str


def draft_from_sentence(text: str, now: datetime, timezone: ZoneInfo) -> EventDraft:
    """Read an English sentence such as "Team sync tomorrow at 3pm for an hour".

    An hour from 1 to 6 without am or pm means the afternoon. Without an end or a length the event lasts
    :data:`USUAL_LENGTH`.

    Args:
        text: the sentence, of bounded length.
        now: aware moment at which it was said.
        timezone: zone in which its times are meant, unless it names another one.

    Raises:
        Failure: the sentence does not say what or when, contradicts itself, or means the past; its remedy says
            what to write.
    """
    now = now.astimezone(timezone)
    text = " ".join(text.split())
    rest = text
    later, rest = _take(LATER, rest)
    length, rest = _take(LENGTH, rest)
    days, when = _days_and_time(rest, now)
    for span in [day.span for day in days] + ([when.span] if when else []):
        rest = _blank(rest, span)
    if length is None and (when is None or when.last is None):
        length, rest = _take(BARE_LENGTH, rest)
    start = _start(later, days, when, now, timezone)
    end = _end(start, when, length)
    if start < now - timedelta(minutes=1):
        raise unclear("InThePast", f"{start:%A, %d %B %Y at %H:%M} is over", "name a moment that is still to come")
    return _checked(_title(rest), start, end)


def _take(pattern: re.Pattern[str], text: str) -> tuple[timedelta | None, str]:
    matches = list(pattern.finditer(text))
    if not matches:
        return None, text
    if len(matches) > 1:
        raise unclear("TwoLengths", f'both "{matches[0][0]}" and "{matches[1][0]}" are there')
    length = read_length(matches[0]["length"])
    return length, _blank(text, matches[0].span())


def _blank(text: str, span: tuple[int, int]) -> str:
    """Replace a span by a mark of the same width, so that later spans stay true and words don't grow together."""
    return text[: span[0]] + "\0" * (span[1] - span[0]) + text[span[1] :]


def _days_and_time(text: str, now: datetime) -> tuple[list[DayPhrase], _When | None]:
    days = find_days(text, now)
    without_days = text
    for day in days:
        without_days = _blank(without_days, day.span)
    # seconds, as in 08:00:30Z, are no part of a calendar's grid
    without_days = re.sub(r"(?<=[0-9]:[0-9]{2}):[0-9]{2}(?![0-9:])", lambda match: " " * len(match[0]), without_days)
    when = _time_of_day(without_days)
    if len(days) > 1:
        # "Monday report tomorrow at 9": a weekday by itself is part of the title if another day is named
        days = [day for day in days if not day.bare or _stands_before(when, day, text)] or days
    if len(days) > 1:
        raise unclear("TwoDays", f'both "{days[0].text}" and "{days[1].text}" are there', "name one day")
    return days, when


def _stands_before(when: _When | None, day: DayPhrase, text: str) -> bool:
    return when is not None and not text[day.span[1] : when.span[0]].strip() and day.span[1] <= when.span[0]


def _time_of_day(text: str) -> _When | None:
    found: list[_When] = []
    for match in RANGE.finditer(text):
        groups = match.groupdict()
        first, last = (next(groups[name + n] for n in ("", "2", "3") if groups[name + n]) for name in ("first", "last"))
        begin, end = read_clock(first), read_clock(last)
        found.append(_When(match.span(), *_both_halves(begin, end), (groups["zone"] or "").strip()))
        text = _blank(text, match.span())
    for match in MOMENT.finditer(text):
        clock = read_clock(match["after_at"] or match["marked"])
        found.append(_When(match.span(), clock, None, (match["zone"] or "").strip()))
    if len(found) > 1:
        raise unclear("TwoTimes", "two times of day are there", 'name one, or a range as in "from 14:00 to 15:30"')
    return found[0] if found else None


def _both_halves(first: Clock, last: Clock) -> tuple[Clock, Clock]:
    """Settle the half of the day for a range where one side or both leave it open."""
    if not first.certain and last.certain:
        afternoon = first.later_half()
        # "2-3pm" means 14:00, "11-1pm" means 11:00
        fits = _minutes(afternoon.as_time()) < (_minutes(last.as_time()) or _DAY)
        first = afternoon if fits else Clock(first.hour, first.minute, True)
    elif not first.certain:
        first = _likely_half(first)
    if last.as_time() <= first.as_time() < last.twelve_hours_on().as_time():
        last = last.twelve_hours_on()
    return first, last


def _likely_half(clock: Clock) -> Clock:
    return clock.later_half() if clock.hour <= 6 else clock


def _start(
    later: timedelta | None, days: list[DayPhrase], when: _When | None, now: datetime, timezone: ZoneInfo
) -> datetime:
    if later is not None:
        return _later(later, days, when, now, timezone)
    if when is None:
        raise unclear("NoTime", "the text names no time of day" if days else "the text names neither a day nor a time")
    clock = when.first
    part = days[0].part if days else ""
    if part in ("afternoon", "evening", "night"):
        clock = clock.later_half()
    elif part != "morning":
        clock = _likely_half(clock)
    zone = when.zone
    day = days[0].day if days else now.date()
    start = _moment(datetime.combine(day, clock.as_time()), zone, timezone)
    if start < now and (not days or days[0].weekday):
        step = timedelta(days=7 if days else 1)
        start = _moment(datetime.combine(day + step, clock.as_time()), zone, timezone)
    return start


def _later(later: timedelta, days: list[DayPhrase], when: _When | None, now: datetime, timezone: ZoneInfo) -> datetime:
    if days:
        raise unclear("TwoDays", f'both an offset from now and "{days[0].text}" are there', "name one of them")
    if later > timedelta(days=3660):
        raise unclear("TooFar", "that is more than ten years ahead")
    if when is None:
        return (now + later).replace(second=0, microsecond=0)
    if later % timedelta(days=1):
        raise unclear("TwoTimes", "both an offset in hours and a time of day are there", "name one of them")
    day = (now + later).date()
    return _moment(datetime.combine(day, _likely_half(when.first).as_time()), when.zone, timezone)


def _moment(local: datetime, zone: str, timezone: ZoneInfo) -> datetime:
    """Return an aware moment; one that a clock change skips moves on by the hour that is missing."""
    if not zone:
        return datetime.fromtimestamp(local.replace(tzinfo=timezone).timestamp(), timezone)
    if "/" in zone:
        try:
            return local.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone)
        except (KeyError, ValueError, OSError):
            raise _no_zone(zone) from None
    parsed = dateparser.parse(
        f"{local:%Y-%m-%d %H:%M} {zone}",
        languages=["en"],
        settings={"RETURN_AS_TIMEZONE_AWARE": True, "DATE_ORDER": "YMD"},
    )
    if parsed is None or parsed.tzinfo is None:
        raise _no_zone(zone)
    return parsed.astimezone(timezone)


def _no_zone(zone: str) -> Failure:
    return unclear("ZoneUnknown", f'there is no time zone "{zone}"', 'write one such as "Europe/Berlin"')


def _end(start: datetime, when: _When | None, length: timedelta | None) -> datetime:
    if when is None or when.last is None:
        length = USUAL_LENGTH if length is None else length
        if not timedelta(0) < length <= LONGEST:
            raise unclear("LengthInvalid", f"an event lasts between a minute and {LONGEST.days} days")
        # elapsed time: an hour stays an hour across a clock change
        return datetime.fromtimestamp(start.timestamp() + length.total_seconds(), start.tzinfo)
    if length is not None:
        raise unclear("TwoLengths", "both an end and a length are there", "name one of them")
    first, last = (_minutes(clock.as_time()) for clock in (when.first, when.last))
    if not when.first.certain:
        first = _minutes(_likely_half(when.first).as_time())
    minutes = (last - first) % _DAY
    if not 0 < minutes <= 14 * 60:
        raise unclear("LengthInvalid", "the end is not after the start")
    return datetime.fromtimestamp(start.timestamp() + minutes * 60, start.tzinfo)


def _minutes(moment: time) -> int:
    return moment.hour * 60 + moment.minute


def _title(rest: str) -> str:
    pieces = [_LOOSE_START.sub("", _LOOSE_END.sub("", piece)) for piece in re.split(r"\0+", rest)]
    title = " ".join(" ".join(piece for piece in pieces if piece).split())
    title = _ORDERS.sub("", _TARGET.sub("", title)).strip(" \t\"'.,;:-\u2013\u2014")
    if not re.search(r"\w", title):
        raise unclear("NoTitle", "the text does not say what the event is")
    return title[0].upper() + title[1:]


def _checked(title: str, start: datetime, end: datetime) -> EventDraft:
    try:
        return EventDraft(title=title, start=start, end=end)
    except ValidationError as error:
        raise unclear("NotAnEvent", "; ".join(detail["msg"] for detail in error.errors())) from None
