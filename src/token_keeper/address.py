"""Addresses of endpoints, as they may be shown."""

from __future__ import annotations

import urllib.parse


def where(url: str) -> str:
    """Name an endpoint without what its address may carry (user info, query)."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
