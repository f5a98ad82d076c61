"""Errors of the calendar API in the shape of Google's."""

from __future__ import annotations

import json
from typing import Final

from flask import Response
from werkzeug.exceptions import HTTPException

_STATUS_WORDS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    410: "NOT_FOUND",
}

_REALM: Final = 'Bearer realm="https://accounts.google.com/"'


class CalendarError(HTTPException):
    """A request that the calendar API does not carry out.

    Attributes:
        reason: Google's word for what is wrong, such as ``authError``.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        """Answer with status ``code``, ``reason`` and ``message``."""
        self.code = code
        self.reason = reason
        detail: dict[str, str] = {"message": message, "domain": "global", "reason": reason}
        headers: dict[str, str] = {}
        if code == 401:
            detail |= {"message": "Invalid Credentials" if reason == "authError" else "Login Required."}
            detail |= {"locationType": "header", "location": "Authorization"}
            # RFC 6750 section 3.1: without credentials no error code
            headers["WWW-Authenticate"] = f'{_REALM}, error="invalid_token"' if reason == "authError" else _REALM
        if code == 403:
            detail["message"] = "Insufficient Permission"
        error = {"code": code, "message": message, "errors": [detail], "status": _STATUS_WORDS[code]}
        super().__init__(
            message,
            Response(
                json.dumps({"error": error}),
                status=code,
                headers=headers,
                content_type="application/json; charset=UTF-8",
            ),
        )


def invalid_credentials() -> CalendarError:
    """Return the error for an access token that is unknown, expired or revoked."""
    return CalendarError(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other"
        " valid authentication credential.",
    )


def missing_credentials() -> CalendarError:
    """Return the error for a request without an access token."""
    return CalendarError(
        401,
        "required",
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or"
        " other valid authentication credential.",
    )


def insufficient_scopes() -> CalendarError:
    """Return the error for an access token whose scopes don't reach that far."""
    return CalendarError(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
