"""The command: every verb, every exit code, both forms of output, and no secret in any of them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from keeper_parts import expired, make_old, on_disk, push, renewed, tree
from keeper_provider import Provider

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.cli import main
from token_keeper.lock import DirectoryLock


def run(path: Path | str, *arguments: str, text: str | bytes | None = None, **options: Any) -> Result:
    return CliRunner().invoke(main, ["--path", str(path), *arguments], input=text, catch_exceptions=False, **options)


def run_json(path: Path | str, *arguments: str, text: str | bytes | None = None) -> tuple[int, dict[str, Any]]:
    result = run(path, *arguments, "--json", text=text)
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1, "one object, one line"
    answer: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, answer


def secrets_of(*documents: TokenDocument) -> list[str]:
    return [s for d in documents for s in (d.token or "-", d.refresh_token, d.client_secret, d.client_id)]


def says_nothing_of(result: Result, *documents: TokenDocument) -> None:
    for secret in secrets_of(*documents):
        assert secret not in result.output + result.stderr


def test_status_of_an_empty_volume_is_an_answer(path: Path) -> None:
    code, answer = run_json(path, "status")
    assert code == 0
    assert answer["document"]["state"] == "missing"
    assert answer["document"]["reason"] == "NoDocument"
    assert (answer["generation"], answer["healthy"], answer["grant"]) == (0, False, None)
    assert answer["volume"]["mode"] == "0700"
    assert answer["volume"]["writable"] is True
    assert list(path.parent.iterdir()) == []


def test_push_show_status_verify_refresh_clear(path: Path, provider: Provider) -> None:
    document = provider.grant()
    code, pushed = run_json(path, "push", text=document.to_json())
    assert code == 0
    assert (pushed["changed"], pushed["reason"], pushed["generation"], pushed["before"]) == (True, "Created", 1, None)
    assert pushed["after"]["refresh_token_fingerprint"] == fingerprint(document.refresh_token)

    code, shown = run_json(path, "show")
    assert (code, shown["state"], shown["generation"]) == (0, "sound", 1)
    assert shown["content_fingerprint"] == fingerprint(path.read_bytes())
    assert shown["mode"] == "0600"

    code, status = run_json(path, "status")
    assert (code, status["healthy"], status["generation"]) == (0, True, 1)
    assert {condition["type"] for condition in status["conditions"]} == {"Ready", "Refreshing", "ReauthRequired"}

    code, verified = run_json(path, "verify")
    assert (code, verified["valid"], verified["generation"]) == (0, True, 1)
    assert provider.forms == []

    code, refreshed = run_json(path, "refresh")
    assert (code, refreshed["changed"], refreshed["exchanged"]) == (0, False, False)
    code, refreshed = run_json(path, "refresh", "--force")
    assert (code, refreshed["changed"], refreshed["generation"], refreshed["exchanges"]) == (0, True, 2, 1)
    assert refreshed["before"]["fingerprint"] == document.fingerprint
    assert refreshed["after"]["fingerprint"] == on_disk(path).fingerprint

    code, cleared = run_json(path, "clear", "--reason", "Maintenance")
    assert (code, cleared["changed"]) == (0, True)
    code, cleared = run_json(path, "clear")
    assert (code, cleared["changed"], cleared["before"]) == (0, False, None)


def test_the_human_form_is_a_table_without_secrets(path: Path, provider: Provider) -> None:
    document = provider.grant()
    for arguments, text in (
        (["push"], document.to_json()), (["show"], None), (["status"], None), (["verify"], None),
        (["refresh", "--force"], None), (["clear", "--dry-run"], None),
    ):  # fmt: skip
        result = run(path, *arguments, text=text)
        assert result.exit_code == 0
        assert result.stderr == ""
        assert all("  " in line for line in result.stdout.splitlines())
        says_nothing_of(result, document, on_disk(path))


def test_no_secret_is_said_by_anything_that_fails(path: Path, provider: Provider) -> None:
    document, other = provider.grant(), provider.grant()
    push(TokenStore(path), expired(document))
    provider.script.extend(["echo", "fault", "html"])
    for arguments, text in (
        (["push"], other.to_json()), (["push"], other.to_json()[:-1]), (["push", "--expect", "7"], other.to_json()),
        (["verify"], None), (["refresh", "--force"], None), (["refresh", "--force"], None), (["show"], None),
    ):  # fmt: skip
        for form in ([], ["--json"]):
            says_nothing_of(run(path, *arguments, *form, text=text), document, other)


def failing(path: Path, code: int, kind: str, reason: str, *arguments: str, text: str | bytes | None = None) -> None:
    before = {name: facts[-1] for name, facts in tree(path.parent).items()} if path.parent.is_dir() else {}
    got, answer = run_json(path, *arguments, text=text)
    error = answer["error"]
    assert (got, error["type"], error["reason"]) == (code, kind, reason)
    assert set(error) == {"type", "reason", "message", "remedy"}
    assert error["message"]
    human = run(path, *arguments, text=text)
    assert human.exit_code == code
    assert human.stdout == ""
    assert human.stderr.startswith("error: ")
    if path.parent.is_dir():
        after = {name: facts[-1] for name, facts in tree(path.parent).items()}
        assert {n: f for n, f in after.items() if n.endswith("/token.json")} == {
            n: f for n, f in before.items() if n.endswith("/token.json")
        }


def test_exit_3_missing(path: Path, provider: Provider) -> None:
    for verb in ("show", "verify", "refresh"):
        failing(path, 3, "TokenMissing", "NoDocument", verb)
    TokenStore(path).replace(provider.grant())
    TokenStore(path).clear("Revoked")
    for verb in ("show", "verify", "refresh"):
        failing(path, 5, "ReauthRequired", "Revoked", verb)


def test_exit_4_corrupt(path: Path) -> None:
    path.write_text("{")
    make_old(path)
    for verb in ("show", "verify", "refresh"):
        failing(path, 4, "TokenCorrupt", "NotJSON", verb)
    code, status = run_json(path, "status")
    assert (code, status["document"]["state"], status["document"]["reason"]) == (0, "corrupt", "NotJSON")
    path.unlink()
    path.mkdir()
    failing(path, 4, "TokenCorrupt", "NotAFile", "show")
    assert run_json(path, "status")[1]["document"]["reason"] == "NotAFile"


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"", "Empty"), (b"{", "NotJSON"), (b"[]", "NotAnObject"), (b"{}", "FieldMissing"), (b"x" * 99_999, "TooLarge"),
     (b"\xff\x00", "NotJSON")],
)  # fmt: skip
def test_exit_4_for_what_is_no_document_on_stdin(path: Path, text: bytes, reason: str) -> None:
    failing(path, 4, "TokenCorrupt", reason, "push", text=text)
    assert list(path.parent.iterdir()) == []


def test_exit_5_reauth(path: Path, provider: Provider) -> None:
    push(TokenStore(path), expired(provider.grant()))
    provider.live.clear()
    failing(path, 5, "ReauthRequired", "InvalidGrant", "verify")
    failing(path, 5, "ReauthRequired", "InvalidGrant", "refresh")


def test_exit_5_when_the_grant_is_dead_although_the_token_lives(path: Path, provider: Provider) -> None:
    push(TokenStore(path), provider.grant())
    provider.live.clear()
    failing(path, 5, "ReauthRequired", "InvalidGrant", "refresh", "--force")
    failing(path, 5, "ReauthRequired", "InvalidGrant", "verify")


def test_exit_6_client_and_7_policy(path: Path, provider: Provider) -> None:
    push(TokenStore(path), expired(dataclasses.replace(provider.grant(), client_secret="wrong")))
    failing(path, 6, "ClientRejected", "InvalidClient", "refresh", "--force")
    provider.script.extend(["policy", "policy"])
    failing(path, 7, "PolicyDenied", "AdminPolicyEnforced", "refresh", "--force")


def test_exit_8_provider(path: Path, provider: Provider) -> None:
    push(TokenStore(path), expired(provider.grant()), rotation="no")
    provider.script.extend(["fault", "fault"])
    failing(path, 8, "ProviderUnavailable", "Status500", "refresh", "--force")
    failing(path, 8, "ProviderUnavailable", "BackOff", "verify")


def test_exit_9_lock(path: Path, provider: Provider) -> None:
    TokenStore(path).replace(provider.grant())
    with DirectoryLock(path.parent).hold(1):
        for verb in (["refresh", "--force"], ["clear"], ["push"]):
            arguments = ["--path", str(path), "--lock-timeout", "0.1", *verb, "--json"]
            result = CliRunner().invoke(main, arguments, input=provider.grant().to_json())
            assert result.exit_code == 9
            assert json.loads(result.stdout)["error"]["type"] == "LockTimeout"
        assert run(path, "verify").exit_code == 0, "a valid token needs no lock"


def test_exit_10_storage(tmp_path: Path, provider: Provider) -> None:
    (tmp_path / "file").write_text("x")
    for where, reason in ((tmp_path / "absent" / "token.json", "NoVolume"), (tmp_path / "file" / "t", "NotADirectory")):
        for verb in ("status", "show", "refresh", "verify"):
            failing(where, 10, "StorageError", reason, verb)
        failing(where, 10, "StorageError", reason, "push", text=provider.grant().to_json())


def test_exit_11_conflict(path: Path, provider: Provider) -> None:
    TokenStore(path).replace(provider.grant())
    failing(path, 11, "Conflict", "DifferentGrant", "push", text=provider.grant().to_json())
    failing(path, 11, "Conflict", "GenerationChanged", "push", "--expect", "5", text=provider.grant().to_json())


def test_exit_1_for_what_nobody_foresaw(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(self: TokenStore) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(TokenStore, "status", fault)
    code, answer = run_json(path, "status")
    assert (code, answer["error"]["reason"]) == (1, "Internal")
    assert "canary" not in json.dumps(answer)
    assert "RuntimeError" in answer["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"], ["push", "--expect", "x"], ["push", "--expires-in", "nan"], ["push", "--expires-in", "inf"],
        ["push", "--expires-in", "1e99"], ["push", "--rotation", "perhaps"], ["push", "--reuse-grace", "-1"],
        ["verify", "--min-valid", "nan"], ["clear", "--reason", "two words"], ["clear", "--reason", ""],
        ["init-volume", "--uid", "999"], ["init-volume", "--uid", "-1", "--gid", "0"],
        ["init-volume", "--uid", "1", "--gid", "1", "--mode", "0777"],
        ["init-volume", "--uid", "1", "--gid", "1", "--mode", "8"],
        ["init-volume", "--uid", "1", "--gid", "1", "--mode", "0600"], ["show", "extra"],
    ],
)  # fmt: skip
def test_exit_2_usage(path: Path, arguments: list[str]) -> None:
    assert run(path, *arguments, text="").exit_code == 2
    assert list(path.parent.iterdir()) == []


def test_verify_renews_what_does_not_live_long_enough(path: Path, provider: Provider) -> None:
    TokenStore(path).replace(provider.grant(expires_in=1500))
    code, answer = run_json(path, "verify", "--min-valid", "3000")
    assert code == 0
    assert answer["expires_in"] > 3000
    assert provider.exchanges == 1
    code, answer = run_json(path, "verify", "--min-valid", "9000")
    assert (code, answer["error"]["reason"]) == (8, "ShortLived")


def test_push_options_reach_the_store(path: Path, provider: Provider) -> None:
    document = provider.grant(expires_in=-99_999)
    options = ["--expires-in", "3000", "--rotation", "yes", "--reuse-grace", "20", "--expect", "0"]
    code, pushed = run_json(path, "push", *options, text=document.to_json())
    assert (code, pushed["changed"]) == (0, True)
    assert 2990 < pushed["after"]["expires_in"] <= 3000
    status = run_json(path, "status")[1]
    assert (status["rotation"], status["reuse_grace"]) == ("yes", 20.0)
    other = provider.grant()
    code, forced = run_json(path, "push", "--force", text=other.to_json())
    assert (code, forced["reason"], forced["generation"]) == (0, "Replaced", 2)


@pytest.mark.parametrize(
    "arguments", [["push", "--dry-run"], ["push", "--dry-run", "--force"], ["clear", "--dry-run"], ["status"], ["show"]]
)
def test_what_only_looks_changes_nothing(path: Path, provider: Provider, arguments: list[str]) -> None:
    document = provider.grant(expires_in=600)
    TokenStore(path).replace(document)
    path.chmod(0o640)
    path.write_text(renewed(document, "by a foreign hand").to_json())
    newer = renewed(document, "newer", seconds=7000)
    before = tree(path.parent)
    code, _ = run_json(path, *arguments, text=newer.to_json())
    assert code == 0
    assert tree(path.parent) == before


def test_a_dry_run_works_on_an_empty_volume(path: Path, provider: Provider) -> None:
    code, answer = run_json(path, "push", "--dry-run", text=provider.grant().to_json())
    assert (code, answer["changed"], answer["reason"], answer["generation"]) == (0, True, "Created", 1)
    assert list(path.parent.iterdir()) == []


def test_the_path_may_come_from_the_environment_and_may_be_relative(
    path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenStore(path).replace(provider.grant())
    for arguments, variables, folder in (
        (["show", "--json"], {"TOKEN_KEEPER_PATH": str(path)}, "/"),
        (["--path", "token.json", "show", "--json"], {}, str(path.parent)),
        (["--path", f"{path.parent}/../tokens/token.json", "show", "--json"], {}, "/"),
    ):
        monkeypatch.chdir(folder)
        result = CliRunner().invoke(main, arguments, env=variables)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("where", ["/", "/dev/zero", "/dev/zero/t.json", "/proc/self/t.json", "x" * 300, "", "."])
def test_odd_paths_end_in_a_typed_error(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is pushed here: whatever goes wrong, these are not the test's own files."""
    monkeypatch.chdir(tmp_path)
    for verb in ("show", "status"):
        result = run(where, verb, "--json")
        answer = json.loads(result.stdout)
        assert result.exit_code in (0, 3, 4, 10), answer
    assert list(tmp_path.iterdir()) == []


