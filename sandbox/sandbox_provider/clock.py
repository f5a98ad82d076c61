"""The provider's clock: that of the machine, which tests may move forward or let go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Blueprint, Flask, Response
from werkzeug.http import http_date

from sandbox_provider.bad_input import number, reject_unknown
from sandbox_provider.database import Database
from sandbox_provider.json_body import required_object

LONGEST_ADVANCE: Final = 315_360_000.0
"""Seconds, ten years: what time may be moved forward at once."""


class SandboxClock:
    """Unix time as the provider believes it to be; both ways of changing it outlive a restart."""

    def __init__(self, database: Database, machine: Callable[[], float]) -> None:
        """Go by ``machine`` (Unix time) and by what ``database`` says of advances and skew."""
        self._database = database
        self._machine = machine

    def __call__(self) -> float:
        """Return the time."""
        with self._database.transaction() as connection:
            # the setting is read here and not through the settings: the clock is asked many times in a request
            row = connection.execute(
                "SELECT (SELECT total(seconds) FROM advances)"
                " + (SELECT total(value) FROM settings WHERE name = 'clock_skew')"
            ).fetchone()
        return self._machine() + float(row[0])

    def advance(self, seconds: float) -> None:
        """Move time forward: everything that has a deadline comes ``seconds`` nearer to it."""
        with self._database.transaction() as connection:
            connection.execute("INSERT INTO advances (seconds) VALUES (?)", (seconds,))

    def as_dict(self) -> dict[str, float]:
        """Return the time and how far it was moved in all, in seconds."""
        with self._database.transaction() as connection:
            advanced = connection.execute("SELECT total(seconds) FROM advances").fetchone()[0]
            return {"now": self(), "advanced": advanced}


def clock_blueprint(clock: SandboxClock) -> Blueprint:
    """Return the admin endpoint."""
    blueprint = Blueprint("clock", __name__)

    @blueprint.get("/clock")
    def read() -> dict[str, float]:
        return clock.as_dict()

    @blueprint.post("/clock")
    def advance() -> dict[str, float]:
        sent = required_object()
        reject_unknown(sent, ("advance",), "part of a clock")
        clock.advance(number(sent.get("advance"), "advance", 0, LONGEST_ADVANCE))
        return clock.as_dict()

    return blueprint


def date_responses(app: Flask, clock: SandboxClock) -> None:
    """Let ``app`` date its answers by ``clock`` (RFC 9110 section 6.6.1), so that a client can see a skew."""

    @app.after_request
    def date(response: Response) -> Response:
        response.headers["Date"] = http_date(clock())
        return response
