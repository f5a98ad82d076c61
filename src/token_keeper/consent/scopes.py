"""Comparing the scopes that were granted with those that were asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_SAME: Final = {
    # Google is asked for the short OpenID Connect names and answers with the long ones
    "https://www.googleapis.com/auth/userinfo.email": "email",
    "https://www.googleapis.com/auth/userinfo.profile": "profile",
}
_NOT_IN_ANSWERS: Final = frozenset({"offline_access"})
"""OpenID Connect Core section 11: it asks for a refresh token, which proves by itself that it was granted."""


def missing_scopes(required: Iterable[str], granted: Iterable[str]) -> list[str]:
    """Return the required scopes that were not granted, as they were asked for.

    The order of scopes does not matter, their case does (RFC 6749 section 3.3).
    """
    there = {_normal(scope) for scope in granted} | _NOT_IN_ANSWERS
    return [scope for scope in required if _normal(scope) not in there]


def _normal(scope: str) -> str:
    return _SAME.get(scope, scope)
