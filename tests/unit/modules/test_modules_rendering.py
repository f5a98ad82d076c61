"""Nothing gets into Ansible's output that is not on the list of what may be told."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from module_utils.token_keeper_helper import rendering
from module_utils.token_keeper_helper.outcome import Outcome
from pretended import NOTHING, document, status

SECRETS = {"token": "ya29.canary", "refresh_token": "1//canary", "client_secret": "GOCSPX-canary"}


def test_an_answer_that_holds_secrets_leaves_them_behind() -> None:
    told = document(**SECRETS)
    outcome = Outcome(
        True, "Replaced", "token.json in volume tokens", told, told, 1, {"uid": 1, **SECRETS}, {"uid": 2, **SECRETS}
    )
    assert "canary" not in json.dumps(outcome.as_result())
    assert "canary" not in json.dumps(rendering.status_part(status(document=told, **SECRETS)))


def test_a_diff_does_not_show_what_changes_by_itself() -> None:
    before, after = document(expires_in=10, content_fingerprint="1"), document(expires_in=9, content_fingerprint="2")
    shown = rendering.diff("header", before, after)
    assert shown["before"] == shown["after"]


def test_no_document_is_none_whatever_was_said_about_it() -> None:
    result = Outcome(True, "Created", "header", NOTHING, document(), 1).as_result()
    assert result["before"] is None
    assert result["diff"]["before"]["document"] is None


@given(st.lists(st.text(min_size=1), max_size=4), st.text())
def test_redaction_leaves_no_secret(secrets: list[str], around: str) -> None:
    text = around.join(secrets)
    clean = rendering.redact(text, [*secrets, None, ""])
    assert all(secret not in clean.replace("[secret]", "") for secret in secrets if len(secret) > len("[secret]"))


def test_a_secret_that_begins_another_does_not_uncover_its_rest() -> None:
    assert rendering.redact("abc abcdef", ["abc", "abcdef"]) == "[secret] [secret]"
