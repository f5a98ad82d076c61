"""ansible-vault's text format (1.1, and 1.2 with a vault id), cipher AES256.

Written here rather than taken from Ansible: a backup is encrypted beside the document, before it leaves the volume, by
an image that has no Ansible in it. The format is that of ``ansible.parsing.vault`` (``VaultAES256``):
PBKDF2-HMAC-SHA256 with 10,000 iterations gives two keys of 32 bytes and a counter of 16; AES-CTR over the text with
PKCS #7 padding; HMAC-SHA256 over what comes of it; salt, HMAC and ciphertext in hexadecimal, a line each, and all of
that in hexadecimal again, in lines of 80.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from token_keeper.errors import BackupError, TokenKeeperError

if TYPE_CHECKING:
    from types import ModuleType

MARK: Final = b"$ANSIBLE_VAULT;"

_ITERATIONS: Final = 10_000
_KEY, _COUNTER, _BLOCK, _SALT = 32, 16, 16, 32
_WIDTH: Final = 80
# Ansible takes a text with anything but ASCII in it for none of its own
_LABEL: Final = re.compile(r"[!-:<-~]+")
_HEADER: Final = re.compile(rb"\$ANSIBLE_VAULT;1\.[12];AES256(?:;[^;\s]+)?\s*")


def encrypt(plain: bytes, password: bytes, label: str | None = None) -> str:
    """Return a text that ``ansible-vault view`` opens with the password.

    Args:
        plain: what to encrypt.
        password: as Ansible takes it from a file or a prompt, without white space around it.
        label: the vault id; ``None`` and ``default`` make a text without one (format 1.1).

    Raises:
        BackupError: there is no password (``PasswordMissing``), or nothing to encrypt with (``PackageMissing``).
        TokenKeeperError: the vault id can't stand in the text's first line.
    """
    password = _required(password)
    labelled = label is not None and label != "default"
    if labelled and not _LABEL.fullmatch(label or ""):
        raise TokenKeeperError(
            f"{label!r} can't be a vault id: it is not ASCII, or has a semicolon or white space in it",
            reason="InvalidValue",
            remedy="name the vault id by letters, digits and hyphens",
        )
    salt = secrets.token_bytes(_SALT)
    key, signing, counter = _keys(password, salt)
    missing = _BLOCK - len(plain) % _BLOCK
    ciphertext = _aes_ctr(key, counter, plain + bytes([missing]) * missing)
    signature = hmac.digest(signing, ciphertext, "sha256")
    body = b"\n".join(binascii.hexlify(part) for part in (salt, signature, ciphertext)).hex()
    header = f"$ANSIBLE_VAULT;1.2;AES256;{label}" if labelled else "$ANSIBLE_VAULT;1.1;AES256"
    return "\n".join([header, *(body[at : at + _WIDTH] for at in range(0, len(body), _WIDTH)), ""])


def decrypt(text: bytes, password: bytes) -> bytes:
    """Return what is in a text that :func:`encrypt` or ansible-vault made.

    Raises:
        BackupError: it is no such text (``NotAVault``), is torn (``Torn``), or does not open (``NotOpened``): the
            password is another one or the text was altered, which its signature does not tell apart.
    """
    password = _required(password)
    header, _, rest = text.lstrip().partition(b"\n")
    if not _HEADER.fullmatch(header):
        raise BackupError(
            "this is no text of ansible-vault with the cipher AES256",
            reason="NotAVault",
            remedy="name a file that backup_token.yml or `token-keeper backup` has made",
        )
    try:
        salt, signature, ciphertext = (
            binascii.unhexlify(part) for part in binascii.unhexlify(b"".join(rest.split())).split(b"\n")
        )
    except ValueError:  # an odd or missing digit, or not three parts
        raise _torn() from None
    key, signing, counter = _keys(password, salt)
    if not hmac.compare_digest(signature, hmac.digest(signing, ciphertext, "sha256")):
        raise BackupError(
            "the vault password does not open it, or it was altered since it was made",
            reason="NotOpened",
            remedy="give the vault password that it was made with, or take another backup",
        )
    padded = _aes_ctr(key, counter, ciphertext)
    missing = padded[-1] if padded else 0
    if not 0 < missing <= _BLOCK or padded[-missing:] != bytes([missing]) * missing:
        raise _torn()
    return padded[:-missing]


def _required(password: bytes) -> bytes:
    # Ansible takes the white space off a password, wherever it comes from: one file has to mean one password
    password = password.strip()
    if not password:
        raise BackupError(
            "there is no vault password: nothing was done",
            reason="PasswordMissing",
            remedy="give the vault password on stdin, such as token-keeper backup < vault_password",
        )
    return password


def _torn() -> BackupError:
    return BackupError(
        "it is torn: a part of it is missing or damaged",
        reason="Torn",
        remedy="take another backup; this file is of no use",
    )


def _keys(password: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    derived = hashlib.pbkdf2_hmac("sha256", password, salt, _ITERATIONS, 2 * _KEY + _COUNTER)
    return derived[:_KEY], derived[_KEY : 2 * _KEY], derived[2 * _KEY :]


def _aes_ctr(key: bytes, counter: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt: in counter mode both are the same."""
    ciphers = _ciphers()
    worker: Any = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.CTR(counter)).encryptor()
    done: bytes = worker.update(data) + worker.finalize()
    return done


def _ciphers() -> ModuleType:
    try:
        from cryptography.hazmat.primitives import ciphers  # noqa: PLC0415 - 20 ms that only a backup needs
    except ImportError:
        raise BackupError(
            "this installation lacks the Python package cryptography: nothing was done",
            reason="PackageMissing",
            remedy='install "token-keeper[keeper]"; the images of the kit have it',
        ) from None
    return ciphers
