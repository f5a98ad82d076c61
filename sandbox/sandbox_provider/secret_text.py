"""Secrets: how they are made, and the digest under which tokens are stored."""

from __future__ import annotations

import hashlib
import secrets


def new_access_token() -> str:
    """Return an access token with the prefix Google's carry, so that secret scanners know it."""
    return f"ya29.sandbox-{secrets.token_urlsafe(48)}"


def new_refresh_token() -> str:
    """Return a refresh token with the prefix Google's carry."""
    return f"1//0sandbox-{secrets.token_urlsafe(48)}"


def new_authorization_code() -> str:
    """Return an authorization code with the prefix Google's carry."""
    return f"4/0sandbox-{secrets.token_urlsafe(32)}"


def new_client() -> tuple[str, str]:
    """Return a client id and a client secret."""
    number = 100_000_000_000 + secrets.randbelow(900_000_000_000)
    return (
        f"{number}-{secrets.token_hex(16)}.apps.sandbox.invalid",
        new_client_secret(),
    )


def new_client_secret() -> str:
    """Return a client secret."""
    return f"SANDBOX-{secrets.token_urlsafe(24)}"


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret in hex: enough to recognise it, useless to whoever reads the file."""
    return hashlib.sha256(secret.encode()).hexdigest()
