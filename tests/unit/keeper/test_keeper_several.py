"""One keeper process for several documents: each is kept, and nothing of one gets into another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from google.auth.transport.requests import AuthorizedSession
from keeper_parts import events_of, on_disk, state_of
from keeper_provider import Provider, running_provider

from sandbox_provider.testing import Sandbox, running_sandbox
from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.keeper import Keeper, SeveralKeepers

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
SHELL_APP = SAMPLES / "shell/calendars.sh"
IN_OTHER_LANGUAGES = {
    "shell": ["bash", str(SHELL_APP)],
    "node": ["node", str(SAMPLES / "node/calendars.mjs")],
}


def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


@contextlib.contextmanager
def keeping(*paths: Path) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A keeper of these documents: its process, the address of its web server, and the lines of its log so far."""
    command = [sys.executable, "-m", "token_keeper", "keep", "--listen", "127.0.0.1:0", *map(str, paths)]
    said: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", line):
                    break
            else:
                pytest.fail("".join(said))
            threading.Thread(target=lambda lines=process.stderr: said.extend(lines), daemon=True).start()
            yield process, f"http://127.0.0.1:{found[1]}", said
        finally:
            process.kill()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def of(path: Path) -> str:
    return f"?path={quote(str(path))}"


def consented(sandbox: Sandbox, path: Path, account: str) -> TokenDocument:
    document = TokenDocument.parse(json.dumps(sandbox.issue_token(account=account)))
    life = sandbox.settings()["access_token_lifetime"]
    TokenStore(path).replace(document, rotation="yes", expires_in=life)
    return document


def test_two_accounts_in_one_volume_are_kept_and_not_mixed_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell script reads one file for each call, and the package's credentials use the other."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    one, other = path, path.with_name("reports.json")
    with running_sandbox(rotation=True, access_token_lifetime=10) as sandbox:
        listing = f"{sandbox.calendar_endpoint}users/me/calendarList"
        environment = os.environ | {"TOKEN_FILE": str(other), "CALENDAR_API": sandbox.calendar_endpoint}
        calls = 0
        with keeping(one, other) as (_, address, said):
            for document, account in ((one, "one@sandbox.invalid"), (other, "other@sandbox.invalid")):
                consented(sandbox, document, account)
            session = AuthorizedSession(TokenStore(one).credentials())
            while min(state_of(document).generation for document in (one, other)) < 4:
                by_shell = subprocess.run(SHELL_APP, env=environment, capture_output=True, text=True, check=False)
                assert (by_shell.stdout, by_shell.stderr, by_shell.returncode) == ("other@sandbox.invalid\n", "", 0)
                answer = session.get(listing)
                assert (answer.status_code, answer.json()["items"][0]["id"]) == (200, "one@sandbox.invalid")
                calls += 2
                assert calls < 400, said
                time.sleep(0.1)
            assert get(f"{address}/readyz")[0] == 200
        counters = sandbox.counters()
        assert counters["calendar"]["unauthorized"] == 0
        assert counters["requests"]["calendar"] == calls
        assert counters["rotation"]["reuse_detected"] == counters["exchanges"]["refused"] == 0
        assert counters["exchanges"]["refresh_token"] == sum(state_of(each).generation - 1 for each in (one, other))
        for document, account in ((one, "one@sandbox.invalid"), (other, "other@sandbox.invalid")):
            TokenStore(document).refresh(force=True)  # the refresh token lives
            assert sandbox.call("GET", "/calendar/v3/users/me/calendarList", token=on_disk(document).token)["items"][0][
                "id"
            ] == account  # fmt: skip
            assert set(events_of(document)) == {"Pushed", "Refreshed"}
        assert not {*state_of(one).superseded} & {*state_of(other).superseded}


@pytest.mark.parametrize("language", IN_OTHER_LANGUAGES)
def test_an_app_in_another_language_reads_the_file(path: Path, language: str) -> None:
    command = IN_OTHER_LANGUAGES[language]
    with running_sandbox() as sandbox:
        consented(sandbox, path, "one@sandbox.invalid")
        told = {"TOKEN_FILE": str(path), "CALENDAR_API": sandbox.calendar_endpoint, "NO_PROXY": "127.0.0.1"}
        environment = os.environ | told
        before = path.read_bytes()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
        assert (done.stdout, done.stderr, done.returncode) == ("one@sandbox.invalid\n", "", 0)
        TokenStore(path).clear()
        path.write_bytes(before.replace(b"ya29", b"gone"))
        refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
        assert refused.returncode != 0
        assert "401" in refused.stderr
        assert refused.stdout == ""
        assert "gone" not in refused.stderr


