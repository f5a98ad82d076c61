"""The provider's own count of its exchanges, where it keeps one as the sandbox does."""

from __future__ import annotations

import json
from typing import Any, Final

from . import pages

_TIMEOUT: Final = 5.0


def look(url: str) -> dict[str, Any]:
    """Ask a page that answers ``{"exchanges": {"refresh_token": N}}``; no proxy stands between.

    Returns:
        count: how often a refresh token was exchanged; ``None`` where the page did not tell.
        why: why it did not; empty where it did.
    """
    page = pages.ask(url, _TIMEOUT, proxy=False)
    if page.why:
        return {"count": None, "why": page.why}
    try:
        count = json.loads(page.body)["exchanges"]["refresh_token"]
    except (ValueError, TypeError, KeyError, RecursionError):
        count = None
    if not isinstance(count, int) or isinstance(count, bool):
        return {"count": None, "why": "it answered, but not with a count of exchanges"}
    return {"count": count, "why": ""}
