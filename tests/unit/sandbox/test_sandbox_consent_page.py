"""The consent page: granular scopes, several accounts, a no; and the person who answers it unattended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from over_http import CALENDAR, READ_ONLY, answered, authorize, exchange, refresh, refusal, submit, tokeninfo

from sandbox_provider import person
from sandbox_provider.person import ConsentForm, Wishes
from sandbox_provider.testing import Sandbox

ADA = "ada@example.com"


def test_the_page_has_a_box_for_each_scope(sandbox: Sandbox) -> None:
    sandbox.settings(consent="page")
    form = ConsentForm(authorize(sandbox, scope=f"openid email {CALENDAR} {READ_ONLY}").text)
    boxes = {box["value"]: box for box in form.inputs if box["type"] == "checkbox"}
    assert list(boxes) == ["openid", "email", CALENDAR, READ_ONLY]
    assert all("checked" in box for box in boxes.values())
    # who somebody is can't be left out, as at Google
    assert [name for name, box in boxes.items() if "disabled" in box] == ["openid", "email"]


def test_all_is_granted_unless_somebody_unticks_it(sandbox: Sandbox) -> None:
    sandbox.settings(consent="page")
    sent = submit(authorize(sandbox, scope=f"openid {CALENDAR} {READ_ONLY}"))
    assert sent.status_code == 303
    found = answered(sent)
    assert (found["state"], found["iss"], found["scope"]) == (
        "the-state",
        sandbox.url,
        f"openid {CALENDAR} {READ_ONLY}",
    )
    assert exchange(sandbox, found["code"]).json()["scope"] == f"openid {CALENDAR} {READ_ONLY}"


def test_what_was_unticked_is_not_granted(sandbox: Sandbox) -> None:
    sandbox.settings(consent="page")
    found = answered(submit(authorize(sandbox, scope=f"openid {CALENDAR} {READ_ONLY}"), Wishes(leave_out=(CALENDAR,))))
    assert found["scope"] == f"openid {READ_ONLY}"
    token = exchange(sandbox, found["code"]).json()
    assert token["scope"] == f"openid {READ_ONLY}"
    assert refresh(sandbox, token["refresh_token"]).json()["scope"] == f"openid {READ_ONLY}"
    beyond = refresh(sandbox, token["refresh_token"], scope=CALENDAR)
    assert refusal(beyond) == (400, "invalid_scope", "Bad Request")


@pytest.mark.parametrize("wishes", [Wishes(deny=True), Wishes(leave_out=("calendar",))])
def test_a_no_or_nothing_at_all_is_a_denial(sandbox: Sandbox, wishes: Wishes) -> None:
    sandbox.settings(consent="page")
    found = answered(submit(authorize(sandbox), wishes))
    assert (found["error"], found["state"], found["iss"]) == ("access_denied", "the-state", sandbox.url)
    assert "code" not in found


def test_accounts(sandbox: Sandbox) -> None:
    sandbox.settings(consent="page", accounts=["grace@example.com", ADA])

    def account(page: requests.Response, wishes: Wishes | None = None) -> str:
        token = exchange(sandbox, answered(submit(page, wishes))["code"]).json()
        return tokeninfo(sandbox, token["access_token"])["email"]

    page = authorize(sandbox, scope=f"email {CALENDAR}")
    assert [each["value"] for each in ConsentForm(page.text).inputs if each["type"] == "radio"] == [
        "grace@example.com",
        ADA,
    ]
    assert account(page) == "grace@example.com"
    assert account(page, Wishes(account=ADA)) == ADA
    assert account(page, Wishes(account="new@example.com")) == "new@example.com"
    assert account(authorize(sandbox, scope=f"email {CALENDAR}", login_hint=ADA)) == ADA
    assert account(authorize(sandbox, scope=f"email {CALENDAR}", login_hint="b@example.com")) == "b@example.com"


def test_without_a_page_the_first_account_consents(sandbox: Sandbox) -> None:
    sandbox.settings(accounts=[ADA, "grace@example.com"])
    assert sandbox.issue_token()["account"] == ADA


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"account": ADA}, "decision must be allow or deny"),
        ({"account": ADA, "decision": "maybe"}, "decision must be allow or deny"),
        ({"decision": "allow"}, "account must be a mail address"),
        ({"account": "<script>", "decision": "allow"}, "account must be a mail address"),
    ],
)
def test_a_form_that_makes_no_sense_gets_a_page(sandbox: Sandbox, form: dict, words: str) -> None:
    url = authorize(sandbox).request.url
    response = requests.post(url, data=form, allow_redirects=False, timeout=30)
    assert (response.status_code, "Location" in response.headers) == (400, False)
    assert words in response.text


def test_scopes_nobody_asked_for_are_not_granted(sandbox: Sandbox) -> None:
    form = {"account": ADA, "decision": "allow", "granted": [CALENDAR, "https://www.googleapis.com/auth/drive"]}
    found = answered(requests.post(authorize(sandbox).request.url, data=form, allow_redirects=False, timeout=30))
    assert found["scope"] == CALENDAR


def test_prompt_none_shows_no_page(sandbox: Sandbox) -> None:
    sandbox.settings(consent="page")
    submit(authorize(sandbox))
    assert "code" in answered(authorize(sandbox, prompt="none"))


def test_the_page_says_that_the_app_is_in_testing(sandbox: Sandbox) -> None:
    sandbox.settings(consent="page")
    assert 'id="testing"' not in authorize(sandbox).text
    sandbox.settings(publishing="testing")
    assert 'id="testing"' in authorize(sandbox).text


class _Client(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append({name: each[0] for name, each in parse_qs(urlsplit(self.path).query).items()})
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def client() -> Iterator[HTTPServer]:
    """An app that waits on loopback for the answer."""
    server = HTTPServer(("127.0.0.1", 0), _Client)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run_person(
    sandbox: Sandbox, client: HTTPServer, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    asked = authorize(
        sandbox, scope=f"email {CALENDAR} {READ_ONLY}", redirect_uri=f"http://127.0.0.1:{client.server_port}/"
    )
    return subprocess.run(
        [sys.executable, str(Path(person.__file__)), *options, asked.request.url],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("consent", ["grant", "page"])
@pytest.mark.parametrize(
    ("options", "environment", "scope"),
    [
        ([], {}, f"email {CALENDAR} {READ_ONLY}"),
        (["--leave-out", CALENDAR], {}, f"email {READ_ONLY}"),
        # BROWSER can't have a colon in it
        (["--leave-out", "calendar", "--leave-out=calendar.readonly"], {}, "email"),
        ([], {"SANDBOX_PERSON_LEAVE_OUT": f"{READ_ONLY}"}, f"email {CALENDAR}"),
        ([], {"SANDBOX_PERSON_LEAVE_OUT": "calendar, calendar.readonly"}, "email"),
    ],
)
def test_the_person_leaves_scopes_out(
    sandbox: Sandbox, client: HTTPServer, consent: str, options: list[str], environment: dict[str, str], scope: str
) -> None:
    sandbox.settings(consent=consent)
    result = run_person(sandbox, client, *options, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert client.seen[0]["scope"] == scope
    assert client.seen[0]["code"]


@pytest.mark.parametrize(("options", "environment"), [(["--account", ADA], {}), ([], {"SANDBOX_PERSON_ACCOUNT": ADA})])
def test_the_person_chooses_an_account(
    sandbox: Sandbox, client: HTTPServer, options: list[str], environment: dict[str, str]
) -> None:
    assert run_person(sandbox, client, *options, **environment).returncode == 0
    where = {"redirect_uri": f"http://127.0.0.1:{client.server_port}/"}
    token = exchange(sandbox, client.seen[0]["code"], **where).json()
    assert tokeninfo(sandbox, token["access_token"])["email"] == ADA


@pytest.mark.parametrize(("options", "environment"), [(["--deny"], {}), ([], {"SANDBOX_PERSON_DENY": "1"})])
def test_the_person_says_no(
    sandbox: Sandbox, client: HTTPServer, options: list[str], environment: dict[str, str]
) -> None:
    assert run_person(sandbox, client, *options, **environment).returncode == 0
    assert client.seen[0]["error"] == "access_denied"


@pytest.mark.parametrize(
    ("consent", "options", "words"),
    [
        ("page", ["--leave-out", "drive"], f"has no scope drive; it has email, {CALENDAR}, {READ_ONLY}"),
        ("page", ["--leave-out", "email"], "doesn't let email be left out"),
        ("page", ["--account", "nobody"], "the page says 400"),
        ("silent", ["--account", ADA], "no consent page came"),
    ],
)
def test_the_person_says_which_wish_could_not_be_met(
    sandbox: Sandbox, client: HTTPServer, consent: str, options: list[str], words: str
) -> None:
    sandbox.settings(consent=consent)
    result = run_person(sandbox, client, *options)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert client.seen == []