def test_several_documents_share_a_volume(path: Path, provider: Provider) -> None:
    other = path.with_name("mail.json")
    for where in (path, other):
        assert run(where, "push", text=provider.grant().to_json()).exit_code == 0
    assert on_disk(path) != on_disk(other)
    assert run_json(path, "status")[1]["generation"] == run_json(other, "status")[1]["generation"] == 1


def command(path: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "token_keeper", "--path", str(path), *arguments],
        capture_output=True, check=False, timeout=30, **options,
    )  # fmt: skip


def test_a_process_with_its_stdin_closed_says_that_the_document_is_empty(path: Path) -> None:
    read_only_shell = f"exec {sys.executable} -m token_keeper --path {path} push --json <&-"
    done = subprocess.run(["/bin/sh", "-c", read_only_shell], capture_output=True, check=False, timeout=30)
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"]["reason"] == "Empty"


def test_a_secret_on_stdin_is_in_no_argument_and_no_traceback(path: Path, provider: Provider) -> None:
    document = provider.grant()
    done = command(path, "push", input=document.to_json().encode())
    assert done.returncode == 0
    for secret in secrets_of(document):
        assert secret.encode() not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def test_reading_does_not_import_what_only_an_exchange_needs(path: Path, provider: Provider) -> None:
    TokenStore(path).replace(provider.grant())
    code = (
        "import sys\nfrom token_keeper.cli import main\n"
        f"sys.argv = ['token-keeper', '--path', {str(path)!r}, 'show', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "slow = {'google.auth', 'requests', 'urllib3', 'google.oauth2'} & set(sys.modules)\n"
        "sys.exit(1 if slow else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30, stdout=-3).returncode == 0


def test_a_reader_that_hangs_up_ends_the_command_quietly(path: Path, provider: Provider) -> None:
    TokenStore(path).replace(provider.grant())
    read_end, write_end = os.pipe()
    os.close(read_end)
    with subprocess.Popen(
        [sys.executable, "-m", "token_keeper", "--path", str(path), "status"], stdout=write_end, stderr=subprocess.PIPE
    ) as process:
        os.close(write_end)
        assert b"Traceback" not in process.communicate(timeout=30)[1]
