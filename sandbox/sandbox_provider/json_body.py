"""The JSON that came with a request."""

from __future__ import annotations

from typing import Any

from flask import request

from sandbox_provider.bad_input import BadInputError


def sent_object() -> dict[str, Any] | None:
    """Return the JSON object that was sent, or ``None`` if something else was."""
    try:
        sent = request.get_json(silent=True)
    except RecursionError:
        return None  # nested deeper than any that we know what to do with
    return sent if isinstance(sent, dict) else None


def required_object() -> dict[str, Any]:
    """Return the JSON object that an admin endpoint was sent.

    Raises:
        BadInputError: something else was.
    """
    if not request.is_json:
        # a page in somebody's browser can send anything but this without asking first
        raise BadInputError("send a JSON object with the header Content-Type: application/json")
    sent = sent_object()
    if sent is None:
        raise BadInputError("the body must be a JSON object")
    return sent
