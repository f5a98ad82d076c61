"""The JSON that came with a request."""

from __future__ import annotations

from typing import Any

from flask import request


def sent_object() -> dict[str, Any] | None:
    """Return the JSON object that was sent, or ``None`` if something else was."""
    try:
        sent = request.get_json(silent=True)
    except RecursionError:
        return None  # nested deeper than any that we know what to do with
    return sent if isinstance(sent, dict) else None
