"""Consent in a real browser: the provider's page with its boxes, and the page of the receiver at the end."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from chromium import OPTIONS, Chromium, program

from sandbox_provider.testing import Sandbox
from token_keeper.document import TokenDocument

pytestmark = [pytest.mark.usefixtures("child_environment"), pytest.mark.xdist_group("chromium")]

CALENDAR = "https://www.googleapis.com/auth/calendar"
READING = f"{CALENDAR}.readonly"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


class Login:
    """``token-keeper login`` as it runs at a desk; its browser is a script that leaves the address for the test."""

    def __init__(self, sandbox: Sandbox, folder: Path, *options: str) -> None:
        secrets, script = folder / "client_secret.json", folder / "browser"
        self._address = folder / "address"
        secrets.write_text(json.dumps(sandbox.client_secrets()))
        here = shlex.quote(str(self._address))
        script.write_text(f'#!/bin/sh\nprintf %s "$1" >{here}.new && mv {here}.new {here}\n')
        script.chmod(0o700)
        command = [sys.executable, "-m", "token_keeper", "login", "--client-secrets", str(secrets), *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "BROWSER": str(script)},
        )

    @property
    def url(self) -> str:
        """The address that the browser was asked to open."""
        deadline = time.monotonic() + 20
        while not self._address.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self._address.read_text()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end and return exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def choose(chromium: Chromium, *, leave_out: str | None = None, decision: str = "allow") -> None:
    """Answer the provider's page."""
    chromium.await_title("Consent")
    if leave_out:
        chromium.evaluate(f"document.querySelector('input[value=\"{leave_out}\"]').click()")
    chromium.evaluate(f"document.querySelector('button[value={decision}]').click()")


def test_a_person_allows_it(sandbox: Sandbox, chromium: Chromium, tmp_path: Path) -> None:
    sandbox.settings(consent="page", accounts=["ada@sandbox.invalid", "bob@sandbox.invalid"])
    options = ("--scope", CALENDAR, "--provider", "generic", "--issuer", sandbox.url)
    login = Login(sandbox, tmp_path, *options, "--account", "ada@sandbox.invalid")
    chromium.log.clear()
    chromium.open(login.url)
    choose(chromium)
    chromium.await_title("Consent complete")
    code, out, err = login.end()

    assert code == 0, err
    document = TokenDocument.parse(out)
    assert document.account == "ada@sandbox.invalid"
    text = chromium.text()
    assert text.startswith("Consent complete")
    assert f"Access was granted by ada@sandbox.invalid for: {CALENDAR}, openid, email." in text
    assert "You may close this window and go back to the terminal." in text
    # the page is readable as it is meant to be: its own style is allowed by its own policy, and nothing else is wanted
    assert chromium.evaluate("getComputedStyle(document.body).maxWidth") == "576px"
    assert chromium.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [entry for entry in chromium.log if "Content Security Policy" in entry] == []
    given = parse_qs(urlsplit(chromium.evaluate("location.href")).query)["code"][0]
    for secret in (document.token or "-", document.refresh_token, document.client_secret, given):
        assert secret not in chromium.evaluate("document.documentElement.outerHTML")
        assert secret not in err
    picture = chromium.screenshot()
    assert picture.startswith(b"\x89PNG")
    (tmp_path / "consent-complete.png").write_bytes(picture)


@pytest.mark.parametrize(
    ("answer", "title", "said"),
    [
        ({"leave_out": READING}, "Consent not complete", f"consent was given, but without {READING}."),
        ({"decision": "deny"}, "Consent not complete", "consent was refused (access_denied"),
    ],
)
def test_a_person_does_not(
    sandbox: Sandbox, chromium: Chromium, tmp_path: Path, answer: dict[str, str], title: str, said: str
) -> None:
    sandbox.settings(consent="page")
    login = Login(sandbox, tmp_path, "--scope", CALENDAR, "--scope", READING)
    chromium.open(login.url)
    choose(chromium, **answer)
    chromium.await_title(title)
    code, out, err = login.end()

    assert (code, out) == (12, "")
    text = chromium.text()
    assert f"What happened: {said}" in text
    assert "What to do: " in text
    [happened] = re.findall(r"^error: (.+)$", err, re.MULTILINE)
    assert happened in text, "the page says what the terminal says"


def test_an_older_page_is_turned_away(sandbox: Sandbox, chromium: Chromium, tmp_path: Path) -> None:
    sandbox.settings(consent="page")
    login = Login(sandbox, tmp_path, "--scope", CALENDAR)
    url = login.url
    state = parse_qs(urlsplit(url).query)["state"][0]
    chromium.open(url.replace(state, "an-older-one"))
    choose(chromium)
    chromium.await_title("Not the answer")
    assert "open the newest address" in chromium.text()
    chromium.open(url)
    choose(chromium)
    chromium.await_title("Consent complete")
    assert login.end()[0] == 0


def test_a_browser_that_is_opened_by_the_command(sandbox: Sandbox, tmp_path: Path) -> None:
    secrets, dom = tmp_path / "client_secret.json", tmp_path / "dom.html"
    secrets.write_text(json.dumps(sandbox.client_secrets()))
    browser = tmp_path / "browser"
    options = shlex.join([program(), *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"])
    browser.write_text(f'#!/bin/sh\nexec {options} "$1" >{shlex.quote(str(dom))} 2>/dev/null\n')
    browser.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-m", "token_keeper", "login", "--client-secrets", secrets, "--scope", CALENDAR],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "BROWSER": f"{browser} %s &"},
    )

    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 30
    while "</html>" not in (dom.read_text() if dom.exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "<h1>Consent complete</h1>" in dom.read_text()
