"""What goes with a token that is revoked."""

from __future__ import annotations

import pytest
import requests
from over_http import DEAD, consent, refresh, refusal

from sandbox_provider.testing import Sandbox


def revoke(sandbox: Sandbox, token: str) -> requests.Response:
    return requests.post(sandbox.revocation_uri, data={"token": token}, timeout=30)


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_all_that_the_account_allowed_the_client_goes(sandbox: Sandbox, which: str) -> None:
    sandbox.register_client("other", "secret")
    old, new = consent(sandbox), consent(sandbox)
    online = consent(sandbox, access_type="online")
    elsewhere = [sandbox.issue_token(account="ada@example.com"), sandbox.issue_token(client_id="other")]
    assert revoke(sandbox, old[which]).status_code == 200
    assert refusal(refresh(sandbox, old["refresh_token"])) == DEAD
    assert refusal(refresh(sandbox, new["refresh_token"])) == DEAD
    assert not any(sandbox.accepts(token["access_token"]) for token in (old, new, online))
    assert all(sandbox.accepts(token["token"]) for token in elsewhere)
    # the person would be asked again
    assert "refresh_token" in consent(sandbox, prompt=None)


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_by_the_setting_only_its_own_consent_goes(sandbox: Sandbox, which: str) -> None:
    sandbox.settings(revoke_whole_grant=False)
    old, new = consent(sandbox), consent(sandbox)
    assert revoke(sandbox, old[which]).status_code == 200
    assert refusal(refresh(sandbox, old["refresh_token"])) == DEAD
    assert not sandbox.accepts(old["access_token"])
    assert sandbox.accepts(new["access_token"])
    assert refresh(sandbox, new["refresh_token"]).status_code == 200
