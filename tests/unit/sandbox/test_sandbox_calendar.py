"""The calendar API: Google's own client over real HTTP, and the shapes of its errors."""

from __future__ import annotations

import pytest
import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_parts import CALENDAR, InProcess

from sandbox_provider.testing import Sandbox

SYNC = {
    "summary": "Team sync",
    "start": {"dateTime": "2026-11-24T15:00:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2026-11-24T16:00:00", "timeZone": "Europe/Berlin"},
}


def google(sandbox: Sandbox, document: dict, endpoint: str | None = None):
    credentials = Credentials(
        token=document["token"],
        refresh_token=document["refresh_token"],
        token_uri=document["token_uri"],
        client_id=document["client_id"],
        client_secret=document["client_secret"],
    )
    options = {"api_endpoint": endpoint or sandbox.calendar_endpoint}
    return build("calendar", "v3", credentials=credentials, client_options=options, static_discovery=True)


def test_google_api_python_client(sandbox: Sandbox) -> None:
    document = sandbox.issue_token(account="drive@example.com")
    service = google(sandbox, document)
    calendars = service.calendarList().list().execute()["items"]
    assert [(item["id"], item["primary"]) for item in calendars] == [("drive@example.com", True)]
    event = service.events().insert(calendarId="primary", body=SYNC).execute()
    assert event["start"] == {"dateTime": "2026-11-24T15:00:00+01:00", "timeZone": "Europe/Berlin"}
    assert (event["status"], event["summary"], event["kind"]) == ("confirmed", "Team sync", "calendar#event")
    listed = service.events().list(calendarId="drive@example.com").execute()
    assert [item["id"] for item in listed["items"]] == [event["id"]]
    assert service.events().get(calendarId="primary", eventId=event["id"]).execute() == event
    assert service.events().delete(calendarId="primary", eventId=event["id"]).execute() == ""
    assert service.events().list(calendarId="primary").execute()["items"] == []
    with pytest.raises(HttpError) as gone:
        service.events().delete(calendarId="primary", eventId=event["id"]).execute()
    assert (gone.value.status_code, gone.value.reason) == (410, "Resource has been deleted")
    with pytest.raises(HttpError) as unknown:
        service.events().get(calendarId="primary", eventId="neverheardof").execute()
    assert unknown.value.status_code == 404


@pytest.mark.parametrize("suffix", ["", "/", "/calendar/v3", "/calendar/v3/"])
def test_every_way_to_write_the_endpoint(sandbox: Sandbox, suffix: str) -> None:
    service = google(sandbox, sandbox.issue_token(), sandbox.url + suffix)
    assert service.calendarList().list().execute()["kind"] == "calendar#calendarList"


def test_google_s_client_refreshes_after_a_401(sandbox: Sandbox) -> None:
    document = sandbox.issue_token() | {"token": "stale"}
    before = sandbox.counters()
    service = google(sandbox, document)
    assert service.calendarList().list().execute()["items"]
    after = sandbox.counters()
    assert after["exchanges"]["refresh_token"] - before["exchanges"]["refresh_token"] == 1
    assert after["calendar"]["unauthorized"] - before["calendar"]["unauthorized"] == 1


def test_errors_of_authentication(sandbox: Sandbox) -> None:
    url = f"{sandbox.calendar_endpoint}users/me/calendarList"
    for headers, reason, challenge in (
        ({"Authorization": "Bearer stale"}, "authError", True),
        ({"Authorization": "Basic abc"}, "authError", True),
        ({}, "required", False),
    ):
        response = requests.get(url, headers=headers, timeout=30)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["status"]) == (401, 401, "UNAUTHENTICATED")
        assert error["errors"][0]["reason"] == reason
        assert error["errors"][0]["location"] == "Authorization"
        assert ("invalid_token" in response.headers["WWW-Authenticate"]) is challenge


def test_a_scope_that_does_not_reach_that_far(sandbox: Sandbox) -> None:
    reader = sandbox.issue_token([f"{CALENDAR}.readonly"])
    with pytest.raises(HttpError) as refused:
        google(sandbox, reader).events().insert(calendarId="primary", body=SYNC).execute()
    assert refused.value.status_code == 403
    assert refused.value.error_details[0]["reason"] == "insufficientPermissions"
    assert google(sandbox, reader).events().list(calendarId="primary").execute()["kind"] == "calendar#events"
    writer = sandbox.issue_token([f"{CALENDAR}.events"])
    assert google(sandbox, writer).events().insert(calendarId="primary", body=SYNC).execute()["id"]


class Calendar:
    """One account's calendar in this process."""

    def __init__(self, inside: InProcess) -> None:
        self.inside = inside
        self.headers = {"Authorization": f"Bearer {inside.consent()['access_token']}"}
        self.path = "/calendar/v3/calendars/primary/events"

    def insert(self, **changes: object):
        return self.inside.http.post(self.path, json=SYNC | changes, headers=self.headers)

    def list(self, **query: object):
        return self.inside.http.get(self.path, query_string=query, headers=self.headers)


