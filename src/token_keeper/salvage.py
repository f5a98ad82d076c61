"""What half a document still holds: the refresh token of an app that was stopped in the midst of its write.

Where the provider rotates refresh tokens, the app has spent the one in the history; the new one stands nowhere else.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, Final

from token_keeper.document import TokenDocument
from token_keeper.errors import TokenCorrupt

_FIELD: Final = re.compile(r'"(\w+)": ?("(?:[^"\\]|\\.)*")')
_CLIENT: Final = ("token_uri", "client_id", "client_secret")


def salvaged(torn: bytes, known: TokenDocument) -> TokenDocument | None:
    """Return the document that a torn one was to be, as far as that can be told without guessing.

    Two forms are understood. A whole document with the rest of a longer one behind it (two programs have written into
    one file) counts as that document. The beginning of one gives its refresh token, if that is there to its closing
    quote; the rest is taken from ``known``, whose access token may have ended.

    Args:
        torn: the file; no JSON, or not only.
        known: the current document, as the history has it.

    Returns:
        ``None`` where it holds no whole refresh token, or belongs to another client.
    """
    text = torn.decode("utf-8", "replace").lstrip()
    if not text.startswith("{"):
        return None
    try:
        fields, _ = json.JSONDecoder().raw_decode(text)
        found = TokenDocument.from_mapping(fields)
    except TokenCorrupt:
        return None
    except (ValueError, RecursionError):
        fields = _beginning(text)
        if "refresh_token" not in fields:
            return None
        found = dataclasses.replace(known, refresh_token=fields["refresh_token"])
    else:
        fields = {name: getattr(found, name) for name in _CLIENT}
    ours = all(fields.get(name, getattr(known, name)) == getattr(known, name) for name in _CLIENT)
    token = found.refresh_token
    # RFC 6749 has no other characters; what is not UTF-8 has become one
    return found if ours and token.isascii() and token.isprintable() else None


def _beginning(text: str) -> dict[str, Any]:
    """Return the fields that are whole; of one that is named twice, the first."""
    fields: dict[str, Any] = {}
    for name, value in _FIELD.findall(text):
        try:
            fields.setdefault(name, json.loads(value))
        except ValueError:
            break
    return fields