def test_what_it_tells_of_each(provider: Provider, path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "second"
    elsewhere.mkdir(mode=0o700)
    kept, mail, missing = path, path.with_name("mail.json"), elsewhere / "token.json"
    for document in (kept, mail):
        TokenStore(document).replace(provider.grant(expires_in=100), rotation="no")
    TokenStore(mail).refresh(force=True)
    with keeping(kept, mail, missing) as (process, address, said):
        eventually(lambda: all(state_of(document).generation >= 2 for document in (kept, mail)))
        eventually(lambda: json.loads(get(f"{address}/healthz")[1])["documents"][str(missing)]["active"])
        assert get(f"{address}/healthz")[0] == 200
        code, body = get(f"{address}/readyz")
        told = json.loads(body)["documents"]
        assert code == 503
        assert {name: facts["ready"] for name, facts in told.items()} == {
            str(kept): True, str(mail): True, str(missing): False
        }  # fmt: skip
        assert told[str(missing)]["document"] == "NoDocument"
        assert [get(f"{address}/readyz{of(each)}")[0] for each in (kept, mail, missing)] == [200, 200, 503]
        assert get(f"{address}/readyz{of(path.with_name('none.json'))}")[0] == 404

        eventually(lambda: json.loads(get(f"{address}/consumers")[1])["consumers"][0]["generation"] == 2)
        assert get(f"{address}/consumers") == get(f"{address}/consumers{of(kept)}")
        [mine] = json.loads(get(f"{address}/consumers{of(missing)}")[1])["consumers"]
        assert (mine["pid"], mine["generation"]) == (process.pid, None)

        metrics = get(f"{address}/metrics")[1]
        for document in (kept, mail, missing):
            assert f'token_keeper_active{{document="{document}"}} 1.0' in metrics
        assert f'token_keeper_generation{{document="{kept}"}} 2.0' in metrics
        assert f'token_keeper_condition{{document="{kept}",reason="' in metrics
        assert f'token_keeper_healthy{{document="{missing}"}} 0.0' in metrics
        names = re.findall(r"^# TYPE (\S+)", metrics, re.MULTILINE)
        assert len(names) == len(set(names)), "each metric is declared once"
        for secret in (*provider.access_tokens, *provider.live, provider.client[1]):
            assert secret not in metrics + body

        assert any(f"{kept}: renewed: generation 2" in line for line in said)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    eventually(lambda: sum(": stopped" in line for line in said) == 3, 5)


def test_one_is_active_for_each_document(provider: Provider, path: Path) -> None:
    """Of two keepers that share one of their documents; when the first ends, the second has the role of both."""
    other = path.with_name("other.json")
    for document in (path, other):
        TokenStore(document).replace(provider.grant(), rotation="no")

    def active(address: str) -> list[bool]:
        told = json.loads(get(f"{address}/healthz")[1])["documents"]
        return [told[str(document)]["active"] for document in (path, other)]

    with keeping(path) as (first, alone, _):
        eventually(lambda: json.loads(get(f"{alone}/healthz")[1])["active"])
        with keeping(path, other) as (_, both, _):
            eventually(lambda: active(both) == [False, True])
            first.terminate()
            eventually(lambda: active(both) == [True, True])


def test_a_provider_that_does_not_answer_delays_no_document_of_another_volume(
    provider: Provider, path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "second"
    elsewhere.mkdir(mode=0o700)
    other = elsewhere / "token.json"
    with running_provider() as silent:
        silent.script.append("stall")
        TokenStore(path).replace(silent.grant(expires_in=100), rotation="no")
        TokenStore(other).replace(provider.grant(expires_in=100), rotation="no")
        with keeping(path, other):
            eventually(lambda: len(silent.forms) == 1 and state_of(other).generation == 2, 7)
            assert state_of(path).generation == 1


def test_all_end_where_one_fails_as_nobody_foresaw(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container ends, and is started again, rather than keeping some of them and saying nothing."""
    keepers = [Keeper(TokenStore(each), look_every=0.01) for each in (path, path.with_name("other.json"))]

    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(keepers[1], "look", fail)
    with pytest.raises(ZeroDivisionError):
        SeveralKeepers(keepers).run()
    assert not keepers[0].is_active


def test_a_document_that_is_named_twice(path: Path) -> None:
    command = [sys.executable, "-m", "token_keeper", "keep", str(path), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "named twice" in done.stderr


def test_one_that_is_named_is_told_of_as_a_single_one_always_was(provider: Provider, path: Path) -> None:
    TokenStore(path).replace(provider.grant(), rotation="no")
    with keeping(path) as (_, address, said):
        assert json.loads(get(f"{address}/readyz")[1])["generation"] == 1
        assert "token_keeper_generation 1.0" in get(f"{address}/metrics")[1]
        eventually(lambda: any(line.endswith("INFO active\n") for line in said))
        assert get(f"{address}/readyz{of(path)}")[0] == 200
    assert fingerprint(on_disk(path).refresh_token) not in state_of(path).superseded
