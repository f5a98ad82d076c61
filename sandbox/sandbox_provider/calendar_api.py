"""A calendar API as small as the reference application needs, in the shapes of Google's version 3."""

from __future__ import annotations

from typing import Any, Final

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import MissingAuthorizationError
from authlib.oauth2.rfc6750 import BearerTokenValidator, InsufficientScopeError
from flask import Blueprint, Response, jsonify, request

from sandbox_provider.calendar_errors import (
    CalendarError,
    insufficient_scopes,
    invalid_credentials,
    missing_credentials,
)
from sandbox_provider.events import TIME_ZONE, Query, unix_time
from sandbox_provider.grants import AccessToken
from sandbox_provider.guard import guarded
from sandbox_provider.json_body import sent_object
from sandbox_provider.provider import Provider

_AUTH: Final = "https://www.googleapis.com/auth/"
_LIST_SCOPES: Final = [
    f"{_AUTH}{name}"
    for name in ("calendar", "calendar.readonly", "calendar.calendarlist", "calendar.calendarlist.readonly")
]
_READ_SCOPES: Final = [
    f"{_AUTH}{name}"
    for name in (
        "calendar",
        "calendar.readonly",
        "calendar.events",
        "calendar.events.readonly",
        "calendar.events.owned",
        "calendar.events.owned.readonly",
    )
]
_WRITE_SCOPES: Final = [f"{_AUTH}{name}" for name in ("calendar", "calendar.events", "calendar.events.owned")]
_REMINDERS: Final = [{"method": "popup", "minutes": 10}]


class _TokenValidator(BearerTokenValidator):
    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self._provider = provider

    def authenticate_token(self, token_string: str) -> AccessToken | None:
        return self._provider.grants.find_access_token(token_string)


def calendar_blueprint(provider: Provider) -> Blueprint:
    """Return the API, to be registered under ``/calendar/v3``."""
    blueprint = Blueprint("calendar", __name__)
    protector: Any = ResourceProtector()
    protector.register_token_validator(_TokenValidator(provider))

    def account(scopes: list[str], calendar_id: str = "primary") -> str:
        """Return the account whose access token came with the request, and which owns the calendar.

        Raises:
            CalendarError: there is no valid access token, or not that scope, or no such calendar.
        """
        try:
            token: AccessToken = protector.acquire_token(scopes)
        except InsufficientScopeError:
            raise insufficient_scopes() from None
        except OAuth2Error as error:
            provider.counters.add("calendar.unauthorized")
            if isinstance(error, MissingAuthorizationError):
                raise missing_credentials() from None
            raise invalid_credentials() from None
        owner = token.grant.account
        if calendar_id not in {"primary", owner}:
            raise CalendarError(404, "notFound", "Not Found")
        return owner

    @blueprint.get("/users/me/calendarList")
    @guarded(provider, "calendar")
    def calendar_list() -> dict[str, Any]:
        owner = account(_LIST_SCOPES)
        entry = {
            "kind": "calendar#calendarListEntry",
            "etag": '"1"',
            "id": owner,
            "summary": owner,
            "timeZone": TIME_ZONE,
            "colorId": "14",
            "backgroundColor": "#9fe1e7",
            "foregroundColor": "#000000",
            "selected": True,
            "accessRole": "owner",
            "defaultReminders": _REMINDERS,
            "primary": True,
        }
        return {"kind": "calendar#calendarList", "etag": '"1"', "items": [entry]}

    @blueprint.get("/calendars/<calendar_id>/events")
    @guarded(provider, "calendar")
    def list_events(calendar_id: str) -> dict[str, Any]:
        owner = account(_READ_SCOPES, calendar_id)
        size, offset = _whole("maxResults", 250, 1, 2500), _whole("pageToken", 0, 0, 10**9)
        found, more = provider.events.page(owner, _query(), offset, size)
        answer = {
            "kind": "calendar#events",
            "etag": '"1"',
            "summary": owner,
            "description": "",
            "timeZone": TIME_ZONE,
            "accessRole": "owner",
            "defaultReminders": _REMINDERS,
            "items": found,
        }
        return answer | {"nextPageToken": str(offset + size)} if more else answer

    @blueprint.post("/calendars/<calendar_id>/events")
    @guarded(provider, "calendar")
    def insert_event(calendar_id: str) -> Response:
        owner = account(_WRITE_SCOPES, calendar_id)
        sent = sent_object()
        if sent is None:
            raise CalendarError(400, "parseError", "Parse Error")
        with provider.database.transaction():
            event = provider.events.insert(owner, sent, provider.public_url)
            provider.counters.add("calendar.inserts")
        return jsonify(event)

    @blueprint.get("/calendars/<calendar_id>/events/<event_id>")
    @guarded(provider, "calendar")
    def get_event(calendar_id: str, event_id: str) -> dict[str, Any]:
        return provider.events.find(account(_READ_SCOPES, calendar_id), event_id)

    @blueprint.delete("/calendars/<calendar_id>/events/<event_id>")
    @guarded(provider, "calendar")
    def delete_event(calendar_id: str, event_id: str) -> tuple[str, int]:
        owner = account(_WRITE_SCOPES, calendar_id)
        with provider.database.transaction():
            provider.events.delete(owner, event_id)
            provider.counters.add("calendar.deletes")
        return "", 204

    return blueprint


def _query() -> Query:
    """Return what a request wants listed.

    Raises:
        CalendarError: a parameter is malformed.
    """
    given = request.args
    order = given.get("orderBy", "")
    if order not in {"", "startTime", "updated"}:
        raise CalendarError(400, "invalidParameter", "Invalid value for: orderBy")
    if order == "startTime" and given.get("singleEvents") != "true":
        raise CalendarError(400, "badRequest", "The requested ordering is not available for the particular query.")
    return Query(
        time_min=unix_time(given["timeMin"], "timeMin") if "timeMin" in given else None,
        time_max=unix_time(given["timeMax"], "timeMax") if "timeMax" in given else None,
        text=given.get("q", ""),
        ical_uid=given.get("iCalUID", ""),
        deleted=given.get("showDeleted") == "true",
        by_start=order == "startTime",
    )


def _whole(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= most):
        raise CalendarError(400, "invalidParameter", f"Invalid value for: {name}")
    return int(text)
