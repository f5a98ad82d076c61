"""Backups on the controller: names, retention, what is opened, and what a way back refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.parsing.vault import VaultSecret  # type: ignore[import-untyped]
from ansible.plugins.loader import init_plugin_loader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from module_utils.token_keeper_helper import backing, backup_arguments
from module_utils.token_keeper_helper.backup_files import BackupFiles, on_controller
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.process import Completed
from module_utils.token_keeper_helper.vault_passwords import VaultPasswords
from plugins.action import token_document
from plugins.action.token_document import ActionModule as TokenDocumentAction
from pretended import ROOT, Docker

from token_keeper import TokenDocument, TokenStore
from token_keeper.cli import main
from token_keeper.vaulttext import encrypt

PASSWORD = b"correct horse"
PASSWORDS = VaultPasswords([("default", VaultSecret(PASSWORD))])
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
DOCUMENT = TokenDocument(
    "access-canary",
    "refresh-canary",
    "https://provider.example/token",
    "client",
    "secret-canary",
    ("calendar",),
    datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
    "a@example.com",
)


class Volume(Docker):
    """A docker command whose helpers are the real command on a real folder."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.store = TokenStore(path)
        self.has_volume()

    def __call__(self, argv: Any, stdin: bytes | None = None) -> Completed:
        """Run the command, where a helper would."""
        if "run" not in argv:
            return super().__call__(argv, stdin)
        self.calls.append((list(argv), stdin))
        verb = list(argv)[list(argv).index("keeper:1") + 2 :]
        done = CliRunner().invoke(main, ["--path", str(self.store.path), *verb], input=stdin, catch_exceptions=False)
        return Completed(done.exit_code, done.stdout, done.stderr)

    @property
    def helper(self) -> Any:
        """A helper that runs as the user of the tests."""
        return dataclasses.replace(super().helper, uid=os.getuid(), gid=os.getgid())


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """A volume with a document."""
    (tmp_path / "tokens").mkdir(mode=0o700)
    there = Volume(tmp_path / "tokens" / "token.json")
    there.store.replace(DOCUMENT)
    return there


@pytest.fixture
def files(tmp_path: Path) -> BackupFiles:
    """Where its backups go."""
    return BackupFiles(tmp_path / "home" / "backups", "demo", "tokens", "token.json")


def take(volume: Volume, files: BackupFiles, passwords: VaultPasswords = PASSWORDS, **options: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"keep": 3, "always": False, "check_mode": False, **options}
    return backing.taken(volume.helper, files, passwords, **wanted)


def restore(volume: Volume, files: BackupFiles, name: str = "", **options: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"host": "demo", "force": False, "check_mode": False, **options}
    return backing.restored(volume.helper, "0700", backing.to_restore(files, name, PASSWORDS), **wanted)


def failed(work: Callable[[], Any]) -> ModuleFailure:
    # Ansible's plugins have the class under the name that Ansible gives it
    with pytest.raises((ModuleFailure, token_document.ModuleFailure)) as caught:
        work()
    assert caught.value.remedy
    assert "canary" not in str(caught.value)
    return caught.value


def renew(volume: Volume, token: str) -> None:
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2, seconds=len(token))
    volume.store.replace(dataclasses.replace(DOCUMENT, token=token, expiry=later), force=True)


# -- names


def test_a_name_tells_host_document_and_time(files: BackupFiles) -> None:
    assert files.name(NOON) == "demo+tokens+token.json+20261126T120000Z.vault"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@example(("-", "0", "0"), ("%2D", "0", "0"))
