"""Endpoints of a provider: how long one may take to answer, and how its address may be shown."""

from __future__ import annotations

import urllib.parse
from typing import Final

DEADLINE: Final = 8.0
"""Seconds that one exchange may take in all, from name resolution to the last byte of the reply."""


def where(url: str) -> str:
    """Name an endpoint without what its address may carry (user info, query)."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
