"""Mode two_step: two processes, a verifier that waits in the volume, and secrets that are on stdin and nowhere else."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import ends_at
from click.testing import CliRunner

from sandbox_provider import person
from sandbox_provider.testing import Sandbox
from token_keeper import TokenDocument, TokenStore
from token_keeper.cli import main
from token_keeper.cli.consent import _push
from token_keeper.consent import Begun, ClientSecrets, Inquiry, begin, complete
from token_keeper.errors import Conflict, ConsentError, LockTimeout, ProviderUnavailable, StorageError, TokenKeeperError
from token_keeper.fingerprint import fingerprint
from token_keeper.lock import DirectoryLock

pytestmark = pytest.mark.usefixtures("child_environment")

BEGIN = ("consent", "begin", "--json")
CALENDAR = "https://www.googleapis.com/auth/calendar"


def waits(path: Path) -> Path:
    return path.parent / ".token.json.consent"


def first(secrets: ClientSecrets, path: Path, **options: Any) -> Begun:
    inquiry = Inquiry.prepare(secrets, [CALENDAR], **options.pop("inquiry", {}))
    return begin(inquiry, path, generation=0, **options)


def refused(answer: str, client: ClientSecrets, path: Path, **options: Any) -> TokenKeeperError:
    with pytest.raises(TokenKeeperError) as caught:
        complete(answer, client, path, **options)
    assert caught.value.remedy
    return caught.value


# -- in Python


def test_two_steps(sandbox: Sandbox, secrets: ClientSecrets, path: Path) -> None:
    begun = first(secrets, path)
    assert begun.expires_at == pytest.approx(time.time() + 600, abs=2)
    assert begun.redirect_uri.startswith("http://127.0.0.1:")
    waiting = waits(path).read_text()
    assert stat.S_IMODE(waits(path).stat().st_mode) == 0o600
    assert secrets.client_secret not in waiting
    assert parse_qs(urlsplit(begun.url).query)["code_challenge"][0] not in json.loads(waiting)["verifier"]

    document = complete(ends_at(begun.url), secrets, path).document
    assert document.token is not None
    assert sandbox.accepts(document.token)
    assert list(path.parent.iterdir()) == [], "nothing waits any more, and nothing is stored"


def test_the_query_alone_will_do(secrets: ClientSecrets, path: Path) -> None:
    assert complete(urlsplit(ends_at(first(secrets, path).url)).query, secrets, path)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory away")
def test_root_writes_for_the_owner_of_the_volume(secrets: ClientSecrets, path: Path) -> None:
    os.chown(path.parent, 999, 998)
    first(secrets, path)

    assert (waits(path).stat().st_uid, waits(path).stat().st_gid) == (999, 998)


def test_a_second_question_takes_the_place_of_the_first(secrets: ClientSecrets, path: Path) -> None:
    stale = path.parent / ".token.json.consent.tmp-0123456789abcdef"
    stale.write_text("{}")
    old, new = first(secrets, path), first(secrets, path)

    assert not stale.exists()
    assert refused(ends_at(old.url), secrets, path).reason == "StateMismatch"
    assert complete(ends_at(new.url), secrets, path)


def test_no_question(secrets: ClientSecrets, path: Path) -> None:
    error = refused("code=x&state=y", secrets, path)

    assert isinstance(error, ConsentError)
    assert error.reason == "ConsentNotBegun"


def test_a_code_works_once(sandbox: Sandbox, secrets: ClientSecrets, path: Path) -> None:
    begun = first(secrets, path)
    address = ends_at(begun.url)
    before = sandbox.counters()["exchanges"]
    complete(address, secrets, path)

    assert refused(address, secrets, path).reason == "ConsentNotBegun"
    after = sandbox.counters()["exchanges"]
    assert after == {**before, "authorization_code": before["authorization_code"] + 1}


def test_expired(secrets: ClientSecrets, path: Path) -> None:
    begun = first(secrets, path, valid=0.05)
    address = ends_at(begun.url)
    time.sleep(0.06)
    assert refused(address, secrets, path).reason == "ConsentExpired"


@pytest.mark.parametrize("ahead", [-1e6, 1e6])
def test_a_clock_that_is_stepped_neither_ends_nor_prolongs_it(
    secrets: ClientSecrets, path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    begun = first(secrets, path, valid=30.0)
    address = ends_at(begun.url)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead)

    assert complete(address, secrets, path)


def test_another_client(secrets: ClientSecrets, path: Path) -> None:
    begun = first(secrets, path)
    address = ends_at(begun.url)
    for other in (dataclasses.replace(secrets, client_secret="new"), dataclasses.replace(secrets, client_id="new")):
        assert refused(address, other, path).reason == "ClientChanged"
    assert complete(address, secrets, path), "nothing was changed"


def test_wrong_answers_change_nothing(sandbox: Sandbox, secrets: ClientSecrets, path: Path) -> None:
    begun = first(secrets, path, inquiry={"provider": "generic", "issuer": sandbox.url})
    before, exchanges = waits(path).read_bytes(), sandbox.counters()["exchanges"]
    address = ends_at(begun.url)
    for answer, reason in (
        ("", "AnswerMalformed"),
        (begun.url, "AnswerMalformed"),
        (f"{address}&code=x", "AnswerMalformed"),
        (address.replace("state=", "state=x"), "StateMismatch"),
        (address.replace("iss=http", "iss=https"), "IssuerMismatch"),
        (address.replace("iss=", "is="), "IssuerMismatch"),
        (ends_at(begun.url, person.Wishes(deny=True)), "ConsentRefused"),
    ):
        assert refused(answer, secrets, path).reason == reason
    assert waits(path).read_bytes() == before
    assert sandbox.counters()["exchanges"] == exchanges
    assert complete(address, secrets, path)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"[" * 60_000, b'{"format": 1}', b"\xff", b'{"format": 2, "span": {}}',
        b'{"format": 1, "span": {"begin": {"wall": "x"}, "seconds": 1}}',
    ],
)  # fmt: skip
def test_a_file_that_holds_something_else(secrets: ClientSecrets, path: Path, content: bytes) -> None:
    waits(path).write_bytes(content)
    assert refused("code=x&state=y", secrets, path).reason == "ConsentUnreadable"
    first(secrets, path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("endpoints", None), ("endpoints", {}), ("scopes", None), ("verifier", 7), ("generation", "x"), ("account", 7)],
)
def test_a_file_with_a_part_that_is_none(secrets: ClientSecrets, path: Path, key: str, value: object) -> None:
    begun = first(secrets, path)
    waits(path).write_text(json.dumps({**json.loads(waits(path).read_text()), key: value}))
    assert refused(ends_at(begun.url), secrets, path).reason == "ConsentUnreadable"


def test_a_directory_in_its_place(secrets: ClientSecrets, path: Path) -> None:
    waits(path).mkdir()
    assert refused("code=x&state=y", secrets, path).reason == "ConsentUnreadable"
    with pytest.raises(StorageError):
        first(secrets, path)


@pytest.mark.parametrize("kind", ["500", "drop", "bad_json"])
def test_a_provider_that_does_not_answer_leaves_the_question(
    sandbox: Sandbox, secrets: ClientSecrets, path: Path, kind: str
) -> None:
    address = ends_at(first(secrets, path).url)
    sandbox.fault("token", kind)
    error = refused(address, secrets, path)
    assert isinstance(error, ProviderUnavailable)
    assert complete(address, secrets, path)


def test_an_answer_of_the_provider_ends_the_question(sandbox: Sandbox, secrets: ClientSecrets, path: Path) -> None:
    address = ends_at(first(secrets, path).url)
    sandbox.fault("token", "oauth_error", error="invalid_grant")
    assert refused(address, secrets, path).reason == "CodeRejected"
    assert not waits(path).exists()

    address = ends_at(first(secrets, path).url, person.Wishes(leave_out=("calendar",)))
    assert refused(address, secrets, path).reason == "ConsentRefused"
    sandbox.settings(granted_scopes=["openid"])
    assert refused(ends_at(first(secrets, path).url), secrets, path).reason == "ScopesMissing"
    assert not waits(path).exists()


def test_the_account_is_remembered(sandbox: Sandbox, secrets: ClientSecrets, path: Path) -> None:
    inquiry = {"provider": "generic", "issuer": sandbox.url, "account": "ada@sandbox.invalid"}
    address = ends_at(first(secrets, path, inquiry=inquiry).url, person.Wishes(account="bob@sandbox.invalid"))
    assert refused(address, secrets, path).reason == "AccountMismatch"
    begun = first(secrets, path, inquiry=inquiry)
    assert complete(ends_at(begun.url), secrets, path).document.account == "ada@sandbox.invalid"


def test_another_writer_is_waited_for(secrets: ClientSecrets, path: Path) -> None:
    with DirectoryLock(path.parent).hold(1), pytest.raises(LockTimeout):
        first(secrets, path, lock_timeout=0.1)
    assert not waits(path).exists()


# -- the command


class Command:
    """Runs ``token-keeper consent`` as the helper container does, and keeps what it was told and what it said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said = ""

    def __call__(self, *arguments: str, text: Any) -> tuple[int, dict[str, Any]]:
        data = text if isinstance(text, bytes) else json.dumps(text).encode()
        command = [sys.executable, "-m", "token_keeper", "--path", str(self.path), "consent", *arguments, "--json"]
        done = subprocess.run(command, check=False, input=data, capture_output=True, timeout=60)
        self.said += done.stdout.decode() + done.stderr.decode()
        assert done.stderr == b""
        answer: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, answer


