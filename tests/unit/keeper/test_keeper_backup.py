"""A backup and the way back: on the same volume and on another one, and what it never does by accident."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from keeper_parts import edit_state, events_of, expired, on_disk, renewed, state_of, tree, write_in_place
from keeper_provider import Provider

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.backup import Backup
from token_keeper.cli import main
from token_keeper.errors import BackupError, Conflict, ReauthRequired, TokenMissing
from token_keeper.report import ReplaceOutcome
from token_keeper.vaulttext import decrypt, encrypt

PASSWORD = b"correct horse"


@pytest.fixture
def other(tmp_path: Path) -> TokenStore:
    """A store on a volume that nobody has touched."""
    volume = tmp_path / "other"
    volume.mkdir(mode=0o700)
    return TokenStore(volume / "token.json", service="test", lock_timeout=5.0, exchange_deadline=2.0)


def went(outcome: ReplaceOutcome) -> tuple[bool, str]:
    return outcome.changed, outcome.reason


def refused(store: TokenStore, backup: Backup, reason: str) -> None:
    before = tree(store.path.parent)
    with pytest.raises(Conflict) as caught:
        store.restore(backup)
    assert caught.value.reason == reason
    assert caught.value.remedy
    for secret in (backup.document.refresh_token, backup.document.client_id, backup.document.client_secret):
        assert secret not in str(caught.value)
    assert tree(store.path.parent) == before, "a conflict changes nothing"
    with pytest.raises(Conflict):
        store.restore(backup, dry_run=True)


def no_way_back(store: TokenStore, rotating: Provider) -> None:
    requests = len(rotating.forms)
    with pytest.raises(Conflict) as caught:
        store.rollback()  # to a refresh token that this very grant has spent
    assert caught.value.reason == "NoEarlierGrant"
    assert len(rotating.forms) == requests, "a spent one that is sent can end the grant"


def rotated(store: TokenStore, rotating: Provider) -> tuple[Backup, TokenDocument]:
    """A backup, and the document after the provider has given another refresh token."""
    store.replace(rotating.grant(), rotation="yes")
    backup = store.backup()
    store.refresh(force=True)
    current = store.read()
    assert current.refresh_token != backup.document.refresh_token
    return backup, current


# -- taking


def test_a_backup_holds_the_document_and_its_lineage(store: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document, rotation="no", reuse_grace=3.0, publishing="testing")
    before = tree(store.path.parent)
    backup = store.backup(host="demo", volume="tokens")
    assert tree(store.path.parent) == before, "the volume stays as it is"
    state = state_of(store.path)
    assert backup.document == document
    assert (backup.host, backup.volume, backup.file) == ("demo", "tokens", "token.json")
    assert (backup.generation, backup.grant, backup.granted_at) == (1, state.grant, state.granted_at)
    assert (backup.rotation, backup.reuse_grace, backup.publishing) == ("no", 3.0, "testing")
    told = json.loads(backup.to_json())
    assert (told["format"], told["version"]) == ("token-keeper-backup", 1)
    assert told["fingerprints"]["refresh_token"] == fingerprint(document.refresh_token)
    again = Backup.parse(backup.to_json().encode())
    assert again == dataclasses.replace(backup, taken_at=float(int(backup.taken_at)))


def test_what_a_foreign_program_wrote_is_judged_first(store: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document)
    write_in_place(store.path, dataclasses.replace(document, client_secret=""))
    assert store.backup().document == document, "the sound document is backed up, not what is there"


def test_without_a_document_there_is_no_backup(store: TokenStore, provider: Provider) -> None:
    with pytest.raises(TokenMissing):
        store.backup()
    store.replace(provider.grant())
    store.revoke(None)
    with pytest.raises(ReauthRequired):
        store.backup()


# -- reading


def altered(backup: Backup, **changes: Any) -> bytes:
    return json.dumps({**json.loads(backup.to_json()), **changes}).encode()


def test_what_is_no_backup_is_said_so(store: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document)
    backup = store.backup()
    for data, reason in [
        (b"", "NotABackup"),
        (b"[]", "NotABackup"),
        (document.to_json().encode(), "NotABackup"),
        (altered(backup, version="1"), "NotABackup"),
        (altered(backup, document={"token": "x"}), "NotABackup"),
        (altered(backup, generation=-1), "NotABackup"),
        (altered(backup, superseded=["../x"]), "NotABackup"),
        (altered(backup, superseded="ab"), "NotABackup"),
        (altered(backup, grant={"name": "../../x", "granted_at": None, "expiry": None}), "NotABackup"),
        (altered(backup, provider={"rotation": "maybe", "reuse_grace": 0, "publishing": "unknown"}), "NotABackup"),
        (altered(backup, fingerprints={}), "Altered"),
        (altered(backup, document=json.loads(provider.grant().to_json())), "Altered"),
        (altered(backup, version=2), "NewerFormat"),
    ]:
        with pytest.raises(BackupError) as caught:
            Backup.parse(data)
        assert caught.value.reason == reason, data
        assert document.refresh_token not in str(caught.value)


@settings(max_examples=60)
@given(
    host=st.text(st.characters(categories=["L", "N", "P"]), max_size=20),
    generation=st.integers(0, 10**9),
    superseded=st.lists(st.text("0123456789abcdef", min_size=16, max_size=16), max_size=5),
    times=st.none() | st.integers(0, 4 * 10**9).map(float),
    grace=st.floats(0, 1e6),
    password=st.binary(min_size=1, max_size=40).map(bytes.strip).filter(bool),
    label=st.none() | st.just("prod"),
)
def test_every_backup_comes_back_as_it_was(
    host: str,
    generation: int,
    superseded: list[str],
    times: float | None,
    grace: float,
    password: bytes,
    label: str | None,
) -> None:
    document = TokenDocument(
        "a", "r", "https://provider.example/token", "c", "s", scopes=("x",), account="é@example.com"
    )
    backup = Backup(
        document,
        1.0,
        host,
        "v",
        "token.json",
        generation,
        "0" * 16,
        times,
        times,
        (*superseded,),
        "no",
        grace,
        "unknown",
    )
    text = encrypt(backup.to_json().encode(), password, label).encode()
    assert Backup.parse(decrypt(text, password)) == backup
    assert Backup.parse(VaultLib([("x", VaultSecret(password))]).decrypt(text)) == backup


# -- the way back


def test_on_another_volume_the_lineage_goes_on(
    store: TokenStore, other: TokenStore, rotating: Provider, provider: Provider
) -> None:
    first, current = rotated(store, rotating)
    backup = store.backup()
    outcome = other.restore(backup)
    assert went(outcome) == (True, "Created")
    assert other.read() == current
    state = state_of(other.path)
    assert outcome.generation == state.generation == backup.generation + 1
    assert (state.grant, state.granted_at) == (backup.grant, backup.granted_at)
    assert state.rotation == "yes"
    assert fingerprint(first.document.refresh_token) in state.superseded
    assert events_of(other.path)[-1] == "Restored"
    before = tree(other.path.parent)
    assert went(other.restore(backup)) == (False, "Unchanged")
    assert went(other.restore(backup, force=True)) == (False, "Unchanged")
    assert tree(other.path.parent) == before
    refused(other, first, "RotatedAway")


def test_a_dry_run_says_the_same_and_writes_nothing(store: TokenStore, other: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    backup = store.backup()
    said = other.restore(backup, dry_run=True)
    assert list(other.path.parent.iterdir()) == []
    real = other.restore(backup)
    assert went(said) == went(real)
    assert said.generation == real.generation


def test_a_newer_access_token_stays_even_if_it_is_forced(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    backup = store.backup()
    store.replace(renewed(backup.document, "newer", seconds=7000))
    for force in (False, True):
        assert went(store.restore(backup, force=force)) == (False, "NewerThere")
    assert store.read().token == "newer"


def test_a_newer_backup_of_the_same_grant_goes_in(store: TokenStore, other: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document)
    other.replace(expired(document))
    grant = state_of(other.path).grant
    assert went(other.restore(store.backup())) == (True, "Replaced")
    assert state_of(other.path).grant == grant, "it is the same grant, under the name that it has there"


def test_what_was_rotated_away_comes_back_by_force_alone(store: TokenStore, rotating: Provider) -> None:
    backup, current = rotated(store, rotating)
    grant = state_of(store.path).grant
    refused(store, backup, "RotatedAway")
    assert went(store.restore(backup, force=True)) == (True, "Replaced")
    assert store.read() == backup.document
    state = state_of(store.path)
    assert fingerprint(backup.document.refresh_token) not in state.superseded
    assert fingerprint(current.refresh_token) in state.superseded
    assert state.grant != grant, "the grant that was there keeps its name, and its last document"
    assert store.rollback(grant).exchanged, "and can be gone back to"
    assert went(store.restore(store.backup())) == (False, "Unchanged")


def test_a_grant_that_has_gone_on_is_known_by_its_name_too(store: TokenStore, rotating: Provider) -> None:
    backup, _ = rotated(store, rotating)
    edit_state(store.path, superseded=[])  # as after 500 rotations
    refused(store, backup, "RotatedAway")
    store.clear()
    refused(store, backup, "RotatedAway")


def test_a_backup_that_comes_after_what_is_there_goes_in(
    store: TokenStore, other: TokenStore, rotating: Provider
) -> None:
    first, current = rotated(store, rotating)
    other.restore(first)  # a host that was itself restored from an earlier one
    before = state_of(other.path)
    assert went(other.restore(store.backup())) == (True, "Replaced")
    assert other.read() == current
    no_way_back(other, rotating)
    state = state_of(other.path)
    assert (state.grant, state.granted_at) == (before.grant, before.granted_at), "it is the same grant, further on"


def test_an_earlier_grant_that_has_gone_on_elsewhere_takes_its_old_place(
    store: TokenStore, other: TokenStore, rotating: Provider
) -> None:
    first, current = rotated(store, rotating)
    other.restore(first)
    newer = rotating.grant()
    other.replace(newer, force=True)
    rotating.live.discard(newer.refresh_token)
    assert went(other.restore(store.backup(), force=True)) == (True, "Replaced")
    assert state_of(other.path).grant == first.grant
    with pytest.raises(ReauthRequired):
        other.rollback()
    assert first.document.refresh_token not in {form["refresh_token"] for form in rotating.forms[1:]}
    assert other.read() == current


def test_somebody_elses_token_is_replaced_by_force_alone(
    store: TokenStore, other: TokenStore, provider: Provider
) -> None:
    document = dataclasses.replace(provider.grant(), account="a@example.com")
    store.replace(document)
    backup = store.backup()
    for change, reason in [
        ({"account": "b@example.com", "refresh_token": "x"}, "DifferentAccount"),
        ({"client_id": "another", "refresh_token": "x"}, "DifferentClient"),
        ({"refresh_token": "x"}, "DifferentGrant"),
        ({"account": "", "refresh_token": "y"}, "DifferentGrant"),
        ({"client_secret": "rotated"}, "DifferentGrant"),
    ]:
        other.replace(dataclasses.replace(document, **change), force=True)
        refused(other, backup, reason)
    assert went(other.restore(backup, force=True)) == (True, "Replaced")
    assert other.read() == document


def test_a_dead_grant_is_replaced(store: TokenStore, other: TokenStore, provider: Provider) -> None:
    other.replace(provider.grant())
    dead = other.read()
    edit_state(other.path, dead_grant=dead.grant_fingerprint)
    store.replace(provider.grant())
    assert went(other.restore(store.backup())) == (True, "Replaced")


def test_what_was_cleared_comes_back_under_its_own_name(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    backup = store.backup()
    store.clear()
    outcome = store.restore(backup)
    assert went(outcome) == (True, "Created")
    assert state_of(store.path).grant == backup.grant
    assert store.access_token() == backup.document.token


def test_what_was_revoked_comes_back_by_force_alone(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    backup = store.backup()
    store.revoke(None)
    refused(store, backup, "Revoked")
    assert went(store.restore(backup, force=True)) == (True, "Created")


def test_a_corrupt_document_is_replaced(other: TokenStore, store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    backup = store.backup()
    other.path.write_text("{ torn")
    assert went(other.restore(backup)) == (True, "Created")
    assert on_disk(other.path) == backup.document


def test_what_the_volume_was_told_of_the_provider_stays(
    store: TokenStore, other: TokenStore, provider: Provider
) -> None:
    store.replace(provider.grant(), rotation="yes", reuse_grace=9.0, publishing="testing")
    other.declare(rotation="no")
    other.restore(store.backup())
    state = state_of(other.path)
    assert (state.rotation, state.reuse_grace, state.publishing) == ("no", 0.0, "testing")


def test_a_foreign_write_of_what_the_backup_had_superseded_is_mended(
    store: TokenStore, other: TokenStore, rotating: Provider
) -> None:
    first, current = rotated(store, rotating)
    other.restore(store.backup())
    write_in_place(other.path, first.document)
    assert other.access_token() == current.token
    assert on_disk(other.path) == current


# -- the command


def run(path: Path, *arguments: str, text: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["--path", str(path), *arguments], input=text, catch_exceptions=False)


def test_the_command_prints_what_ansible_vault_opens(path: Path, other: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    TokenStore(path).replace(document)
    taken = run(path, "backup", "--vault-id=prod", "--host=demo", text=PASSWORD + b"\n")
    assert taken.exit_code == 0
    assert taken.stdout.startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    for secret in (document.refresh_token, document.client_secret, PASSWORD.decode()):
        assert secret not in taken.stdout
        assert secret.encode().hex() not in taken.stdout
    plain = VaultLib([("prod", VaultSecret(PASSWORD))]).decrypt(taken.stdout_bytes)
    assert Backup.parse(plain).document == document

    put_back = run(other.path, "restore", "--json", text=PASSWORD + b"\n" + taken.stdout_bytes)
    assert json.loads(put_back.stdout)["reason"] == "Created"
    assert document.refresh_token not in put_back.stdout
    assert (
        json.loads(run(other.path, "restore", "--json", text=PASSWORD + taken.stdout_bytes).stdout)["changed"] is False
    )
    assert json.loads(run(other.path, "restore", "--json", text=plain).stdout)["reason"] == "Unchanged"


@pytest.mark.parametrize("password", [b"{brace", b"{", b'{"a": 1}'])
def test_a_password_may_begin_as_json_does(path: Path, provider: Provider, password: bytes) -> None:
    TokenStore(path).replace(provider.grant())
    taken = run(path, "backup", text=password)
    for between in (b"\n", b""):
        put_back = run(path, "restore", "--json", text=password + between + taken.stdout_bytes)
        assert json.loads(put_back.stdout).get("reason") == "Unchanged", put_back.stdout


def test_the_command_tells_a_machine_what_it_took(path: Path, provider: Provider) -> None:
    document = provider.grant()
    TokenStore(path).replace(document)
    told = json.loads(run(path, "backup", "--json", "--volume=tokens", text=PASSWORD).stdout)
    assert (told["changed"], told["reason"], told["volume"], told["generation"]) == (True, "Taken", "tokens", 1)
    assert told["document"]["fingerprint"] == document.fingerprint
    assert decrypt(told["vault"].encode(), PASSWORD)
    again = json.loads(run(path, "backup", "--json", f"--known={document.fingerprint}", text=PASSWORD).stdout)
    assert (again["changed"], again["reason"], "vault" in again) == (False, "Unchanged", False)
    dry = json.loads(run(path, "backup", "--json", "--dry-run").stdout)
    assert (dry["changed"], "vault" in dry) == (True, False)


@pytest.mark.parametrize(
    ("verb", "text", "code", "reason"),
    [
        ("backup", b"", 13, "PasswordMissing"),
        ("restore", b"", 13, "NotABackup"),
        ("restore", b"{}", 13, "NotABackup"),
        ("restore", b"x" * 1_048_577, 13, "NotABackup"),
        ("restore", b"wrong\n" + encrypt(b"{}", PASSWORD).encode(), 13, "NotOpened"),
        ("restore", encrypt(b"{}", PASSWORD).encode(), 13, "PasswordMissing"),
        ("restore", PASSWORD + encrypt(b"{}", PASSWORD).encode(), 13, "NotABackup"),
        ("restore", PASSWORD + encrypt(b"{}", PASSWORD).encode()[:200], 13, "Torn"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(
    path: Path, provider: Provider, verb: str, text: bytes, code: int, reason: str
) -> None:
    TokenStore(path).replace(provider.grant())
    before = tree(path.parent)
    ended = run(path, verb, "--json", text=text)
    assert ended.exit_code == code
    error = json.loads(ended.stdout)["error"]
    assert (error["type"], error["reason"]) == ("BackupError", reason)
    assert error["remedy"]
    assert tree(path.parent) == before


# -- a document of the same account


def test_another_grant_of_the_same_account_may_be_pushed(store: TokenStore, provider: Provider) -> None:
    first = dataclasses.replace(provider.grant(), account="a@example.com")
    store.replace(first)
    second = dataclasses.replace(provider.grant(), account="A@example.com")
    with pytest.raises(Conflict):
        store.replace(second)
    assert went(store.replace(second, same_account=True)) == (True, "Replaced")
    assert went(store.replace(second, same_account=True)) == (False, "Unchanged")
    for document, reason in [
        (first, "Superseded"),
        (dataclasses.replace(second, account="b@example.com", refresh_token="x"), "DifferentAccount"),
        (dataclasses.replace(second, client_id="other", refresh_token="x"), "DifferentClient"),
    ]:
        with pytest.raises(Conflict) as caught:
            store.replace(document, same_account=True)
        assert caught.value.reason == reason
    edit_state(store.path, dead_grant=second.grant_fingerprint)  # a dead grant is still somebody's
    stranger = dataclasses.replace(second, account="b@example.com", refresh_token="x")
    with pytest.raises(Conflict) as caught:
        store.replace(stranger, same_account=True)
    assert caught.value.reason == "DifferentAccount"
    edit_state(store.path, dead_grant=None)
    older = second.with_expires_in(60, time.time())
    assert went(store.replace(dataclasses.replace(older, token="older"), same_account=True)) == (False, "NewerThere")
    assert store.read() == second
