"""A document sealed for one reader, so that it can go over an output that others may record.

What a command prints is logged in places that nobody thinks of: Ansible's debug output, an SSH client's verbose one, a
terminal recorder. What it reads is not. So the reader makes up a key for this one answer and gives it on stdin.
"""

from __future__ import annotations

import base64
import os
from typing import ClassVar, Final

from token_keeper.errors import TokenKeeperError

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_PURPOSE: Final = b"token-keeper sealed document 1"


class SealBroken(TokenKeeperError):
    """A sealed text, or its key, is not what it was."""

    exit_code: ClassVar[int] = 2


def new_key() -> bytes:
    """Return a key for one answer."""
    return os.urandom(KEY_BYTES)


def key_to_text(key: bytes) -> bytes:
    """Return a key as it is written on stdin."""
    return base64.b64encode(key) + b"\n"


def key_of_text(text: bytes) -> bytes:
    """Read a key from stdin.

    Raises:
        SealBroken: it is none.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SealBroken(
            f"what is on stdin is not a key of {KEY_BYTES} bytes in Base64",
            reason="KeyMalformed",
            remedy="give a new random key for each call, such as head -c 32 /dev/urandom | base64",
        )
    return key


def seal(data: bytes, key: bytes) -> str:
    """Return the data encrypted (AES-256-GCM), as one line of text.

    Args:
        data: what only the reader may see.
        key: one that was made up for this call alone.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow, and needed by one verb

    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, data, _PURPOSE)).decode()


def unseal(text: str, key: bytes) -> bytes:
    """Return what :func:`seal` was given.

    Raises:
        SealBroken: the text, or the key, is another.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        sealed = base64.b64decode(text, validate=True)
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _PURPOSE)
    except (ValueError, InvalidTag):
        raise SealBroken(
            "what came back was not sealed with the key that was sent",
            reason="SealBroken",
            remedy="run it again; if it lasts, something between here and the helper changes what it prints",
        ) from None
