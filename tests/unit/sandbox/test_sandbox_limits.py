"""How refresh tokens end by themselves at Google: too many, in testing, unused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from over_http import CALENDAR, DEAD, consent, refresh, refusal

from sandbox_provider.testing import Sandbox, running_sandbox

DAY = 86_400


@pytest.fixture
def timed() -> Iterator[Sandbox]:
    """A sandbox of one's own: time that was moved forward doesn't come back."""
    with running_sandbox() as sandbox:
        yield sandbox


def good(sandbox: Sandbox, token: dict) -> bool:
    response = refresh(sandbox, token["refresh_token"])
    assert response.status_code == 200 or refusal(response) == DEAD
    return response.status_code == 200


def test_the_101st_refresh_token_silently_ends_the_oldest(timed: Sandbox) -> None:
    first = consent(timed)
    others = [timed.issue_token() for _ in range(99)]
    assert good(timed, first)
    newest = consent(timed)
    assert set(newest) == {"access_token", "refresh_token", "expires_in", "scope", "token_type"}
    assert not good(timed, first)
    assert timed.accepts(first["access_token"])
    assert all(good(timed, token) for token in (*others, newest))


def test_the_cap_counts_live_tokens_of_one_account_and_client(sandbox: Sandbox) -> None:
    sandbox.settings(refresh_token_cap=2)
    sandbox.register_client("other", "secret")
    first = consent(sandbox, login_hint="cap@example.com")
    sandbox.issue_token(account="cap@example.com", client_id="other")
    sandbox.issue_token(account="another@example.com")
    # no refresh token, and none that counts
    assert "refresh_token" not in consent(sandbox, login_hint="cap@example.com", access_type="online")
    second = consent(sandbox, login_hint="cap@example.com")
    # refreshing makes nothing newer or older, nor does rotation
    sandbox.settings(rotation=True)
    second = refresh(sandbox, second["refresh_token"]).json()
    sandbox.settings(rotation=False)
    assert good(sandbox, first)
    third = consent(sandbox, login_hint="cap@example.com")
    assert [good(sandbox, token) for token in (first, second, third)] == [False, True, True]
    # one that is dead already leaves room
    sandbox.settings(revoke_whole_grant=False)
    sandbox.call("POST", f"/revoke?token={second['refresh_token']}")
    fourth = consent(sandbox, login_hint="cap@example.com")
    assert [good(sandbox, token) for token in (third, fourth)] == [True, True]


def test_without_a_cap(sandbox: Sandbox) -> None:
    sandbox.settings(refresh_token_cap=None)
    first = sandbox.issue_token(account="many@example.com")
    for _ in range(101):
        sandbox.issue_token(account="many@example.com")
    assert good(sandbox, first)


def test_a_token_that_was_pushed_out_is_revoked_already(sandbox: Sandbox) -> None:
    sandbox.settings(refresh_token_cap=1)
    first = consent(sandbox)
    consent(sandbox)
    with pytest.raises(OSError, match="400"):
        sandbox.call("POST", f"/revoke?token={first['refresh_token']}")


def test_in_testing_grants_live_seven_days(timed: Sandbox) -> None:
    earlier = consent(timed)
    assert "refresh_token_expires_in" not in earlier
    timed.settings(publishing="testing")
    token = consent(timed)
    assert token["refresh_token_expires_in"] in {7 * DAY - 1, 7 * DAY}
    timed.advance(7 * DAY - 60)
    renewed = refresh(timed, token["refresh_token"]).json()
    assert 0 < renewed["refresh_token_expires_in"] <= 60
    timed.advance(60)
    assert refusal(refresh(timed, token["refresh_token"])) == DEAD
    assert not timed.accepts(renewed["access_token"])
    # what was granted in production stays so, and publishing later does not heal
    assert good(timed, earlier)
    timed.settings(publishing="production")
    assert not good(timed, token)


def test_in_testing_a_mere_sign_in_is_not_limited(timed: Sandbox) -> None:
    timed.settings(publishing="testing")
    token = consent(timed, scope="openid email https://www.googleapis.com/auth/userinfo.profile")
    assert "refresh_token_expires_in" not in token
    timed.advance(8 * DAY)
    assert good(timed, token)


def test_a_lifetime_of_the_settings_comes_before_the_seven_days(sandbox: Sandbox) -> None:
    sandbox.settings(publishing="testing", refresh_token_lifetime=90)
    assert consent(sandbox)["refresh_token_expires_in"] in {89, 90}
    made = sandbox.call("POST", "/admin/grants", {"scopes": [CALENDAR]})
    assert made["refresh_token_expires_in"] == 90


def test_six_months_unused(timed: Sandbox) -> None:
    used, unused = consent(timed), consent(timed)
    timed.advance(180 * DAY)
    assert good(timed, used)
    timed.advance(2 * DAY)
    assert good(timed, used)
    assert not good(timed, unused)
    timed.advance(183 * DAY)
    assert not good(timed, used)
    timed.settings(unused_lifetime=None)
    assert good(timed, used)


def test_the_unused_do_not_count_for_the_cap(timed: Sandbox) -> None:
    timed.settings(refresh_token_cap=2, unused_lifetime=60)
    timed.issue_token()
    timed.advance(61)
    first, second = timed.issue_token(), timed.issue_token()
    assert good(timed, first)
    assert good(timed, second)
