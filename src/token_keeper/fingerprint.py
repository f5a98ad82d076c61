"""Fingerprints: the only form in which a secret is ever shown."""

from __future__ import annotations

import hashlib
from typing import Final

LENGTH: Final = 16


def fingerprint(secret: str | bytes) -> str:
    """Return the first 16 hex digits of the SHA-256 of a secret.

    Tokens and client secrets carry far more entropy than 64 bits, so a fingerprint tells two of them
    apart and gives nothing away. ``sha256sum token.json | cut -c1-16`` computes the same thing of a file.
    """
    data = secret.encode() if isinstance(secret, str) else secret
    return hashlib.sha256(data).hexdigest()[:LENGTH]