@pytest.fixture
def command(path: Path) -> Command:
    return Command(path)


def question(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    return {"client_secrets": sandbox.client_secrets(), "scopes": [CALENDAR], **more}


def on_disk(path: Path) -> TokenDocument:
    return TokenDocument.parse(path.read_bytes())


def test_both_runs(sandbox: Sandbox, secrets: ClientSecrets, path: Path, command: Command) -> None:
    code, begun = command("begin", text=question(sandbox, account="demo@sandbox.invalid"))
    assert code == 0
    assert begun.keys() == {
        "changed", "url", "redirect_uri", "expires_in", "expires_at", "generation", "scopes",
    }  # fmt: skip
    assert (begun["generation"], begun["expires_in"], begun["scopes"]) == (0, 600, [CALENDAR])
    verifier = json.loads(waits(path).read_text())["verifier"]
    address = ends_at(begun["url"])

    code, done = command(
        "complete", "--expect", "0", "--rotation", "no",
        text={"client_secrets": sandbox.client_secrets(), "answer": address},
    )  # fmt: skip
    assert code == 0
    assert (done["changed"], done["reason"], done["generation"], done["before"]) == (True, "Created", 1, None)
    assert done["after"]["account"] == "demo@sandbox.invalid"
    assert done["after"]["refresh_token_fingerprint"] == fingerprint(on_disk(path).refresh_token)
    assert (done["account"], len(done["warnings"])) == ("", 1), "it could not be told"
    assert done["grant_expires_in"] is None
    assert TokenStore(path).status().rotation == "no"
    assert not waits(path).exists()
    document = on_disk(path)
    spent = parse_qs(urlsplit(address).query)["code"][0]
    for secret in (verifier, spent, secrets.client_secret, document.token or "-", document.refresh_token):
        assert secret not in command.said


def test_the_generation_of_the_first_run_is_expected_by_itself(sandbox: Sandbox, path: Path, command: Command) -> None:
    TokenStore(path).replace(TokenDocument.from_mapping(sandbox.issue_token()))
    _, begun = command("begin", text=question(sandbox))
    assert begun["generation"] == 1
    answer = {"client_secrets": sandbox.client_secrets(), "answer": ends_at(begun["url"])}
    code, done = command("complete", text=answer)

    assert (code, done["reason"], done["generation"]) == (0, "Replaced", 2)


def test_a_faster_writer_costs_no_code(sandbox: Sandbox, path: Path, command: Command) -> None:
    _, begun = command("begin", text=question(sandbox))
    answer = {"client_secrets": sandbox.client_secrets(), "answer": ends_at(begun["url"])}
    other = TokenDocument.from_mapping(sandbox.issue_token())
    TokenStore(path).replace(other)

    exchanges = sandbox.counters()["exchanges"]
    code, error = command("complete", "--expect", "0", text=answer)
    assert (code, error["error"]["reason"]) == (11, "GenerationChanged")
    assert sandbox.counters()["exchanges"] == exchanges
    assert on_disk(path) == other
    code, done = command("complete", "--expect", "1", text=answer)
    assert (code, done["reason"]) == (0, "Replaced")


def test_a_renewal_meanwhile_is_no_other_document(sandbox: Sandbox, path: Path, command: Command) -> None:
    store = TokenStore(path)
    store.replace(TokenDocument.from_mapping(sandbox.issue_token()))
    _, begun = command("begin", text=question(sandbox))
    answer = {"client_secrets": sandbox.client_secrets(), "answer": ends_at(begun["url"])}
    store.refresh(force=True)

    assert command("complete", "--expect", "1", text=answer)[1]["error"]["reason"] == "GenerationChanged"
    code, done = command("complete", text=answer)
    assert (code, done["reason"], done["generation"]) == (0, "Replaced", 3)


def test_a_renewal_between_the_last_look_and_the_push(sandbox: Sandbox, path: Path) -> None:
    store = TokenStore(path)
    store.replace(TokenDocument.from_mapping(sandbox.issue_token()))
    seen = store.status()
    store.refresh(force=True)
    assert _push(store, TokenDocument.from_mapping(sandbox.issue_token()), seen).generation == 3

    with pytest.raises(Conflict):  # that was another grant
        _push(store, TokenDocument.from_mapping(sandbox.issue_token()), seen)


def test_a_busy_volume_costs_no_consent(secrets: ClientSecrets, path: Path) -> None:
    address = ends_at(first(secrets, path).url)
    with DirectoryLock(path.parent).hold(1):
        assert complete(address, secrets, path, lock_timeout=0.05).document.token
    assert refused(address, secrets, path).reason == "CodeRejected"
    assert not waits(path).exists()


def test_a_full_disk_costs_no_code(
    sandbox: Sandbox, secrets: ClientSecrets, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, exchanges = ends_at(first(secrets, path).url), sandbox.counters()["exchanges"]

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert refused(address, secrets, path).reason == "NoSpace"
    assert sandbox.counters()["exchanges"] == exchanges
    assert [file.name for file in path.parent.iterdir()] == [waits(path).name]
    assert complete(address, secrets, path).document.token


def test_a_volume_that_can_not_be_written_costs_no_code(
    sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"client_secrets": sandbox.client_secrets(), "scopes": [CALENDAR]}
    begun = json.loads(CliRunner().invoke(main, ["--path", str(path), *BEGIN], input=json.dumps(answer)).stdout)
    monkeypatch.setattr(os, "access", lambda *_arguments, **_options: False)
    exchanges = sandbox.counters()["exchanges"]
    text = json.dumps({"client_secrets": sandbox.client_secrets(), "answer": ends_at(begun["url"])})
    done = CliRunner().invoke(main, ["--path", str(path), "consent", "complete", "--json"], input=text)

    assert done.exit_code == 10
    assert json.loads(done.stdout)["error"]["reason"] == "NotWritable"
    assert sandbox.counters()["exchanges"] == exchanges
    assert waits(path).exists()


def test_typed_errors(sandbox: Sandbox, path: Path, command: Command) -> None:
    answer = {"client_secrets": sandbox.client_secrets(), "answer": "code=canary-code&state=y"}
    code, error = command("complete", text=answer)
    assert (code, error["error"]["type"], error["error"]["reason"]) == (12, "ConsentError", "ConsentNotBegun")
    command("begin", text=question(sandbox))
    assert command("complete", text=answer)[1]["error"]["reason"] == "StateMismatch"
    secrets = sandbox.client_secrets()
    secrets["installed"]["client_secret"] = "canary-other"
    assert command("complete", text={**answer, "client_secrets": secrets})[1]["error"]["reason"] == "ClientChanged"
    assert "canary" not in command.said


@pytest.mark.parametrize(
    "text",
    [
        b"", b"canary", b"[]", {}, {"client_secrets": 7}, {"client_secrets": "canary"}, {"canary_secret": "x"},
        {"scopes": 7}, {"scopes": []}, {"scopes": [7]}, {"provider": 7}, {"allow_http": "canary"}, {"issuer": 7},
        {"extra_params": ["canary"]}, {"extra_params": {"state": "canary"}}, {"redirect_port": 70_000},
        {"redirect_port": True}, {"provider": {"canari": "x"}}, {"provider": "canari"},
    ],
)  # fmt: skip
def test_questions_that_are_none(sandbox: Sandbox, path: Path, command: Command, text: Any) -> None:
    if isinstance(text, dict) and text and "client_secrets" not in text:
        text = question(sandbox, **text)
    code, answer = command("begin", text=text)

    assert code == 12
    assert answer["error"]["remedy"]
    assert "canary-" not in command.said
    assert list(path.parent.iterdir()) == []


def test_answers_that_are_none(sandbox: Sandbox, command: Command) -> None:
    for text in ({"client_secrets": sandbox.client_secrets()}, {"answer": "x"}, {"code": "canary-code"}):
        assert command("complete", text=text)[0] == 12
    assert "canary-code" not in command.said


def test_it_needs_nothing_that_the_keepers_image_lacks() -> None:
    program = (
        "import sys\n"
        "for name in ('google_auth_oauthlib', 'oauthlib', 'requests_oauthlib', 'jinja2'): sys.modules[name] = None\n"
        "from token_keeper.consent import Inquiry, ClientSecrets\n"
        "print(Inquiry.prepare(ClientSecrets('i', 's'), ['c']).request('http://127.0.0.1:8085/').url)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
