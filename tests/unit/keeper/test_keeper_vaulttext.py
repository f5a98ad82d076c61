"""ansible-vault's format, held against Ansible's own code: what one side writes, the other one reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from hypothesis import given, settings
from hypothesis import strategies as st

from token_keeper.errors import BackupError, TokenKeeperError
from token_keeper.vaulttext import decrypt, encrypt

PASSWORDS = st.binary(min_size=1, max_size=80).map(bytes.strip).filter(bool)
PLAIN = st.binary(max_size=500).filter(lambda plain: not plain.startswith(b"$ANSIBLE_VAULT"))  # refused by Ansible
LABELS = st.none() | st.sampled_from(["default", "production", "a@b-1"])


def ansible(password: bytes, label: str | None = None) -> VaultLib:
    return VaultLib([(label or "default", VaultSecret(password))])


@settings(max_examples=50)
@given(plain=PLAIN, password=PASSWORDS, label=LABELS)
def test_ansible_opens_what_we_encrypt(plain: bytes, password: bytes, label: str | None) -> None:
    text = encrypt(plain, password, label)
    assert ansible(password, label).decrypt(text.encode()) == plain
    assert decrypt(text.encode(), password) == plain


@settings(max_examples=50)
@given(plain=PLAIN, password=PASSWORDS, label=LABELS)
def test_we_open_what_ansible_encrypts(plain: bytes, password: bytes, label: str | None) -> None:
    text = ansible(password).encrypt(plain, VaultSecret(password), vault_id=label)
    assert decrypt(text, password) == plain


@settings(max_examples=40)
@given(password=PASSWORDS, other=PASSWORDS, at=st.integers(0, 10_000), digit=st.sampled_from(b"0123456789abcdef"))
def test_nothing_altered_and_no_other_password_opens_it(password: bytes, other: bytes, at: int, digit: int) -> None:
    plain = b"a secret" * 20
    text = bytearray(encrypt(plain, password).encode())
    if other != password:
        with pytest.raises(BackupError) as caught:
            decrypt(bytes(text), other)
        assert caught.value.reason == "NotOpened"
    body = text.index(b"\n") + 1
    at = body + at % (len(text) - body)
    if text[at] in {digit, ord("\n")}:
        return
    text[at] = digit
    try:
        # a digit of the inner hexadecimal may have become a capital letter, which means the same
        assert decrypt(bytes(text), password) == plain
    except BackupError as error:
        assert error.reason in {"NotOpened", "Torn"}


@pytest.mark.parametrize("length", [1, 26, 27, 60, 100, 500, -81, -2])
def test_a_torn_text_does_not_open(length: int) -> None:
    text = encrypt(b"a secret" * 20, b"password").encode()
    with pytest.raises(BackupError) as caught:
        decrypt(text[:length], b"password")
    assert caught.value.reason in {"NotAVault", "Torn", "NotOpened"}
    assert caught.value.remedy
    assert caught.value.exit_code == 13


@pytest.mark.parametrize("text", [b"", b"{}", b"$ANSIBLE_VAULT;1.1;AES\n00", b"$ANSIBLE_VAULT;9.9;AES256\n00", b"\xff"])
def test_what_is_no_vault_is_said_so(text: bytes) -> None:
    with pytest.raises(BackupError) as caught:
        decrypt(text, b"password")
    assert caught.value.reason == "NotAVault"


def test_white_space_around_a_password_is_not_part_of_it() -> None:
    text = encrypt(b"plain", b" pass word\n")
    assert ansible(b"pass word").decrypt(text.encode()) == b"plain"


@pytest.mark.parametrize("password", [b"", b" \n"])
def test_there_has_to_be_a_password(password: bytes) -> None:
    with pytest.raises(BackupError) as caught:
        encrypt(b"plain", password)
    assert caught.value.reason == "PasswordMissing"


@pytest.mark.parametrize("label", ["a;b", "a b", "a\nb", "é", ""])
def test_a_label_fits_into_the_first_line(label: str) -> None:
    with pytest.raises(TokenKeeperError) as caught:
        encrypt(b"plain", b"password", label)
    assert caught.value.reason == "InvalidValue"


def test_two_texts_of_one_plain_text_have_nothing_in_common() -> None:
    first, second = (encrypt(b"plain", b"password").splitlines() for _ in range(2))
    assert first[0] == second[0] == "$ANSIBLE_VAULT;1.1;AES256"
    assert all(one != other for one, other in zip(first[1:], second[1:], strict=True))
    assert {len(line) for line in first[1:-1]} == {80}


def test_the_command_ansible_vault_shows_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "file.vault").write_text(encrypt('{"ä": 1}'.encode(), b"correct horse"))
    command = Path(sys.executable).parent / "ansible-vault"
    shown = subprocess.run(
        [command, "view", "--vault-password-file", tmp_path / "password", tmp_path / "file.vault"],
        capture_output=True,
        check=True,
        env={"PAGER": "cat", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
    )
    assert shown.stdout.decode().strip() == '{"ä": 1}'
