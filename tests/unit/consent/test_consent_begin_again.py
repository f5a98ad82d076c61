"""A question that waits is shown again as long as it is the same, and good for long enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from token_keeper.consent import Begun, ClientSecrets, Inquiry, begin

SCOPE = "https://www.googleapis.com/auth/calendar"
NOW: dict[str, Any] = {"generation": 3, "grant": "g1", "valid": 100.0}


def asked(client: ClientSecrets, path: Path, *, scopes: tuple[str, ...] = (SCOPE,), **options: Any) -> Begun:
    return begin(Inquiry.prepare(client, scopes), path, **{**NOW, **options})


def test_the_same_question_is_shown_again(client: ClientSecrets, path: Path) -> None:
    first = asked(client, path)
    before = (path.parent / ".token.json.consent").read_bytes()
    again = asked(client, path, keep=50.0, valid=600.0)
    assert (first.again, again.again) == (False, True)
    assert (again.url, again.redirect_uri, again.expires_at) == (first.url, first.redirect_uri, first.expires_at)
    assert 0 < again.expires_in <= 100
    assert (path.parent / ".token.json.consent").read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep": 200.0},
        {"keep": 50.0, "scopes": (SCOPE, "email")},
        {"keep": 50.0, "grant": "g2"},
        {"keep": 50.0, "redirect_port": 8085},
    ],
    ids=["not-wanted", "nearly-over", "other-scopes", "other-grant", "fixed-port"],
)
def test_another_question_begins_anew(client: ClientSecrets, path: Path, options: dict[str, Any]) -> None:
    first = asked(client, path)
    second = asked(client, path, **options)
    assert not second.again
    assert second.url != first.url


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_what_can_not_be_read_is_replaced(client: ClientSecrets, path: Path, content: bytes) -> None:
    (path.parent / ".token.json.consent").write_bytes(content)
    first = asked(client, path, keep=50.0)
    assert asked(client, path, keep=50.0).url == first.url
