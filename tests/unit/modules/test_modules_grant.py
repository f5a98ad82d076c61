"""When a person has to consent, and that one is not asked without need."""

from __future__ import annotations

from typing import Any

import pytest
from module_utils.token_keeper_helper.grant import Wanted, judge
from pretended import NOTHING, document, status

from token_keeper.consent import missing_scopes

WANTED = Wanted("f" * 16, ("calendar",), "https://provider.example/token")
DEAD = {"type": "ReauthRequired", "status": "True", "reason": "invalid_grant", "message": "revoked"}
ALIVE = {"type": "ReauthRequired", "status": "False", "reason": "GrantAccepted", "message": ""}


@pytest.mark.parametrize(
    ("there", "wanted", "reason"),
    [
        (status(), WANTED, "Unchanged"),
        (status(document=document(expires_in=-5)), WANTED, "Unchanged"),
        (status(document=document(scopes=["mail", "calendar"])), WANTED, "Unchanged"),
        (status(conditions=[ALIVE]), WANTED, "Unchanged"),
        (status(), Wanted("f" * 16, ("calendar",), WANTED.token_uri, "me@example.com"), "Unchanged"),
        (status(document=NOTHING), WANTED, "NoSoundDocument"),
        (
            status(document={"state": "corrupt", "reason": "NotJSON", "message": "is not JSON"}),
            WANTED,
            "NoSoundDocument",
        ),
        (status(document=document(client_fingerprint="0" * 16)), WANTED, "ClientChanged"),
        (status(document=document(scopes=["mail"])), WANTED, "ScopesMissing"),
        (status(document=document(token_uri="https://other.example/token")), WANTED, "EndpointChanged"),
        (
            status(document=document(account="you@x")),
            Wanted("f" * 16, ("calendar",), WANTED.token_uri, "me@x"),
            "AccountChanged",
        ),
        (status(conditions=[ALIVE, DEAD]), WANTED, "ReauthRequired"),
    ],
)
def test_the_reason_is_told(there: dict[str, Any], wanted: Wanted, reason: str) -> None:
    verdict = judge(there, wanted, missing_scopes, reconsent=False)
    assert verdict.reason == reason
    assert verdict.needed is (reason != "Unchanged")
    assert verdict.because


def test_reconsent_asks_although_all_is_well_but_the_weightier_reason_is_told() -> None:
    assert judge(status(), WANTED, missing_scopes, reconsent=True).reason == "ReconsentAsked"
    assert judge(status(document=NOTHING), WANTED, missing_scopes, reconsent=True).reason == "NoSoundDocument"
