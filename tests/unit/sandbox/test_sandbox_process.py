"""The process: its start, its end, its storage, its log; the person; Google's own consent flow."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from google_auth_oauthlib.flow import InstalledAppFlow

from sandbox_provider import person
from sandbox_provider.database import FILE_NAME
from sandbox_provider.testing import CALENDAR_SCOPES, Sandbox, running_sandbox

PERSON = Path(person.__file__)
EVENT = {"start": {"date": "2026-12-24"}, "end": {"date": "2026-12-25"}}


def refresh(sandbox: Sandbox, document: dict) -> requests.Response:
    form = {"grant_type": "refresh_token"} | {
        name: document[name] for name in ("client_id", "client_secret", "refresh_token")
    }
    return requests.post(sandbox.token_uri, data=form, timeout=30)


def provider(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    package = str(PERSON.parents[1])
    return subprocess.run(
        [sys.executable, "-m", "sandbox_provider", *arguments],
        env=os.environ | {"PYTHONPATH": package} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_keeps_everything(end: str) -> None:
    with running_sandbox(rotation=True, access_token_lifetime=120) as sandbox:
        document, client = sandbox.issue_token(), sandbox.client
        document["refresh_token"] = refresh(sandbox, document).json()["refresh_token"]
        sandbox.call("POST", "/calendar/v3/calendars/primary/events", EVENT, document["token"])
        sandbox.register_client("c", "s")
        sandbox.fault("token", "429", count=3)
        before = sandbox.counters(), sandbox.settings(), sandbox.events(document["token"])
        getattr(sandbox, end)()
        with pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(sandbox.url, timeout=5)
        sandbox.start()
        counters = sandbox.counters()
        assert counters["exchanges"] == {"authorization_code": 0, "refresh_token": 1, "refused": 0}
        assert (counters, sandbox.settings(), sandbox.events(document["token"]))[1:] == before[1:]
        assert sandbox.client == client
        assert sandbox.issue_token(client_id="c")["client_secret"] == "s"
        assert refresh(sandbox, document).status_code == 429
        sandbox.clear_faults()
        assert refresh(sandbox, document).status_code == 200


def test_it_ends_within_two_seconds_with_requests_stalled() -> None:
    with running_sandbox() as sandbox:
        document = sandbox.issue_token()
        sandbox.fault("token", "stall", count=8)
        threads = [threading.Thread(target=_ignore_drop, args=(sandbox, document)) for _ in range(8)]
        for thread in threads:
            thread.start()
        while sandbox.call("GET", "/admin/faults")["faults"]:
            time.sleep(0.01)
        started = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - started < 2
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert "Traceback" not in sandbox.log()


def _ignore_drop(sandbox: Sandbox, document: dict) -> None:
    with pytest.raises(requests.ConnectionError):
        refresh(sandbox, document)


def test_an_answer_under_way_is_given_before_the_end() -> None:
    with running_sandbox(latency=1.0) as sandbox:
        document, pid = sandbox.issue_token(), sandbox.pid
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(refresh(sandbox, document).status_code))
        thread.start()
        while not sandbox.counters()["requests"]["token"]:
            time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        thread.join(10)
        assert answers == [200]


def test_the_storage_is_private_and_holds_no_token() -> None:
    with running_sandbox() as sandbox:
        document = sandbox.issue_token()
        refresh(sandbox, document)
        files = list(sandbox.data.iterdir())
        assert stat.S_IMODE(sandbox.data.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        content = b"".join(file.read_bytes() for file in files)
        assert document["client_secret"].encode() in content
        assert document["token"].encode() not in content
        assert document["refresh_token"].encode() not in content


def test_the_log_names_paths_and_never_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_sandbox() as sandbox:
        document = _consent(sandbox, monkeypatch)
        requests.get(f"{sandbox.url}/tokeninfo", {"access_token": document["token"]}, timeout=30)
        requests.get(f"{sandbox.url}/nowhere%0aforged line", timeout=30)
        requests.post(sandbox.revocation_uri, params={"token": document["refresh_token"]}, timeout=30)
        sandbox.fault("token", "drop")
        with pytest.raises(requests.ConnectionError):
            refresh(sandbox, document)
        sandbox.stop()
        log = sandbox.log()
    for name in ("token", "refresh_token", "client_secret"):
        assert document[name] not in log
    assert "code=" not in log
    assert " GET /o/oauth2/v2/auth 302 " in log
    assert " GET /tokeninfo 200 " in log
    assert " GET /nowhere%0Aforged%20line 404 " in log
    assert " POST /token - " in log
    assert "fault=drop" in log
    assert "?" not in log


def _consent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Consent as google-auth-oauthlib does it, with the person as the browser."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("BROWSER", f"{sys.executable} {PERSON} %s &")
    # the module reads BROWSER once a process: what an earlier test had it find must not stay
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    flow = InstalledAppFlow.from_client_config(sandbox.client_secrets(), CALENDAR_SCOPES)
    found = flow.run_local_server(port=0, timeout_seconds=60, prompt="consent")
    return {
        "token": found.token,
        "refresh_token": found.refresh_token,
        "client_id": found.client_id,
        "client_secret": found.client_secret,
    }


def test_google_s_own_consent_flow(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    document = _consent(sandbox, monkeypatch)
    assert sandbox.accepts(document["token"])
    assert refresh(sandbox, document).status_code == 200


def test_the_helper_s_document(sandbox: Sandbox) -> None:
    document = sandbox.issue_token(["openid", CALENDAR_SCOPES[0]], account="ada@example.com", expires_in=-5)
    assert sorted(document) == [
        "account",
        "client_id",
        "client_secret",
        "expiry",
        "refresh_token",
        "scopes",
        "token",
        "token_uri",
        "universe_domain",
    ]
    assert document["scopes"] == ["openid", CALENDAR_SCOPES[0]]
    assert document["expiry"].endswith("Z")
    assert sandbox.accepts(document["token"])
    assert sandbox.revoke_grants() >= 1
    assert not sandbox.accepts(document["token"])
    assert document["client_secret"] not in repr(sandbox.client)


def test_it_does_not_outlive_a_test_run_that_is_killed() -> None:
    script = (
        "import time; from sandbox_provider.testing import running_sandbox\n"
        "with running_sandbox() as sandbox: print(sandbox.url, flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(PERSON.parents[1])}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        url = run.stdout.readline().strip()
        assert requests.get(f"{url}/healthz", timeout=30).ok
        run.kill()
    deadline = time.monotonic() + 10
    with pytest.raises(requests.ConnectionError):
        while time.monotonic() < deadline:
            requests.get(f"{url}/healthz", timeout=30)
            time.sleep(0.02)


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = provider("--port", str(taken.getsockname()[1]), "--data", "/nonexistent")
    assert result.returncode == 1
    assert "can't listen on 127.0.0.1 port" in result.stderr
    assert "choose another --port" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_storage_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / FILE_NAME).write_text("this is no database, however long one looks at it")
    for place in ("file", "broken"):
        result = provider("--port", "0", SANDBOX_DATA=str(tmp_path / place))
        assert result.returncode == 1
        assert f"can't use the storage in {tmp_path / place}" in result.stderr
        assert "Traceback" not in result.stderr


def test_the_storage_of_a_killed_process_is_sound() -> None:
    with running_sandbox() as sandbox:
        document = sandbox.issue_token()
        sandbox.kill()
        connection = sqlite3.connect(sandbox.data / FILE_NAME)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM refresh_tokens").fetchone() == (1,)
        connection.close()
        sandbox.start()
        assert sandbox.accepts(document["token"])


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to"))
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
        elif self.path == "/mail":
            self.send_response(302)
            self.send_header("Location", "mailto:x@example.com")
        else:
            self.send_response(403 if self.path == "/denied" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _visit(site: HTTPServer, path: str) -> subprocess.CompletedProcess[str]:
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
    return subprocess.run(
        [sys.executable, str(PERSON), f"http://127.0.0.1:{site.server_port}{path}"],
        env={name: value for name, value in os.environ.items() if name.lower() != "no_proxy"} | proxies,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_person_follows_redirects_past_any_proxy(site: HTTPServer) -> None:
    result = _visit(site, "/to/to/there?a=b")
    assert (result.returncode, result.stderr) == (0, "")
    assert site.seen == ["/to/to/there?a=b", "/to/there?a=b", "/there?a=b"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/denied", "the page says 403"),
        ("/loop", "more than 10 redirects"),
        ("/mail", "not of the web: mailto:"),
    ],
)
def test_the_person_says_what_went_wrong(site: HTTPServer, path: str, words: str) -> None:
    result = _visit(site, path)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_the_person_meets_nobody_or_is_sent_nowhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    command = [sys.executable, str(PERSON)]
    nobody = subprocess.run(
        [*command, f"http://127.0.0.1:{free}/"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (nobody.returncode, "can't reach the page" in nobody.stderr) == (1, True)
    nowhere = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (nowhere.returncode, nowhere.stderr.startswith("usage: person.py ")) == (2, True)
