"""Granted scopes against required ones."""

from __future__ import annotations

import pytest

from token_keeper.consent import missing_scopes

EMAIL = "https://www.googleapis.com/auth/userinfo.email"
PROFILE = "https://www.googleapis.com/auth/userinfo.profile"


@pytest.mark.parametrize(
    ("required", "granted", "missing"),
    [
        (["a", "b"], ["b", "a", "c"], []),
        (["a", "b"], ["b"], ["a"]),
        (["a"], [], ["a"]),
        (["a"], ["A"], ["a"]),
        ([], [], []),
        (["openid", "email", "profile"], [PROFILE, "openid", EMAIL], []),
        ([EMAIL], ["email"], []),
        ([EMAIL], ["openid"], [EMAIL]),
        (["openid", "offline_access"], ["openid"], []),
    ],
)
def test_missing(required: list[str], granted: list[str], missing: list[str]) -> None:
    assert missing_scopes(required, granted) == missing
