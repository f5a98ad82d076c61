"""``token-keeper login``: at a terminal as a person uses it, and in a pipe."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from at_a_terminal import Terminal
from browsing import ends_at

from sandbox_provider import person
from sandbox_provider.testing import Sandbox
from token_keeper.document import TokenDocument

pytestmark = pytest.mark.usefixtures("child_environment")

CALENDAR = "https://www.googleapis.com/auth/calendar"
PASTE_HERE = "The address that the browser ended at (it is not shown): "
BROWSER = shlex.join([sys.executable, person.__file__, "%s"]) + " &"


@pytest.fixture
def client_file(sandbox: Sandbox, tmp_path: Path) -> Path:
    file = tmp_path / "client_secret.json"
    file.write_text(json.dumps(sandbox.client_secrets()))
    return file


@pytest.fixture
def asked(client_file: Path) -> list[str]:
    return ["login", "--client-secrets", str(client_file), "--scope", CALENDAR]


def address_on(screen: str) -> str:
    return next(line for line in screen.splitlines() if line.startswith("http"))


def run(*arguments: str, text: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "token_keeper", *arguments],
        check=False,
        input=text.decode(),
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        env={**os.environ, **environment},
    )


# -- at a terminal


def test_paste(sandbox: Sandbox, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50022 192.0.2.1 22")
    monkeypatch.setenv("DISPLAY", "localhost:10.0")
    out = tmp_path / "document"
    with Terminal(*asked, stdout=out) as terminal:
        url = address_on(terminal.see(PASTE_HERE))
        assert "ssh -N -L " in terminal.screen
        assert "@192.0.2.1\n" in terminal.screen
        assert not terminal.echoes()
        answer = ends_at(url)
        terminal.type(f"{answer}\n")
        assert terminal.wait() == 0
        assert f"Consent complete for: {CALENDAR}." in terminal.screen
        screen = terminal.screen

    document = TokenDocument.parse(out.read_bytes())
    assert document.token is not None
    assert sandbox.accepts(document.token)
    code = parse_qs(urlsplit(answer).query)["code"][0]
    for secret in (code, document.token, document.refresh_token, document.client_secret):
        assert secret not in screen


def test_a_wrong_paste_is_said_and_asked_for_again(asked: list[str], tmp_path: Path) -> None:
    with Terminal(*asked, "--output", tmp_path / "token.json") as terminal:
        url = address_on(terminal.see(PASTE_HERE))
        terminal.type("canary-nonsense\n")
        terminal.see(PASTE_HERE, times=2)
        assert "That has no code in it" in terminal.screen
        # what is typed and taken back, and an address that a terminal has broken into lines
        answer = ends_at(url)
        terminal.type("canary-x\x15")
        terminal.type(f"{answer[:80]}\n  {answer[80:150]}\n{answer[150:]}x\x7f\n")
        assert terminal.wait() == 0
        assert "canary" not in terminal.screen
        assert f"The document is in {tmp_path / 'token.json'}." in terminal.screen
    assert stat.S_IMODE((tmp_path / "token.json").stat().st_mode) == 0o600


def test_an_address_longer_than_a_terminals_line(asked: list[str], tmp_path: Path) -> None:
    with Terminal(*asked, "--output", tmp_path / "token.json") as terminal:
        answer = ends_at(address_on(terminal.see(PASTE_HERE)))
        for start in range(0, len(long := f"{answer}&more={'x' * 6000}\n"), 1000):
            terminal.type(long[start : start + 1000])
        assert terminal.wait() == 0


def test_three_wrong_pastes(asked: list[str], tmp_path: Path) -> None:
    with Terminal(*asked, "--output", tmp_path / "token.json") as terminal:
        for attempt in range(1, 4):
            terminal.see(PASTE_HERE, times=attempt)
            terminal.type("nonsense\n")
        assert terminal.wait() == 12
        assert "error: that has no code in it" in terminal.screen
        assert "do: run the consent again" in terminal.screen
    assert not (tmp_path / "token.json").exists()


def test_a_forwarded_port_needs_no_paste(asked: list[str], tmp_path: Path) -> None:
    with Terminal(*asked, "--output", tmp_path / "token.json") as terminal:
        url = address_on(terminal.see(PASTE_HERE))
        browser = threading.Thread(target=person.visit, args=(url,))
        browser.start()
        assert terminal.wait() == 0, "without Enter"
        browser.join()
    assert TokenDocument.parse((tmp_path / "token.json").read_bytes()).scopes == (CALENDAR,)


def test_the_deadline(asked: list[str], tmp_path: Path) -> None:
    with Terminal(*asked, "--output", tmp_path / "token.json", "--timeout", "1") as terminal:
        terminal.see(PASTE_HERE)
        assert terminal.wait() == 12
        assert "no answer was pasted in time" in terminal.screen
        assert terminal.echoes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_an_end_by_hand_leaves_the_terminal_as_it_was(
    asked: list[str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with Terminal(*asked, "--output", tmp_path / "token.json") as terminal:
        terminal.see(PASTE_HERE)
        assert not terminal.echoes()
        terminal.process.send_signal(number)
        assert terminal.wait() == code
        assert terminal.echoes()
        assert "Traceback" not in terminal.screen


def test_a_secret_is_not_put_on_the_screen_by_accident(asked: list[str]) -> None:
    with Terminal(*asked) as terminal:
        assert terminal.wait() == 2
        assert "stdout is a terminal" in terminal.screen
        assert "http" not in terminal.screen
    with Terminal(*asked, "--output", "-", "--browser", BROWSER, "--mode", "loopback") as terminal:
        assert terminal.wait() == 0
        assert '"refresh_token"' in terminal.screen


# -- in a pipe, or with a browser


def test_loopback(sandbox: Sandbox, asked: list[str]) -> None:
    done = run(*asked, BROWSER=BROWSER)

    assert done.returncode == 0
    document = TokenDocument.parse(done.stdout)
    assert document.token is not None
    assert sandbox.accepts(document.token)
    assert "Consent is needed" in done.stderr
    assert document.refresh_token not in done.stderr


def test_the_client_from_stdin_and_the_provider_by_its_issuer(sandbox: Sandbox) -> None:
    client = {"client_id": sandbox.client.client_id, "client_secret": sandbox.client.client_secret}
    done = run(
        "login", "--client-secrets", "-", "--scope", CALENDAR, "--provider", "generic", "--issuer", sandbox.url,
        "--account", "demo@sandbox.invalid", "--browser", BROWSER, "--mode", "loopback",
        text=json.dumps(client).encode(),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    document = TokenDocument.parse(done.stdout)
    assert document.account == "demo@sandbox.invalid"
    assert document.token_uri == sandbox.token_uri
    assert "Consent complete by demo@sandbox.invalid" in done.stderr
    assert "note:" not in done.stderr


def test_another_account(asked: list[str], sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    done = run(
        *asked, "--provider", "google", "--account", "ada@sandbox.invalid", "--output", str(file),
        BROWSER=BROWSER, SANDBOX_PERSON_ACCOUNT="bob@sandbox.invalid",
    )  # fmt: skip

    assert done.returncode == 12
    assert "bob@sandbox.invalid" in done.stderr
    assert "do: nothing was changed: run the consent again and choose ada@sandbox.invalid" in done.stderr
    assert not file.exists()


def test_warnings_are_notes(asked: list[str], sandbox: Sandbox) -> None:
    sandbox.settings(publishing="testing")
    assert "note: the provider ends this grant by itself in 7 days" in run(*asked, BROWSER=BROWSER).stderr


def test_a_file_that_is_there_is_left_alone(asked: list[str], tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    file.write_text("precious")
    done = run(*asked, "--output", str(file), BROWSER=BROWSER)
    assert done.returncode == 10
    assert "exists already" in done.stderr
    assert "Consent is needed" not in done.stderr, "nobody was bothered"
    assert file.read_text() == "precious"

    done = run(*asked, "--output", str(file), "--force", BROWSER=BROWSER)
    assert done.returncode == 0
    assert done.stdout == ""
    assert TokenDocument.parse(file.read_bytes()).scopes == (CALENDAR,)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["client_secret.json", "token.json"]


def test_a_file_that_comes_meanwhile_is_left_alone_too(asked: list[str], tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    with Terminal(*asked, "--output", file) as terminal:
        answer = ends_at(address_on(terminal.see(PASTE_HERE)))
        file.write_text("precious")
        terminal.type(f"{answer}\n")
        assert terminal.wait() == 10
    assert file.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["client_secret.json", "token.json"]


def test_places_where_no_file_can_be(asked: list[str], tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "token.json"):
        done = run(*asked, "--output", str(place), BROWSER=BROWSER)
        assert done.returncode == 10
        assert "Consent is needed" not in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--client-secrets", "/none.json"], 12, "correct --client-secrets"),
        (["--provider", "gogle"], 12, "no provider profile 'gogle'"),
        (["--scope", "a b"], 12, "not a list of at least one scope"),
        (["--mode", "paste"], 12, "no terminal to paste the answer at"),
        (["--token-uri", "http://provider.example/token"], 12, "unencrypted"),
        (["--mode", "two_step"], 2, "Invalid value for '--mode'"),
    ],
)
def test_exit_codes(asked: list[str], options: list[str], code: int, said: str) -> None:
    done = run(*asked, *options)

    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""


def test_wrong_secret(sandbox: Sandbox, asked: list[str], client_file: Path) -> None:
    secrets: dict[str, Any] = sandbox.client_secrets()
    secrets["installed"]["client_secret"] = "canary-wrong"
    client_file.write_text(json.dumps(secrets))
    done = run(*asked, BROWSER=BROWSER)

    assert done.returncode == 6
    assert "canary" not in done.stderr
