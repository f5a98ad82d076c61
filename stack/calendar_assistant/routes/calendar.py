"""The shared token: what state it is in, what it opens, and its end."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from calendar_assistant.error_replies import ErrorReply
from calendar_assistant.failures import Failure
from calendar_assistant.services import Assistant

router = APIRouter(prefix="/api/v1/calendar", tags=["calendar"])

_LOOK = 2.0
_ASK = 40.0
"""Longer than a lock and an exchange together: those who wait for the one exchange get its token."""


class Condition(BaseModel):
    """A condition of the token, such as Ready."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str | None = None


class AuthStatus(BaseModel):
    """The shared token without its secrets."""

    state: Literal["sound", "missing", "corrupt"]
    healthy: bool
    condition: Condition
    conditions: list[Condition]
    generation: int
    expiry: str | None = None
    expires_in: int | None = None
    fingerprint: str | None = None
    access_token_fingerprint: str | None = None
    scopes: list[str] = []
    account: str | None = None


class Confirmation(BaseModel):
    """Says that the caller means it; a JSON body is what a foreign web page can't send here unasked."""

    model_config = ConfigDict(extra="forbid")

    confirm: Literal[True]


class Revoked(BaseModel):
    """The grant is revoked and the document is gone."""

    status: Literal["revoked"] = "revoked"


class CalendarEntry(BaseModel):
    """A calendar of the account."""

    id: str
    title: str


class Calendars(BaseModel):
    """The account's calendars."""

    calendars: list[CalendarEntry]


@router.get("/auth/status", responses={503: {"model": ErrorReply}})
async def auth_status(assistant: Assistant, response: Response) -> AuthStatus:
    """Tell condition, generation, expiry, fingerprints and scopes of the shared token; exchanges nothing."""
    report = await assistant.volume_calls.run(lambda: assistant.store.status().as_dict(), timeout=_LOOK)
    document: dict[str, Any] = report["document"]
    conditions = [Condition.model_validate(entry) for entry in report["conditions"]]
    response.headers["Cache-Control"] = "no-store"
    return AuthStatus(
        state=document["state"],
        healthy=report["healthy"],
        condition=_condition(document, conditions, healthy=report["healthy"]),
        conditions=conditions,
        generation=report["generation"],
        expiry=document.get("expiry"),
        expires_in=document.get("expires_in"),
        fingerprint=document.get("fingerprint"),
        access_token_fingerprint=document.get("access_token_fingerprint"),
        scopes=document.get("scopes") or [],
        account=document.get("account") or None,
    )


@router.get("/calendars", responses={502: {"model": ErrorReply}, 503: {"model": ErrorReply}})
async def calendars(assistant: Assistant) -> Calendars:
    """List the account's calendars, with the shared token."""
    listed = await assistant.calendar_calls.run(assistant.calendar.calendars, timeout=_ASK)
    return Calendars(calendars=[CalendarEntry.model_validate(entry) for entry in listed])


@router.post("/auth/revoke", responses={422: {"model": ErrorReply}, 503: {"model": ErrorReply}})
async def revoke(confirmation: Confirmation, assistant: Assistant) -> Revoked:
    """Revoke the grant at the provider (RFC 7009) and take the document away, for every container; not undoable."""
    del confirmation  # its presence is its meaning
    uri = assistant.settings.oauth_revocation_uri
    if uri is None:
        raise Failure(
            "NotConfigured", "NoRevocationUri", "no revocation endpoint is configured", "set OAUTH_REVOCATION_URI", 501
        )
    await assistant.grant_calls.run(lambda: assistant.store.revoke(str(uri)), timeout=_ASK)
    return Revoked()


def _condition(document: dict[str, Any], conditions: list[Condition], *, healthy: bool) -> Condition:
    """Return the one condition that says most: a dead grant first, else Ready."""
    named = {condition.type: condition for condition in conditions}
    dead = named.get("ReauthRequired")
    if dead is not None and dead.status == "True":
        return dead
    if document["state"] == "sound" and "Ready" in named:
        return named["Ready"]
    return Condition(
        type="Ready",
        status="True" if healthy else "False",
        reason=document.get("reason") or ("Sound" if healthy else "Unhealthy"),
        message=document.get("message") or "",
    )
