"""The people who consent: what the scopes of a sign-in tell a client about them (OpenID Connect Core 5.4)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

_LONG_NAME: Final = "https://www.googleapis.com/auth/userinfo."
"""What Google calls ``email`` and ``profile`` where it spells them out."""

SIGN_IN_SCOPES: Final = frozenset({"openid", "email", "profile", f"{_LONG_NAME}email", f"{_LONG_NAME}profile"})
"""Scopes that tell who somebody is, and nothing more."""


def subject(account: str) -> str:
    """Return what Google calls an account for good: 21 digits, the same for every client."""
    return f"1{int(hashlib.sha256(account.encode()).hexdigest(), 16) % 10**20:020d}"


def claims(account: str, scope: str) -> dict[str, Any]:
    """Return what a token of ``scope`` may tell about an account."""
    scopes = set(scope.split())
    told: dict[str, Any] = {}
    if "openid" in scopes:
        told["sub"] = subject(account)
    if scopes & {"email", f"{_LONG_NAME}email"}:
        told |= {"email": account, "email_verified": True}
    if scopes & {"profile", f"{_LONG_NAME}profile"}:
        told["name"] = account.partition("@")[0]
    return told
