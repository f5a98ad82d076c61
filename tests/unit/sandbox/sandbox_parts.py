"""The provider in this process, with a clock that obeys, and what clients do with it."""

from __future__ import annotations

import base64
import hashlib
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sandbox_provider.app import create_app
from sandbox_provider.provider import Provider

CALENDAR = "https://www.googleapis.com/auth/calendar"
REDIRECT = "http://127.0.0.1:50123/"


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class InProcess:
    """The provider in this process, and what clients do with it."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.provider = Provider(directory, "http://sandbox.test:9400", self.clock)
        app = create_app(self.provider)
        app.testing = True
        app.config["SERVER_NAME"] = "sandbox.test:9400"  # the Host of the test client's requests
        self.http: FlaskClient = app.test_client()
        self.demo = self.provider.clients.demo()

    def settings(self, **changes: object) -> None:
        assert self.http.put("/admin/settings", json=changes).status_code == 200

    def authorize(self, **changes: str | None) -> TestResponse:
        parameters = {
            "client_id": self.demo.client_id,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": CALENDAR,
            "state": "the-state",
            "access_type": "offline",
            "prompt": "consent",
        } | changes
        return self.http.get("/o/oauth2/v2/auth", query_string={k: v for k, v in parameters.items() if v is not None})

    def code(self, **changes: str | None) -> str:
        return answer(self.authorize(**changes))["code"]

    def token(self, **form: str | None) -> TestResponse:
        credentials = {"client_id": self.demo.client_id, "client_secret": self.demo.client_secret}
        return self.http.post("/token", data={k: v for k, v in (credentials | form).items() if v is not None})

    def exchange(self, code: str, /, **form: str | None) -> TestResponse:
        return self.token(**({"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT} | form))

    def refresh(self, refresh_token: str, /, **form: str | None) -> TestResponse:
        return self.token(**({"grant_type": "refresh_token", "refresh_token": refresh_token} | form))

    def consent(self, **changes: str | None) -> dict:
        response = self.exchange(self.code(**changes))
        assert response.status_code == 200, response.text
        return response.json

    def calendar(self, access_token: str) -> int:
        headers = {"Authorization": f"Bearer {access_token}"}
        return self.http.get("/calendar/v3/users/me/calendarList", headers=headers).status_code

    def counters(self) -> dict:
        return self.http.get("/admin/counters").json


def answer(response: TestResponse) -> dict[str, str]:
    """Return the parameters that a redirect carries to the client."""
    assert response.status_code == 302, response.text
    return {name: values[0] for name, values in parse_qs(urlsplit(response.location).query).items()}


def refusal(response: TestResponse) -> tuple[int, str, str]:
    """Return status, error and description of a refused request."""
    return response.status_code, response.json["error"], response.json["error_description"]


def pkce() -> tuple[str, str]:
    """Return a verifier and its S256 challenge (RFC 7636 section 4)."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