@pytest.fixture
def calendar(inside: InProcess) -> Calendar:
    return Calendar(inside)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"start": None}, 400, "Missing start time."),
        ({"end": {}}, 400, "Missing end time."),
        ({"end": "tomorrow"}, 400, "Missing end time."),
        ({"start": {"dateTime": "tomorrow"}}, 400, "Invalid value for: start"),
        ({"start": {"dateTime": 5}}, 400, "Invalid value for: start"),
        ({"start": {"dateTime": "2026-11-24T15:00:00"}}, 400, "Missing time zone definition for start time."),
        (
            {"start": {"dateTime": "2026-11-24T15:00:00", "timeZone": "Mars/Olympus"}},
            400,
            "Invalid time zone definition for start time.",
        ),
        ({"start": {"dateTime": "2026-11-24T15:00:00", "timeZone": "../etc"}}, 400, "Invalid value for: start"),
        ({"end": {"dateTime": "2026-11-24T13:59:59Z"}}, 400, "The specified time range is empty."),
        ({"end": {"date": "2026-11-25"}}, 400, "The specified time range is empty."),
        ({"id": "UPPER"}, 400, "Invalid resource id value."),
        ({"id": 5}, 400, "Invalid resource id value."),
    ],
)
def test_bad_events(calendar: Calendar, changes: dict, status: int, message: str) -> None:
    response = calendar.insert(**changes)
    assert (response.status_code, response.json["error"]["message"]) == (status, message)
    assert calendar.list().json["items"] == []
    assert calendar.inside.counters()["calendar"]["inserts"] == 0


def test_a_body_that_is_no_object(calendar: Calendar) -> None:
    for body in (b"[]", b"no JSON", b"[" * 100_000):
        response = calendar.inside.http.post(
            calendar.path, data=body, headers=calendar.headers, content_type="application/json"
        )
        assert (response.status_code, response.json["error"]["message"]) == (400, "Parse Error")


def test_an_id_of_the_client_s_own_is_taken_once(calendar: Calendar) -> None:
    assert calendar.insert(id="abcde01234").json["id"] == "abcde01234"
    again = calendar.insert(id="abcde01234")
    assert (again.status_code, again.json["error"]["errors"][0]["reason"]) == (409, "duplicate")
    assert calendar.inside.http.delete(f"{calendar.path}/abcde01234", headers=calendar.headers).status_code == 204
    assert calendar.insert(id="abcde01234").status_code == 409
    assert calendar.list(showDeleted="true").json["items"][0]["status"] == "cancelled"


def test_what_the_provider_decides_cannot_be_sent(calendar: Calendar) -> None:
    event = calendar.insert(creator={"email": "someone@else"}, created="never", location="Room 1").json
    assert event["creator"]["email"] == "demo@sandbox.invalid"
    assert event["created"].endswith("Z")
    assert event["location"] == "Room 1"


def test_the_list_is_filtered_sorted_and_paged(calendar: Calendar) -> None:
    for day, summary in ((3, "third"), (1, "First"), (2, "second")):
        calendar.insert(
            summary=summary,
            start={"dateTime": f"2026-12-0{day}T10:00:00Z"},
            end={"dateTime": f"2026-12-0{day}T11:00:00Z"},
        )

    def summaries(**query: object) -> list[str]:
        return [item["summary"] for item in calendar.list(**query).json["items"]]

    assert summaries() == ["third", "First", "second"]
    assert summaries(orderBy="startTime", singleEvents="true") == ["First", "second", "third"]
    assert summaries(timeMin="2026-12-01T11:00:00Z", timeMax="2026-12-03T10:00:00Z") == ["second"]
    assert summaries(q="FIRST") == ["First"]
    page = calendar.list(maxResults=2).json
    assert len(page["items"]) == 2
    assert summaries(maxResults=2, pageToken=page["nextPageToken"]) == ["second"]
    assert "nextPageToken" not in calendar.list(maxResults=3).json
    uid = page["items"][0]["iCalUID"]
    assert summaries(iCalUID=uid) == ["third"]


@pytest.mark.parametrize(
    "query",
    [
        {"timeMin": "yesterday"},
        {"timeMax": "2026-12-01T11:00:00"},
        {"maxResults": "0"},
        {"maxResults": "many"},
        {"pageToken": "-1"},
        {"orderBy": "startTime"},
        {"orderBy": "colour"},
    ],
)
def test_bad_queries(calendar: Calendar, query: dict) -> None:
    response = calendar.list(**query)
    assert (response.status_code, response.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_another_calendar_is_not_found(calendar: Calendar) -> None:
    response = calendar.inside.http.get(
        "/calendar/v3/calendars/someone%40else.invalid/events", headers=calendar.headers
    )
    assert (response.status_code, response.json["error"]["errors"][0]["reason"]) == (404, "notFound")


def test_accounts_do_not_see_each_other(inside: InProcess) -> None:
    mine = Calendar(inside)
    mine.insert()
    other = inside.consent(login_hint="ada@example.com")["access_token"]
    found = inside.http.get(mine.path, headers={"Authorization": f"Bearer {other}"})
    assert found.json["items"] == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
moments = st.dictionaries(
    st.sampled_from(["dateTime", "date", "timeZone"]),
    json_values | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | st.dates().map(str),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["summary", "id", "reminders", "status"]), json_values), moments, moments)
def test_no_event_breaks_the_calendar(calendar: Calendar, event: dict, start: dict, end: dict) -> None:
    response = calendar.inside.http.post(
        calendar.path, json=event | {"start": start, "end": end}, headers=calendar.headers
    )
    assert response.status_code in {200, 400, 409}
    assert calendar.list().status_code == 200
    assert calendar.inside.http.get("/").status_code == 200