@given(st.tuples(TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_no_two_documents_share_a_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    names = [BackupFiles(Path(), *each).name(NOON) for each in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    assert "/" not in names[0]
    assert not names[0].startswith("-")


# -- taking


def test_a_backup_is_a_file_that_its_owner_alone_reads(volume: Volume, files: BackupFiles) -> None:
    told = take(volume, files)
    assert (told["changed"], told["reason"], told["kept"], told["warnings"]) == (True, "Taken", 1, [])
    path = Path(told["path"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert [entry.name for entry in files.folder.iterdir()] == [path.name], "nothing else is left there"
    assert "canary" not in json.dumps(told)
    argv = [word for call, _ in volume.calls for word in call]
    assert not [word for word in argv if PASSWORD.decode() in word], "the password goes in on stdin"


def test_nothing_changed_is_no_new_file(volume: Volume, files: BackupFiles) -> None:
    first = take(volume, files)
    again = take(volume, files)
    assert (again["changed"], again["reason"], again["path"]) == (False, "Unchanged", first["path"])
    always = take(volume, files, always=True)
    assert (always["changed"], always["kept"]) == (True, 2)
    renew(volume, "renewed")
    assert take(volume, files)["reason"] == "Taken"


def test_check_mode_says_what_would_be(volume: Volume, files: BackupFiles) -> None:
    told = take(volume, files, check_mode=True)
    assert (told["changed"], told["path"]) == (True, None)
    assert not files.folder.exists()
    for number in range(3):
        take(volume, files, always=True)
        assert len(files.all()) == number + 1
    renew(volume, "renewed")
    said = take(volume, files, check_mode=True)
    assert (said["changed"], len(said["removed"]), said["kept"]) == (True, 1, 3)
    assert len(files.all()) == 3
    real = take(volume, files)
    assert [real[name] for name in ("changed", "removed", "kept")] == [
        said[name] for name in ("changed", "removed", "kept")
    ]


def test_so_many_stay_and_nothing_else_goes(volume: Volume, files: BackupFiles) -> None:
    files.folder.mkdir(parents=True, mode=0o700)
    others = [
        "demo+tokens+token.json+20200101T000000Z.vault.txt",
        "demo+tokens+token.json+20200101T000000.vault",
        "demo+tokens+other.json+20200101T000000Z.vault",
        "host+tokens+token.json+20200101T000000Z.vault",
        "notes.txt",
    ]
    for name in others:
        (files.folder / name).write_text("mine")
    made = [take(volume, files, always=True)["path"] for _ in range(5)]
    assert [str(path) for path in files.all()] == sorted(made[2:], reverse=True)
    assert all((files.folder / name).read_text() == "mine" for name in others)


def test_fewer_are_kept_at_once(volume: Volume, files: BackupFiles) -> None:
    for _ in range(3):
        take(volume, files, always=True)
    told = take(volume, files, keep=1)
    assert (told["changed"], told["reason"], len(told["removed"]), told["kept"]) == (True, "Unchanged", 2, 1)
    assert take(volume, files, keep=1)["changed"] is False


def test_what_does_not_open_is_no_backup(volume: Volume, files: BackupFiles) -> None:
    good = take(volume, files)["path"]
    for number, text in enumerate([b"torn", encrypt(b"{}", b"another").encode(), encrypt(b"{}", PASSWORD).encode()]):
        (files.folder / files.name(datetime.now(UTC) + timedelta(minutes=number + 1))).write_bytes(text)
    told = take(volume, files, keep=2)
    assert told["reason"] == "Taken", "the newest one is none"
    assert (told["kept"], told["removed"]) == (2, [])
    assert "3 files" in told["warnings"][0]
    assert len(files.all()) == 5
    assert Path(good).exists()


def test_one_that_cannot_be_read_back_ends_the_work_before_any_goes(
    volume: Volume, files: BackupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        take(volume, files, always=True)
    before = files.all()
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"what a bad disk gives back")
    assert failed(lambda: take(volume, files, always=True)).reason == "NotAVault"
    monkeypatch.undo()
    assert files.all() == before
    assert len(list(files.folder.iterdir())) == 3, "nor is a draft left"


def test_two_in_one_second_have_two_names(files: BackupFiles) -> None:
    paths = [files.write(str(number), NOON, lambda _text, _where: None) for number in range(3)]
    assert [path.name for path in paths] == [files.name(NOON + timedelta(seconds=late)) for late in range(3)]
    assert [path.read_text() for path in paths] == ["0", "1", "2"]


def test_a_folder_that_others_see_is_told(volume: Volume, files: BackupFiles) -> None:
    files.folder.mkdir(parents=True)
    files.folder.chmod(0o755)
    assert "chmod 0700" in take(volume, files)["warnings"][0]


def test_a_folder_that_is_none_is_told(volume: Volume, files: BackupFiles) -> None:
    files.folder.parent.mkdir()
    files.folder.write_text("a file")
    assert failed(lambda: take(volume, files)).reason == "FolderUnusable"


def test_the_vault_id_is_the_one_that_ansible_vault_would_take(
    volume: Volume, files: BackupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = VaultPasswords([("dev", VaultSecret(b"one")), ("prod", VaultSecret(b"two"))])
    assert Path(take(volume, files, both)["path"]).read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;dev\n")
    monkeypatch.setattr(
        "module_utils.token_keeper_helper.vault_passwords.constants.DEFAULT_VAULT_ENCRYPT_IDENTITY",
        "prod",
        raising=False,
    )
    assert (
        Path(take(volume, files, both, always=True)["path"]).read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    )
    monkeypatch.setattr(
        "module_utils.token_keeper_helper.vault_passwords.constants.DEFAULT_VAULT_ENCRYPT_IDENTITY",
        "none",
        raising=False,
    )
    assert failed(lambda: take(volume, files, both)).reason == "PasswordMissing"


def test_without_a_vault_password_nothing_is_done() -> None:
    loader = DataLoader()
    failure = failed(lambda: VaultPasswords.of(loader))
    assert failure.reason == "PasswordMissing"
    assert "--vault-password-file" in failure.remedy
    loader.set_vault_secrets([("default", VaultSecret(PASSWORD))])
    assert VaultPasswords.of(loader).to_encrypt_with() == ("default", PASSWORD)
    assert PASSWORD.decode() not in repr(VaultPasswords.of(loader))


def test_a_password_that_no_file_can_hold_is_said_so_before_anything_is_made(
    volume: Volume, files: BackupFiles
) -> None:
    # as a script prints it: Ansible takes nothing but the ends of lines off that
    for padded in (b" correct horse", b"correct horse ", b"correct horse\t"):
        passwords = VaultPasswords([("default", VaultSecret(padded))])
        assert failed(lambda it=passwords: take(volume, files, it)).reason == "PasswordPadded"  # type: ignore[misc]
    assert not files.folder.exists()


def test_a_home_that_there_is_not_is_said_so(files: BackupFiles) -> None:
    for work in (
        lambda: on_controller("~nobody-of-this-name/backups"),
        lambda: backing.to_restore(files, "~nobody-of-this-name/x.vault", PASSWORDS),
    ):
        assert failed(work).reason == "OptionInvalid"


def test_the_folder_is_in_the_state_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    init_plugin_loader()  # without it there are no lookups
    default = yaml.safe_load((ROOT / "roles/token_backup/defaults/main.yml").read_text())["token_backup_dir"]
    monkeypatch.setenv("HOME", "/home/ann")
    for state_home, folder in (("/state", "/state"), ("", "/home/ann/.local/state"), (None, "/home/ann/.local/state")):
        if state_home is None:
            monkeypatch.delenv("XDG_STATE_HOME")
        else:
            monkeypatch.setenv("XDG_STATE_HOME", state_home)
        found = Templar(DataLoader(), variables={"token_keeper_project": "app"}).template(trust_as_template(default))
        assert found == f"{folder}/token-keeper/backups/app"


def test_without_a_token_there_is_no_backup(volume: Volume, files: BackupFiles) -> None:
    volume.store.clear()
    assert failed(lambda: take(volume, files)).kind == "TokenMissing"
    volume.has_no_volume()
    assert failed(lambda: take(volume, files)).reason == "VolumeMissing"
    assert not files.folder.exists()


# -- the way back


def test_the_newest_comes_back_where_it_was(volume: Volume, files: BackupFiles) -> None:
    take(volume, files)
    volume.store.clear()
    told = restore(volume, files, check_mode=True)
    assert (told["changed"], told["reason"]) == (True, "Created")
    told = restore(volume, files)
    assert (told["changed"], told["reason"], told["warnings"]) == (True, "Created", [])
    assert told["backup"]["host"] == "demo"
    assert restore(volume, files)["changed"] is False
    assert "canary" not in json.dumps(told)
    assert volume.store.read() == DOCUMENT


def test_one_that_is_named_is_found_by_its_name_too(volume: Volume, files: BackupFiles) -> None:
    first = take(volume, files)["path"]
    elsewhere = dataclasses.replace(files, host="other")
    assert failed(lambda: restore(volume, elsewhere)).reason == "NoBackup"
    for name in (first, Path(first).name):
        assert restore(volume, elsewhere, name, host="other")["reason"] == "Unchanged"
    assert failed(lambda: restore(volume, files, "nowhere.vault")).reason == "FileUnreadable"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "NotAVault"),
        (DOCUMENT.to_json().encode(), "NotAVault"),
        (encrypt(b"{}", b"another").encode(), "NotOpened"),
        (encrypt(b"{}", PASSWORD).encode()[:-30], "NotOpened"),
        (encrypt(b"{}", PASSWORD).encode()[:-31], "Torn"),
        (encrypt(DOCUMENT.to_json().encode(), PASSWORD).encode(), "NotABackup"),
    ],
)
def test_what_cannot_be_restored_is_said_before_the_volume_is_looked_at(
    files: BackupFiles, tmp_path: Path, text: bytes, reason: str
) -> None:
    (tmp_path / "file").write_bytes(text)
    failure = failed(lambda: backing.to_restore(files, str(tmp_path / "file"), PASSWORDS))
    assert (failure.kind, failure.reason) == ("BackupError", reason)
    assert "nothing was changed" in failure.remedy


def test_a_refusal_tells_the_playbooks_way_out(volume: Volume, files: BackupFiles) -> None:
    take(volume, files)
    volume.store.replace(dataclasses.replace(DOCUMENT, refresh_token="other-canary"), force=True)
    failure = failed(lambda: restore(volume, files))
    assert (failure.kind, failure.reason) == ("Conflict", "RotatedAway")
    assert "-e force=true" in failure.remedy
    assert restore(volume, files, force=True)["reason"] == "Replaced"


def test_a_grant_that_rotates_and_lives_elsewhere_is_warned_of(volume: Volume, files: BackupFiles) -> None:
    volume.store.declare(rotation="yes")
    path = take(volume, files)["path"]
    volume.store.clear()
    told = restore(volume, files, path, host="another")
    assert "one of the two ends the grant of both" in told["warnings"][0]


# -- a document from the controller


def replace(volume: Volume, text: bytes, **options: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"force": False, "check_mode": False, **options}
    return backing.replaced(volume.helper, "0700", text, "new.json", **wanted)


def test_another_grant_of_the_account_replaces_the_document(volume: Volume) -> None:
    new = dataclasses.replace(DOCUMENT, refresh_token="new-canary", token="new-access-canary")
    text = new.to_json().encode()
    assert replace(volume, text, check_mode=True)["reason"] == "Replaced"
    assert volume.store.read() == DOCUMENT
    told = replace(volume, text)
    assert (told["changed"], told["reason"]) == (True, "Replaced")
    assert "canary" not in json.dumps(told)
    assert replace(volume, text)["changed"] is False
    failure = failed(lambda: replace(volume, DOCUMENT.to_json().encode()))
    assert (failure.reason, "-e force=true" in failure.remedy) == ("Superseded", True)
    stranger = dataclasses.replace(new, account="b@example.com", refresh_token="b-canary").to_json().encode()
    assert failed(lambda: replace(volume, stranger)).reason == "DifferentAccount"
    assert replace(volume, stranger, force=True)["reason"] == "Replaced"


@pytest.mark.parametrize("text", [b"", b"canary", b'{"new": "token-canary"}', b"[]", b"x" * 70_000])
def test_what_is_no_document_does_not_come_near_the_volume(volume: Volume, text: bytes) -> None:
    assert failed(lambda: replace(volume, text)).kind == "TokenCorrupt"
    assert volume.calls == []


@pytest.mark.parametrize(
    ("role", "tasks", "module", "specification"),
    [
        ("token_backup", "main", "token_backup", backup_arguments.TOKEN_BACKUP),
        ("token_backup", "look", "token_restore", backup_arguments.TOKEN_RESTORE),
        ("token_backup", "restore", "token_restore", backup_arguments.TOKEN_RESTORE),
        ("token_document", "main", "token_document", backup_arguments.TOKEN_DOCUMENT),
    ],
)
def test_the_role_hands_every_option_on(role: str, tasks: str, module: str, specification: dict[str, Any]) -> None:
    found = yaml.safe_load((ROOT / "roles" / role / "tasks" / f"{tasks}.yml").read_text())
    task = next(each for each in found if module in each)
    assert task[module].keys() == specification.keys() - {"docker_host", "timeout"}
    assert task.get("check_mode") is (True if tasks == "look" else None)


def action(passwords: VaultPasswords | None = None) -> TokenDocumentAction:
    made = TokenDocumentAction.__new__(TokenDocumentAction)
    made._loader = DataLoader()
    made._loader.set_vault_secrets(passwords.secrets if passwords else None)
    made._host = "demo"
    return made


@pytest.mark.parametrize(
    ("name", "place"),
    [("token_document", "ansible-doc -t module token_document"), ("token_reveal", "plugins/action/token_reveal.py")],
)
def test_a_wrong_option_is_sent_to_where_the_options_are(name: str, place: str) -> None:
    made = action()
    made._task = SimpleNamespace(args={"misspelt": "canary"}, action=name)
    failure = failed(lambda: made.parameters(backup_arguments.TOKEN_REVEAL, backup_arguments.NO_CONSTRAINTS))
    assert place in failure.remedy
    assert (ROOT / place).is_file() or place.startswith("ansible-doc")


def test_a_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    file.write_text("{}")
    for mode, warned in ((0o644, True), (0o640, True), (0o600, False)):
        file.chmod(mode)
        text, where, warnings = action()._read(file)
        assert (text, where, bool(warnings)) == (b"{}", str(file), warned)
    file.write_text(encrypt(b"{}", PASSWORD))
    file.chmod(0o644)
    assert action(PASSWORDS)._read(file) == (b"{}", str(file), [])
    assert failed(lambda: action()._read(file)).reason == "PasswordMissing"
    file.write_text(encrypt(b"{}", b"another"))
    for work in (lambda: action()._read(file), lambda: action(PASSWORDS)._read(file)):
        failure = failed(work)
        assert "backup" not in f"{failure.message} {failure.remedy}", "it is a document that is read"


def test_what_is_piped_in_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b'{"a":')
    os.write(writer, b" 1}")
    os.close(writer)
    monkeypatch.setattr(token_document, "_PIPED", reader)
    assert action()._given(5.0) == (b'{"a": 1}', "the document on stdin")
    assert failed(lambda: action()._given(5.0)).reason == "DocumentMissing"
    os.close(reader)


def test_a_pipe_that_does_not_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(token_document, "_PIPED", reader)
    assert failed(lambda: action()._given(0.05)).reason == "DocumentMissing"
    os.close(reader)
    os.close(writer)
