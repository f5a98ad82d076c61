"""A job ends as one event, whatever happens to its worker, the token or the calendar on the way."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from calendar_assistant.calendar_client import CalendarEvent, event_id
from calendar_assistant.event_draft import EventDraft
from calendar_assistant.event_job import MAX_ATTEMPTS, Job, backoff, run
from calendar_assistant.event_records import EventRecord
from calendar_assistant.failures import Failure, unclear

TASK = str(uuid.UUID(int=7))
JOB = Job(id=TASK, text="Team sync tomorrow at 3pm")
LATER = datetime(2030, 1, 1, 15, tzinfo=UTC)
DRAFT = EventDraft(title="Team sync", start=LATER, end=LATER + timedelta(hours=1))
AWAY = Failure("ProviderUnavailable", "NoAnswer", "the provider does not answer", retry_after=2.0)


class Records:
    def __init__(self, *records: EventRecord) -> None:
        self._records = {record.id: record for record in records}

    def __getitem__(self, task_id: str) -> EventRecord:
        return self._records[task_id]

    def get(self, task_id: str) -> EventRecord | None:
        return self._records.get(task_id)

    def save(self, record: EventRecord) -> None:
        self._records[record.id] = record


class Calendar:
    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[EventDraft, str]] = []

    def insert(self, draft: EventDraft, identity: str) -> CalendarEvent:
        self.asked.append((draft, identity))
        if self.answers:
            raise self.answers.pop(0)
        return CalendarEvent(identity, "https://calendar.example/e", "start", "end", draft.title)


class Reader:
    def __init__(self, answer: EventDraft | Exception = DRAFT) -> None:
        self.answer = answer
        self.asked: list[tuple[str, datetime]] = []

    def __call__(self, text: str, now: datetime) -> EventDraft:
        self.asked.append((text, now))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def records() -> Records:
    return Records(EventRecord.accepted(TASK))


def test_done(records: Records) -> None:
    assert run(JOB, records, Reader(), Calendar()) is None
    record = records[TASK]
    assert (record.status, record.attempts, record.error) == ("done", 1, None)
    assert record.event is not None
    assert record.event.id == event_id(TASK)


def test_a_second_delivery_of_a_done_job_does_nothing(records: Records) -> None:
    run(JOB, records, Reader(), Calendar())
    calendar = Calendar()
    assert run(JOB, records, Reader(), calendar) is None
    assert calendar.asked == []


def test_a_withdrawn_job_is_dropped() -> None:
    calendar = Calendar()
    assert run(JOB, Records(), Reader(), calendar) is None
    assert calendar.asked == []


def test_an_outage_is_waited_for_and_the_same_event_tried_again(records: Records) -> None:
    calendar = Calendar(AWAY, AWAY)
    reader = Reader()
    assert (run(JOB, records, reader, calendar) or 0) >= 2.0
    waiting = records[TASK]
    assert waiting.status == "pending"
    assert waiting.error is not None and waiting.error.reason == "NoAnswer"
    assert run(JOB, records, reader, calendar) is not None
    assert run(JOB, records, reader, calendar) is None
    assert records[TASK].status == "done"
    assert records[TASK].error is None
    # read once, from the moment of the request: a retry after midnight still means the same "tomorrow"
    assert reader.asked == [(JOB.text, waiting.accepted_at)]
    assert {identity for _, identity in calendar.asked} == {event_id(TASK)}


def test_attempts_are_bounded(records: Records) -> None:
    calendar = Calendar(*[AWAY] * 50)
    waits = [run(JOB, records, Reader(), calendar) for _ in range(MAX_ATTEMPTS)]
    assert all(wait is not None for wait in waits[:-1]) and waits[-1] is None
    assert records[TASK].status == "failed"
    assert len(calendar.asked) == MAX_ATTEMPTS


def test_a_job_that_kills_its_worker_each_time_is_given_up(records: Records) -> None:
    class Killed(BaseException):
        pass

    class Deadly(Calendar):
        def insert(self, draft: EventDraft, identity: str) -> CalendarEvent:
            raise Killed

    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Killed):
            run(JOB, records, Reader(), Deadly())
    assert run(JOB, records, Reader(), Calendar()) is None
    record = records[TASK]
    assert record.error is not None and record.error.reason == "TooManyAttempts"


@pytest.mark.parametrize(
    "failure",
    [
        Failure("ReauthRequired", "InvalidGrant", "the grant is dead", "consent again"),
        Failure("TokenMissing", "NoDocument", "there is no token", "run site.yml"),
        Failure("CalendarRefused", "Http404", "the calendar answered HTTP 404", status=502),
    ],
)
def test_what_waiting_does_not_mend_fails_at_once(records: Records, failure: Failure) -> None:
    assert run(JOB, records, Reader(), Calendar(failure)) is None
    record = records[TASK]
    assert record.status == "failed"
    assert record.error is not None and record.error.model_dump() == failure.as_dict()


def test_an_unclear_text_fails_without_asking_the_calendar(records: Records) -> None:
    calendar = Calendar()
    assert run(JOB, records, Reader(unclear("NoTime", "no time")), calendar) is None
    error = records[TASK].error
    assert error is not None and "for example" in error.remedy
    assert calendar.asked == []


def test_the_unforeseen_is_logged_and_told_without_details(records: Records, caplog: pytest.LogCaptureFixture) -> None:
    assert run(JOB, records, Reader(), Calendar(ValueError("canary"))) is None
    record = records[TASK]
    assert record.error is not None and record.error.type == "InternalError"
    assert "canary" not in record.model_dump_json()
    assert "unforeseen" in caplog.text


def test_the_event_id_is_what_google_allows() -> None:
    for task in (TASK, str(uuid.uuid4()), str(uuid.UUID(int=2**128 - 1))):
        identity = event_id(task)
        assert 5 <= len(identity) <= 1024
        assert set(identity) <= set("0123456789abcdefghijklmnopqrstuv")
        assert event_id(task) == identity


def test_backoff_grows_to_a_bound() -> None:
    assert 0.75 <= backoff(1) <= 1.25
    assert all(backoff(attempt) <= 37.5 for attempt in range(1, 40))
