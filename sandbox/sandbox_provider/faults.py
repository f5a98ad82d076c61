"""Faults that can be switched on: the ways in which a provider and the network to it fail."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Never

from flask import Response, request
from waitress.channel import ClientDisconnected

from sandbox_provider.bad_input import BadInputError, line_of_text, number, one_of, reject_unknown, whole_number
from sandbox_provider.database import Database
from sandbox_provider.error_page import error_page
from sandbox_provider.policy_errors import POLICY_ERRORS

ENDPOINTS: Final = ("auth", "token", "revoke", "tokeninfo", "calendar")
KINDS: Final = (
    "500", "503", "429", "stall", "drop", "bad_json", "not_an_object", "html", "oauth_error", *POLICY_ERRORS,
)  # fmt: skip
SILENT: Final = ("drop", "stall")
"""The kinds that end without an answer."""

LONGEST_STALL: Final = 600.0
"""Seconds after which even a stalled request is dropped."""

_TICK: Final = 0.05
_JSON: Final = "application/json; charset=utf-8"
_NONSENSE: Final = {
    "bad_json": ('{"access_token": "cut sho', _JSON),
    "not_an_object": ('["not", "an", "object"]', _JSON),
    # what a captive portal or a proxy in between answers: a page, and a status that says all is well
    "html": ("<!doctype html><title>Sign in</title><p>Please sign in to the network.</p>", "text/html; charset=utf-8"),
}
_STATUS_WORDS: Final = {500: "INTERNAL", 503: "UNAVAILABLE", 429: "RESOURCE_EXHAUSTED"}


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next requests to an endpoint.

    Attributes:
        endpoint: which one, of ``ENDPOINTS``.
        kind: what is answered, or that nothing is.
        when: ``before`` or ``after`` the work was done; after it a token was spent and the client never hears.
        count: how many requests it happens to.
        retry_after: seconds for the Retry-After header (RFC 9110 section 10.2.3), or ``None``.
        error: the ``error`` of an oauth_error (RFC 6749 section 5.2), such as ``admin_policy_enforced``.
        error_description: its description.
        error_subtype: Google's addition to some errors, such as ``invalid_rapt``, or ``None``.
    """

    endpoint: str
    kind: str
    when: str = "before"
    count: int = 1
    retry_after: float | None = None
    error: str = "invalid_grant"
    error_description: str = "Bad Request"
    error_subtype: str | None = None

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Fault:
        """Read a fault from JSON.

        Raises:
            BadInputError: a name is unknown, a value makes no sense, or endpoint or kind is missing.
        """
        reject_unknown(given, [field.name for field in dataclasses.fields(cls)], "part of a fault")
        for name in ("endpoint", "kind"):
            if name not in given:
                raise BadInputError(f"a fault needs endpoint and kind; {name} is missing")
        retry_after, subtype = given.get("retry_after"), given.get("error_subtype")
        kind = given["kind"]
        return cls(
            endpoint=one_of(given["endpoint"], "endpoint", ENDPOINTS),
            kind=one_of(str(kind) if type(kind) is int else kind, "kind", KINDS),
            when=one_of(given.get("when", "before"), "when", ("before", "after")),
            count=whole_number(given.get("count", 1), "count", 1, 1_000_000),
            retry_after=None if retry_after is None else number(retry_after, "retry_after", 0, 86_400),
            error=line_of_text(given.get("error", "invalid_grant"), "error"),
            error_description=line_of_text(given.get("error_description", "Bad Request"), "error_description"),
            error_subtype=None if subtype is None else line_of_text(subtype, "error_subtype"),
        )

    def oauth_error(self) -> dict[str, str]:
        """Return what the token endpoint answers, if the kind is an OAuth error (RFC 6749 section 5.2)."""
        if self.kind in POLICY_ERRORS:
            return POLICY_ERRORS[self.kind]
        body = {"error": self.error, "error_description": self.error_description}
        return body if self.error_subtype is None else body | {"error_subtype": self.error_subtype}


