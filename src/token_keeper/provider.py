"""What is known of a provider beforehand, as data."""

from __future__ import annotations

import urllib.parse
from typing import Final

from token_keeper.document import TokenDocument
from token_keeper.state import Rotation, State

_ROTATION_BY_HOST: Final[dict[str, Rotation]] = {
    # Google answers a refresh with the old refresh token still in force
    "oauth2.googleapis.com": "no",
    "accounts.google.com": "no",
    "www.googleapis.com": "no",
}


def rotation_of(state: State, document: TokenDocument) -> Rotation:
    """Tell whether the document's provider gives a new refresh token at each exchange.

    What was declared or observed counts; else what is known of the provider's host.
    """
    if state.rotation != "unknown":
        return state.rotation
    host = urllib.parse.urlsplit(document.token_uri).hostname or ""
    return _ROTATION_BY_HOST.get(host, "unknown")
