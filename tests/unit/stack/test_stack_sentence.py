"""Sentences as people write them, and what becomes of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calendar_assistant.event_draft import EventDraft
from calendar_assistant.failures import Failure
from calendar_assistant.sentence import draft_from_sentence

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 23, 9, 15, tzinfo=BERLIN)


def read(text: str, now: datetime = MONDAY, zone: ZoneInfo = BERLIN) -> EventDraft:
    return draft_from_sentence(text, now, zone)


@pytest.mark.parametrize(
    ("text", "title", "start", "minutes"),
    [
        ("Team sync tomorrow at 3pm for an hour", "Team sync", "2026-11-24 15:00", 60),
        ("Standup next Friday 10:30 for 45 minutes", "Standup", "2026-11-27 10:30", 45),
        ("Workshop on 3 December from 14:00 to 15:30", "Workshop", "2026-12-03 14:00", 90),
        ("Call Bob in two hours", "Call Bob", "2026-11-23 11:15", 60),
        ("Call Bob in two hours for 15 minutes", "Call Bob", "2026-11-23 11:15", 15),
        ("in 30 minutes standup", "Standup", "2026-11-23 09:45", 60),
        # a month's or weekday's name, a ratio and a version in the title stay there
        ("Lunch with May on Friday at noon", "Lunch with May", "2026-11-27 12:00", 60),
        ("call March about budget tomorrow at 10", "Call March about budget", "2026-11-24 10:00", 60),
        ("1:1 with Ana next week Tuesday 4pm", "1:1 with Ana", "2026-12-01 16:00", 60),
        ("Monday report tomorrow at 9", "Monday report", "2026-11-24 09:00", 60),
        ("Buy sun cream tomorrow at 5pm", "Buy sun cream", "2026-11-24 17:00", 60),
        ("release v2.10 tomorrow at 10", "Release v2.10", "2026-11-24 10:00", 60),
        ("Pay 100 EUR to Bob tomorrow at 9", "Pay 100 EUR to Bob", "2026-11-24 09:00", 60),
        ("Chapter 3 reading group tomorrow at 7pm", "Chapter 3 reading group", "2026-11-24 19:00", 60),
        # the half of the day, said or meant
        ("Dinner tonight at 7", "Dinner", "2026-11-23 19:00", 60),
        ("Sync tomorrow afternoon at 3.30", "Sync", "2026-11-24 15:30", 60),
        ("breakfast this morning at 11", "Breakfast", "2026-11-23 11:00", 60),
        ("Retro in a week at 4", "Retro", "2026-11-30 16:00", 60),
        ("Lunch tomorrow 12-1pm", "Lunch", "2026-11-24 12:00", 60),
        ("Brunch tomorrow 11-1pm", "Brunch", "2026-11-24 11:00", 120),
        ("Board on the 3rd of December at 4pm until 5:30", "Board", "2026-12-03 16:00", 90),
        ("Sync tomorrow between 2 and 3", "Sync", "2026-11-24 14:00", 60),
        ("Party on Saturday from 10pm to 2am", "Party", "2026-11-28 22:00", 240),
        ("Party Saturday evening from 7 to 11", "Party", "2026-11-28 19:00", 240),
        ("Gala tomorrow 10pm to midnight", "Gala", "2026-11-24 22:00", 120),
        # a time that is over today, a weekday that is over this week
        ("Review at 3pm", "Review", "2026-11-23 15:00", 60),
        ("Review at 8am", "Review", "2026-11-24 08:00", 60),
        ("planning Monday 9-10am", "Planning", "2026-11-30 09:00", 60),
        ("planning Monday 10-11am", "Planning", "2026-11-23 10:00", 60),
        # dates
        ("Dentist on Dec 5th 2026 at 9am", "Dentist", "2026-12-05 09:00", 60),
        ("Friday, 4 December 2026, 10:00 to 11: board meeting", "Board meeting", "2026-12-04 10:00", 60),
        ("Conference on 3.12. at 9:00 for two days", "Conference", "2026-12-03 09:00", 2880),
        ("Kickoff 15 January 10:00", "Kickoff", "2027-01-15 10:00", 60),
        ("Team sync the day after tomorrow at 15h", "Team sync", "2026-11-25 15:00", 60),
        ("7pm dinner on Dec 24", "Dinner", "2026-12-24 19:00", 60),
        # lengths
        ("Design review on Thursday at 2 for an hour and a half", "Design review", "2026-11-26 14:00", 90),
        ("Yoga Wednesday 18:00 for 1h30", "Yoga", "2026-11-25 18:00", 90),
        ("30 min call with Bob tomorrow at 3pm", "Call with Bob", "2026-11-24 15:00", 30),
        ("Sync tomorrow at 3 p.m. for one hour.", "Sync", "2026-11-24 15:00", 60),
        ("Café ☕ mit Zoë tomorrow at 3pm for 1 hour and 30 minutes", "Café ☕ mit Zoë", "2026-11-24 15:00", 90),
        # zones
        ("flight 2026-12-01T08:00Z for 2h", "Flight", "2026-12-01 09:00", 120),
        ("flight 2026-12-01T08:00:30+02:00 for 2h", "Flight", "2026-12-01 07:00", 120),
        ("Sync 24 Nov 15:00 UTC", "Sync", "2026-11-24 16:00", 60),
        ("Call tomorrow 3pm EST", "Call", "2026-11-24 21:00", 60),
        ("Call tomorrow 3pm America/New_York for 20 minutes", "Call", "2026-11-24 21:00", 20),
        # orders to the assistant are no part of the title
        ("Schedule a design review on Thursday at 2", "Design review", "2026-11-26 14:00", 60),
        ("please add dentist to my calendar tomorrow at 8:30", "Dentist", "2026-11-24 08:30", 60),
    ],
)
def test_reads(text: str, title: str, start: str, minutes: int) -> None:
    draft = read(text)
    assert (draft.title, f"{draft.start:%Y-%m-%d %H:%M}") == (title, start)
    assert draft.end - draft.start == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "NoTime"),
        ("Meeting tomorrow", "NoTime"),
        ("tomorrow at 3pm", "NoTitle"),
        ("...", "NoTime"),
        ("Meet on 31 February at 10", "DateInvalid"),
        ("Meet on 2026-13-45 at 10", "DateInvalid"),
        ("Meet 3/12/2026 at 10", "DateAmbiguous"),
        ("Meet tomorrow at 25:00", "TimeInvalid"),
        ("Meet tomorrow at 13pm", "TimeInvalid"),
        ("Meet yesterday at 3pm", "InThePast"),
        ("Meet on 2020-01-01 at 10:00", "InThePast"),
        ("Sync today at 8am", "InThePast"),
        ("Meet tomorrow and Friday at 10", "TwoDays"),
        ("Meet on Friday and on Saturday at 10", "TwoDays"),
        ("Meet tomorrow in two hours", "TwoDays"),
        ("Meet tomorrow at 10 and at 11", "TwoTimes"),
        ("Meet in two hours at 3pm", "TwoTimes"),
        ("Meet tomorrow from 15:00 to 14:00", "LengthInvalid"),
        ("Sync tomorrow at 3pm for 0 minutes", "LengthInvalid"),
        ("Sync tomorrow at 3pm for 500 hours", "LengthInvalid"),
        ("Sync tomorrow 14:00-15:00 for 2 hours", "TwoLengths"),
        ("Sync tomorrow at 3pm for 2 hours for 3 hours", "TwoLengths"),
        ("Call tomorrow 3pm Foo/Bar", "ZoneUnknown"),
        ("Sync in 9999 weeks", "TooFar"),
    ],
)
def test_says_what_is_missing(text: str, reason: str) -> None:
    with pytest.raises(Failure) as failure:
        read(text)
    assert failure.value.reason == reason
    assert failure.value.status == 422
    assert failure.value.remedy
    assert failure.value.retry_after is None


def test_a_time_that_the_clock_change_skips_moves_on() -> None:
    assert read("Night flight 28 March 2027 at 02:30").start.isoformat() == "2027-03-28T03:30:00+02:00"


def test_an_hour_stays_an_hour_across_the_clock_change() -> None:
    draft = read("Watch 28 March 2027 at 01:30 for an hour")
    assert draft.end.timestamp() - draft.start.timestamp() == 3600
    assert draft.end.isoformat() == "2027-03-28T03:30:00+02:00"


def test_tomorrow_is_tomorrow_where_the_speaker_is() -> None:
    late = datetime.fromisoformat("2026-11-23T23:30:00+00:00")
    assert read("Sync tomorrow at 10:00", late, BERLIN).start.isoformat() == "2026-11-25T10:00:00+01:00"
    assert read("Sync tomorrow at 10:00", late, ZoneInfo("UTC")).start.isoformat() == "2026-11-24T10:00:00+00:00"


_PIECES = st.sampled_from(
    [
        *(
            "tomorrow",
            "today",
            "at",
            "on",
            "from",
            "to",
            "in",
            "for",
            "next",
            "the",
            "and",
            "-",
            "a half",
            "May",
            "Sync",
        ),
        *("Friday", "3 December", "30.2.", "2026-12-01T08:00Z", "day after tomorrow", "week", "weeks", "999 days"),
        *("3pm", "25:00", "14:00", "9-10am", "noon", "2", "9999", "two hours", "an hour", "1h99", "0 min"),
        *("UTC", "+99:99", "Foo/Bar"),
    ]
)


@given(st.one_of(st.lists(_PIECES, max_size=12).map(" ".join), st.text(max_size=200)))
@example("\0 at 3pm")
@example("Sync ２ tomorrow at ３pm")  # noqa: RUF001 - digits that int() takes and a clock does not have
def test_any_text_is_an_event_or_a_clear_failure(text: str) -> None:
    try:
        draft = read(text)
    except Failure as failure:
        assert failure.message and failure.status == 422
    else:
        assert MONDAY - timedelta(minutes=1) <= draft.start < draft.end
        assert draft.title