class Faults:
    """Where faults are kept until they have happened; the oldest one of an endpoint happens first."""

    def __init__(self, database: Database, stopping: threading.Event) -> None:
        """Keep them in ``database``; stalled requests end when ``stopping`` is set."""
        self._database = database
        self._stopping = stopping
        self._clearances = 0

    def add(self, fault: Fault) -> None:
        """Let ``fault`` happen to the next requests."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO faults (endpoint, body, remaining) VALUES (?, ?, ?)",
                (fault.endpoint, json.dumps(dataclasses.asdict(fault)), fault.count),
            )

    def pending(self) -> list[dict[str, Any]]:
        """Return the faults to come, ``count`` being what is left of them."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT body, remaining FROM faults ORDER BY fault_id").fetchall()
        return [json.loads(row["body"]) | {"count": row["remaining"]} for row in rows]

    def clear(self) -> None:
        """Forget all faults; requests that are stalled now are dropped."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM faults")
        self._clearances += 1

    def take(self, endpoint: str) -> Fault | None:
        """Return the fault that happens to this request, and count it down."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM faults WHERE endpoint = ? ORDER BY fault_id LIMIT 1", (endpoint,)
            ).fetchone()
            if row is None:
                return None
            if row["remaining"] == 1:
                connection.execute("DELETE FROM faults WHERE fault_id = ?", (row["fault_id"],))
            else:
                connection.execute("UPDATE faults SET remaining = remaining - 1 WHERE fault_id = ?", (row["fault_id"],))
        return Fault(**json.loads(row["body"]))

    def answer(self, fault: Fault) -> Response:
        """Return what the client gets in place of the true answer; a stall returns when it is over."""
        match fault.kind:
            case "drop":
                return _dropped()
            case "stall":
                self._stall()
                return _dropped()
            case "bad_json" | "not_an_object" | "html" as kind:
                body, content_type = _NONSENSE[kind]
                return Response(body, content_type=content_type)
            case "500" | "503" | "429":
                response = _json(int(fault.kind), _failure(fault.endpoint, int(fault.kind)))
                if fault.retry_after is not None:
                    # the header has whole seconds; less than one would otherwise read as none
                    response.headers["Retry-After"] = str(-int(-fault.retry_after // 1))
                return response
        error = fault.oauth_error()
        if fault.endpoint == "auth":
            # a person is looking, and Google sends nobody back to the app then
            return error_page(400, error["error"], error["error_description"])
        return _json(400, error)

    def _stall(self) -> None:
        client_gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
        clearances = self._clearances
        for _ in range(int(LONGEST_STALL / _TICK)):
            if self._stopping.wait(_TICK) or client_gone() or self._clearances != clearances:
                return


def _failure(endpoint: str, status: int) -> dict[str, Any]:
    """Return a body as Google's token endpoint, or its calendar API, sends with such a status."""
    message = "Rate Limit Exceeded" if status == 429 else "Backend Error"
    if endpoint != "calendar":
        error = {500: "internal_failure", 503: "temporarily_unavailable", 429: "rate_limit_exceeded"}[status]
        return {"error": error, "error_description": message}
    reason = "rateLimitExceeded" if status == 429 else "backendError"
    errors = [{"message": message, "domain": "usageLimits" if status == 429 else "global", "reason": reason}]
    return {"error": {"code": status, "message": message, "errors": errors, "status": _STATUS_WORDS[status]}}


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status=status, content_type=_JSON)


def _dropped() -> Response:
    """Return a response that closes the connection before its first byte."""
    return Response(_hang_up(), direct_passthrough=True)


def _hang_up() -> Iterator[bytes]:
    _raise_disconnected()
    yield b""


def _raise_disconnected() -> Never:
    # waitress takes this for a client that has left: it sends nothing and closes the socket
    raise ClientDisconnected
