"""Where the tokens of a host are, from the list that the roles share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError  # type: ignore[import-untyped]


def places(tokens: Sequence[Mapping[str, Any]], volume: str, file: str) -> list[dict[str, Any]]:
    """Return name, volume and file of each token, and which one is the application's.

    Nothing else of an entry is taken over: what stands in a key that is none of them may be a secret.

    Arguments:
        tokens: the variable ``oauth_tokens``.
        volume: of an entry that names none.
        file: of an entry that names none.
    """
    if not all(isinstance(token, Mapping) and token.get("name") for token in tokens):
        raise AnsibleFilterError("oauth_tokens has to be a list of mappings, each with a name: see docs/consent.md")
    marked = [token["name"] for token in tokens if token.get("app")]
    application = (marked or [token["name"] for token in tokens] or [None])[0]
    return [
        {
            "name": str(token["name"]),
            "volume": str(token.get("volume") or volume),
            "file": str(token.get("file") or file),
            "app": token["name"] == application,
        }
        for token in tokens
    ]


class FilterModule:
    """The filters by the names that templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {"refresh_health_places": places}
