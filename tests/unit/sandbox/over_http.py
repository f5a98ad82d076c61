"""What clients and browsers do with a running sandbox, over HTTP."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import requests

from sandbox_provider.person import ConsentForm, Wishes
from sandbox_provider.testing import Sandbox

CALENDAR = "https://www.googleapis.com/auth/calendar"
READ_ONLY = "https://www.googleapis.com/auth/calendar.readonly"
REDIRECT = "http://127.0.0.1:50123/"
DEAD = (400, "invalid_grant", "Token has been expired or revoked.")


def authorize(sandbox: Sandbox, *, host: str | None = None, **changes: str | None) -> requests.Response:
    """Open the authorization endpoint, and stay where it answers."""
    parameters = {
        "client_id": sandbox.client.client_id,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "scope": CALENDAR,
        "state": "the-state",
        "access_type": "offline",
        "prompt": "consent",
    } | changes
    return requests.get(
        f"{sandbox.url}/o/oauth2/v2/auth",
        {name: value for name, value in parameters.items() if value is not None},
        headers={"Host": host} if host else {},
        allow_redirects=False,
        timeout=30,
    )


def submit(page: requests.Response, wishes: Wishes | None = None) -> requests.Response:
    """Fill in a consent page and send it as a browser does."""
    assert page.status_code == 200, page.text
    form = ConsentForm(page.text)
    assert form.found, page.text
    return requests.post(page.url, data=form.filled_in(wishes or Wishes()), allow_redirects=False, timeout=30)


def answered(response: requests.Response) -> dict[str, str]:
    """Return the parameters that a redirect carries to the client."""
    assert response.status_code in {302, 303}, response.text
    assert response.headers["Location"].startswith(REDIRECT)
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}


def ask_for_tokens(sandbox: Sandbox, **form: str) -> requests.Response:
    client = sandbox.client
    credentials = {"client_id": client.client_id, "client_secret": client.client_secret}
    return requests.post(sandbox.token_uri, data=credentials | form, timeout=30)


def exchange(sandbox: Sandbox, code: str, **form: str) -> requests.Response:
    return ask_for_tokens(
        sandbox, **({"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT} | form)
    )


def refresh(sandbox: Sandbox, refresh_token: str, **form: str) -> requests.Response:
    return ask_for_tokens(sandbox, **({"grant_type": "refresh_token", "refresh_token": refresh_token} | form))


def consent(sandbox: Sandbox, **changes: str | None) -> dict:
    """Return the tokens of one more consent."""
    response = exchange(sandbox, answered(authorize(sandbox, **changes))["code"])
    assert response.status_code == 200, response.text
    return response.json()


def tokeninfo(sandbox: Sandbox, access_token: str) -> dict:
    return requests.get(f"{sandbox.url}/tokeninfo", {"access_token": access_token}, timeout=30).json()


def refusal(response: requests.Response) -> tuple[int, str, str]:
    """Return status, error and description of a refused request."""
    return response.status_code, response.json()["error"], response.json()["error_description"]
