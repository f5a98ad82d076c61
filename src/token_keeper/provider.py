"""What is known of a provider beforehand, as data."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import Final

from token_keeper.document import TokenDocument
from token_keeper.state import Rotation, State

_DAY: Final = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """How a provider treats its refresh tokens; lengths of time in seconds, ``None`` where none is known.

    Attributes:
        rotation: whether it gives a new one at each exchange.
        idle_limit: how long one lives that is not used.
        testing_limit: how long one lives that an app without published consent screen was given.
        untested_scopes: scopes that do not fall under that limit.
    """

    rotation: Rotation = "unknown"
    idle_limit: float | None = None
    testing_limit: float | None = None
    untested_scopes: frozenset[str] = frozenset()


# https://developers.google.com/identity/protocols/oauth2#expiration
_GOOGLE: Final = Profile(
    rotation="no",
    idle_limit=182 * _DAY,
    testing_limit=7 * _DAY,
    untested_scopes=frozenset(
        {
            "openid",
            "email",
            "profile",
            "https://www.googleapis.com/auth/userinfo.email",
            "https://www.googleapis.com/auth/userinfo.profile",
        }
    ),
)
_BY_HOST: Final = dict.fromkeys(("oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"), _GOOGLE)


def profile_of(document: TokenDocument) -> Profile:
    """Return what is known of the document's provider."""
    host = urllib.parse.urlsplit(document.token_uri).hostname or ""
    return _BY_HOST.get(host, Profile())


def rotation_of(state: State, document: TokenDocument) -> Rotation:
    """Tell whether the document's provider gives a new refresh token at each exchange.

    What was declared or observed counts; else what is known of the provider's host.
    """
    return state.rotation if state.rotation != "unknown" else profile_of(document).rotation
