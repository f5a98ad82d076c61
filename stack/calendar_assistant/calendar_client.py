"""The calendar, reached with the shared token through google-api-python-client."""

from __future__ import annotations

import base64
import http.client
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import httplib2
from google.api_core.client_options import ClientOptions
from google.auth.exceptions import GoogleAuthError
from google_auth_httplib2 import AuthorizedHttp  # type: ignore[import-untyped]
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from calendar_assistant.event_draft import EventDraft
from calendar_assistant.failures import Failure
from calendar_assistant.token_failures import google_auth_failure, token_failure
from token_keeper import TokenKeeperError

if TYPE_CHECKING:
    from googleapiclient._apis.calendar.v3 import CalendarResource

logger = logging.getLogger(__name__)

_BUSY: Final = 5.0
_QUOTA_REASONS: Final = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"})
_Result = TypeVar("_Result")


class CredentialsSource(Protocol):
    """What the client needs of a token store."""

    def credentials(self) -> Any:
        """Return google-auth credentials whose token is the store's."""


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """An event that is in the calendar.

    Attributes:
        id: its id there.
        link: address at which a person sees it, where the calendar gives one.
        start: ISO 8601.
        end: ISO 8601.
        title: its title.
    """

    id: str
    link: str | None
    start: str
    end: str
    title: str


def event_id(task_id: str) -> str:
    """Return the calendar id for a task's event: always the same one, so that a second insert is refused.

    Google wants lower-case base32hex (RFC 4648 section 7), 5 to 1024 characters.
    """
    return base64.b32hexencode(uuid.UUID(task_id).bytes).decode().rstrip("=").lower()


class CalendarClient:
    """Calls to the Calendar API v3.

    A service is built at first use in each thread, because httplib2 is not thread-safe, and so only after a
    prefork worker has forked.

    Args:
        store: where the credentials come from.
        endpoint: base address of the API, Google's own if empty.
        calendar_id: calendar that events go into.
        timezone: IANA name of the zone in which events are shown.
        timeout: seconds for connecting and for each read.
    """

    def __init__(
        self, store: CredentialsSource, *, endpoint: str = "", calendar_id: str, timezone: str, timeout: float = 10.0
    ) -> None:
        self._store = store
        self._endpoint = f"{endpoint.rstrip('/')}/" if endpoint else ""
        self._calendar_id = calendar_id
        self._timezone = timezone
        self._timeout = timeout
        self._local = threading.local()

    def insert(self, draft: EventDraft, identity: str) -> CalendarEvent:
        """Put an event into the calendar, once however often this is called with the same ``identity``.

        Raises:
            Failure: the token can't be had, or the calendar refuses or can't be asked. With ``retry_after`` where
                the same call may succeed later.
        """
        body = draft.as_calendar_event(identity, self._timezone)

        def call(service: CalendarResource) -> Any:
            try:
                return service.events().insert(calendarId=self._calendar_id, body=body).execute()  # type: ignore[arg-type]
            except HttpError as error:
                if error.status_code != 409:
                    raise
            logger.info("event %s is in the calendar already: an earlier delivery has inserted it", identity)
            return self._existing(service, identity) or body

        inserted = self._call(call)
        return CalendarEvent(
            id=str(inserted.get("id", identity)),
            link=inserted.get("htmlLink"),
            start=str(inserted.get("start", body["start"]).get("dateTime", body["start"]["dateTime"])),
            end=str(inserted.get("end", body["end"]).get("dateTime", body["end"]["dateTime"])),
            title=str(inserted.get("summary", draft.title)),
        )

    def calendars(self) -> list[dict[str, str]]:
        """Return id and title of the account's calendars.

        Raises:
            Failure: as :meth:`insert`.
        """
        listed = self._call(lambda service: service.calendarList().list(maxResults=250).execute())
        return [{"id": str(item["id"]), "title": str(item.get("summary", ""))} for item in listed.get("items", [])]

    def _existing(self, service: CalendarResource, identity: str) -> Any:
        try:
            return service.events().get(calendarId=self._calendar_id, eventId=identity).execute()
        except HttpError as error:
            # the event is there, which is what counts; its link is a courtesy
            logger.info("the calendar does not show event %s: HTTP %s", identity, error.status_code)
            return None

    def _service(self) -> CalendarResource:
        service: CalendarResource | None = getattr(self._local, "service", None)
        if service is None:
            authorized = AuthorizedHttp(self._store.credentials(), http=httplib2.Http(timeout=self._timeout))
            options = ClientOptions(api_endpoint=self._endpoint) if self._endpoint else None
            service = build(
                "calendar", "v3", http=authorized, static_discovery=True, cache_discovery=False, client_options=options
            )
            self._local.service = service
        return service

    def _call(self, request: Callable[[CalendarResource], _Result]) -> _Result:
        try:
            return request(self._service())
        except TokenKeeperError as error:
            raise token_failure(error) from error
        except GoogleAuthError as error:
            raise google_auth_failure(error) from error
        except HttpError as error:
            raise _http_failure(error) from error
        except (OSError, httplib2.HttpLib2Error, http.client.HTTPException) as error:
            # the connection may be half-used; the next call gets a new one
            self._local.service = None
            raise Failure(
                "CalendarUnavailable",
                type(error).__name__,
                "the calendar could not be reached",
                "try again later",
                retry_after=_BUSY,
            ) from error


def _http_failure(error: HttpError) -> Failure:
    status = int(error.status_code)
    if status == 429 or status >= 500 or (status == 403 and _reasons(error) & _QUOTA_REASONS):
        return Failure(
            "CalendarUnavailable",
            f"Http{status}",
            f"the calendar answered HTTP {status}",
            "try again later",
            retry_after=_retry_after(error),
        )
    if status == 401:
        return Failure(
            "CalendarRefused",
            "Unauthorized",
            "the calendar refuses the shared token although it was renewed",
            "obtain a new token with site.yml",
            status=502,
        )
    remedy = {
        403: "check the token's scopes and the account's rights on this calendar",
        404: "check CALENDAR_ID and CALENDAR_API_ENDPOINT",
    }.get(status, "look at the calendar's documentation for this status")
    return Failure("CalendarRefused", f"Http{status}", f"the calendar answered HTTP {status}", remedy, status=502)


def _reasons(error: HttpError) -> set[str]:
    found: object = error.error_details
    details: list[object] = found if isinstance(found, list) else []
    return {str(detail.get("reason")) for detail in details if isinstance(detail, dict)}


def _retry_after(error: HttpError) -> float:
    value = str(error.resp.get("retry-after", ""))
    return min(float(value), 300.0) if value.isascii() and value.isdigit() else _BUSY
