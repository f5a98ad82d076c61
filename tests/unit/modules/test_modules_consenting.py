"""From the status of a volume to a pushed token: who is asked, what is sent, and what is said when it goes wrong."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from module_utils.token_keeper_helper import asking, consenting
from module_utils.token_keeper_helper.asking import Person
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.helper import Outward
from pretended import NOTHING, Docker, document, error, said, status

from token_keeper import TokenDocument
from token_keeper.consent import Consent, Inquiry
from token_keeper.errors import ConsentError

CLIENT = {
    "client_id": "id",
    "client_secret": "canary-secret",
    "auth_uri": "https://p.example/a",
    "token_uri": "https://p.example/t",
}
OPTIONS: dict[str, Any] = {
    "consent": "loopback",
    "answer": None,
    "seen": None,
    "stage": False,
    "provider": None,
    "scopes": ["calendar"],
    "auth_uri": None,
    "token_uri": None,
    "consumer_token_uri": None,
    "issuer": None,
    "extra_params": {},
    "redirect_port": 0,
    "timeout": 300.0,
    "browser": None,
    "reconsent": False,
    "account": None,
    "allow_http": False,
    "rotation": None,
    "reuse_grace": None,
}
OBTAINED = TokenDocument(
    token="canary-token",
    refresh_token="canary-refresh",
    token_uri="https://p.example/t",
    client_id="id",
    client_secret="canary-secret",
    scopes=("calendar",),
    expiry=datetime.now(UTC) + timedelta(hours=1),
)
PUSHED = {"changed": True, "reason": "Created", "before": None, "after": document(), "generation": 1}


Questions = list[tuple[str, Inquiry]]
"""How and what each person was asked."""


def settle(
    docker: Docker, secrets: object = CLIENT, *, check_mode: bool = False, at_terminal: bool = False, **options: Any
) -> dict[str, Any]:
    parameters = {**OPTIONS, **options}
    with tempfile.TemporaryDirectory() as folder:
        person = Person(lambda text: None, lambda prompt, seconds: "", Path(folder), at_terminal)
        return consenting.settle(
            parameters, (secrets, "the test"), docker.helper, Outward("egress"), person, check_mode=check_mode
        )


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Questions:
    """A person who consents; the list has how and what each was asked."""
    questions: Questions = []

    def asked(mode: str, inquiry: Inquiry, *_: object) -> Consent:
        questions.append((mode, inquiry))
        return Consent(dataclasses.replace(OBTAINED, account=inquiry.account or ""))

    monkeypatch.setattr(consenting, "asked", asked)
    return questions


@pytest.fixture
def empty(docker: Docker) -> Docker:
    """An initialised volume without a document."""
    docker.has_volume()
    docker.on("status", answers=[said(status(0, document=NOTHING))])
    return docker


def test_the_answer_goes_to_the_helper_on_stdin_with_its_remaining_life(empty: Docker, person: Questions) -> None:
    empty.on("push", answers=[said(PUSHED)])
    result = settle(empty, rotation="yes", reuse_grace=30.0, account="me@example.com")
    assert (result["changed"], result["reason"], result["generation"]) == (True, "NoSoundDocument", 1)
    argv, stdin = empty.calls[-1]
    assert stdin is not None
    assert json.loads(stdin)["refresh_token"] == "canary-refresh"
    assert json.loads(stdin)["account"] == person[0][1].login_hint == "me@example.com"
    assert "canary" not in " ".join(argv)
    assert {"--expect=0", "--rotation=yes", "--reuse-grace=30.0"} <= set(argv)
    left = next(int(word.partition("=")[2]) for word in argv if word.startswith("--expires-in="))
    assert OBTAINED.expiry is not None
    assert left == pytest.approx(OBTAINED.expiry.timestamp() - time.time(), abs=60)
    assert "canary" not in json.dumps(result)


def test_what_a_provider_asks_for_beyond_the_standard_is_handed_on(empty: Docker, person: Questions) -> None:
    empty.on("push", answers=[said(PUSHED)])
    settle(empty, issuer="https://p.example", extra_params={"audience": "https://api.example", "max_age": 60})
    assert person[0][1].endpoints.issuer == "https://p.example"
    assert person[0][1].extra_params == {"audience": "https://api.example", "max_age": "60"}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"extra_params": {"state": "mine"}}, "ParametersInvalid"),
        ({"extra_params": {"audience": ["x"]}}, "ParametersInvalid"),
        ({"issuer": "p.example"}, "EndpointMalformed"),
    ],
)
def test_options_that_spoil_the_question_are_refused_before_anything_is_run(
    docker: Docker, person: Questions, options: dict[str, Any], reason: str, check_mode: bool
) -> None:
    with pytest.raises(ModuleFailure) as caught:
        settle(docker, check_mode=check_mode, **options)
    assert caught.value.reason == reason
    assert (person, docker.calls) == ([], [])


def test_a_volume_that_changed_during_the_consent_is_left_alone(docker: Docker, person: Questions) -> None:
    docker.has_volume()
    docker.on("policy", answers=[said({})])
    seen, now = status(3), status(4, document=document(fingerprint="0" * 16), grant="g2")
    docker.on("status", answers=[said(seen), said(seen), said(now)])
    docker.on("push", answers=[error("Conflict", "GenerationChanged", 11)])
    with pytest.raises(ModuleFailure) as caught:
        settle(docker)
    assert caught.value.kind == "Conflict"
    assert len([verb for verb in docker.verbs() if verb.startswith("push")]) == 1


def test_the_same_document_with_another_number_is_replaced(docker: Docker, person: Questions) -> None:
    docker.has_volume()
    docker.on("policy", answers=[said({})])
    docker.on("status", answers=[said(status(3)), said(status(3)), said(status(4))])
    docker.on("push", answers=[error("Conflict", "GenerationChanged", 11), said(PUSHED)])
    assert settle(docker)["changed"]
    assert [verb.split()[1] for verb in docker.verbs() if verb.startswith("push")] == ["--expect=3", "--expect=4"]


def test_nobody_is_asked_for_a_volume_that_cannot_take_the_answer(docker: Docker, person: Questions) -> None:
    docker.has_volume()
    there = status(0, document=NOTHING)
    docker.on("status", answers=[said({**there, "volume": {**there["volume"], "writable": False}})])
    with pytest.raises(ModuleFailure) as caught:
        settle(docker)
    assert caught.value.reason == "NotWritable"
    assert person == []


def test_nobody_is_asked_in_check_mode(empty: Docker, person: Questions) -> None:
    result = settle(empty, check_mode=True)
    assert result["changed"]
    assert "would be asked" in result["msg"]
    assert result["after"]["scopes"] == ["calendar"]
    assert person == []


def test_check_mode_goes_on_without_a_volume_or_client_secrets(docker: Docker) -> None:
    docker.has_no_volume()
    assert settle(docker, check_mode=True)["reason"] == "VolumeMissing"
    missing = settle(docker, {}, check_mode=True)
    assert (missing["changed"], missing["reason"]) == (True, "ClientSecretsMissing")
    with pytest.raises(ModuleFailure) as caught:
        settle(docker, {})
    assert caught.value.reason == "ClientSecretsMissing"


def test_a_library_that_fails_with_the_secret_in_its_message_does_not_tell_it(
    empty: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_loopback(*_: object, **__: object) -> Consent:
        raise ValueError("bad form: client_secret=canary-secret")

    monkeypatch.setattr(asking, "by_loopback", by_loopback)
    with pytest.raises(ModuleFailure) as caught:
        settle(empty)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_consent_that_is_refused_keeps_its_type_and_remedy(empty: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_loopback(*_: object, **__: object) -> Consent:
        raise ConsentError("refused", reason="ConsentRefused", remedy="ask again")

    monkeypatch.setattr(asking, "by_loopback", by_loopback)
    with pytest.raises(ModuleFailure) as caught:
        settle(empty)
    assert (caught.value.kind, caught.value.reason, caught.value.remedy) == (
        "ConsentError",
        "ConsentRefused",
        "ask again",
    )
    assert not any(verb.startswith("push") for verb in empty.verbs())


@pytest.fixture
def satisfied(docker: Docker) -> Docker:
    """A volume with the document that is asked for, of a provider that rotates and has a grace of 30 s."""
    asked = TokenDocument.parse(OBTAINED.to_json())
    there = document(client_fingerprint=asked.client_fingerprint, token_uri=asked.token_uri)
    docker.has_volume()
    docker.on("status", answers=[said(status(document=there, rotation="yes", reuse_grace=30.0))])
    return docker


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_declared_of_the_provider_changes_beside_a_document_that_stays(
    satisfied: Docker, person: Questions, check_mode: bool
) -> None:
    before, after = {"rotation": "yes", "reuse_grace": 30.0}, {"rotation": "no", "reuse_grace": 30.0}
    satisfied.on("policy", answers=[said({"changed": True, "before": before, "after": after, "generation": 3})])
    result = settle(satisfied, check_mode=check_mode, rotation="no", reuse_grace=30.0)
    assert (result["changed"], result["reason"], result["policy"]) == (True, "PolicyChanged", after)
    assert result["before"] == result["after"]
    assert (result["diff"]["before"]["policy"], result["diff"]["after"]["policy"]) == (before, after)
    assert satisfied.verbs() == ["status", "policy --rotation=no" + (" --dry-run" if check_mode else "")]
    assert person == []


@pytest.mark.parametrize(
    "declared",
    [{}, {"rotation": "yes", "reuse_grace": 30.0}, {"rotation": "unknown"}],
    ids=["nothing", "same", "unknown"],
)
def test_a_declaration_that_says_nothing_new_costs_no_helper(satisfied: Docker, declared: dict[str, Any]) -> None:
    result = settle(satisfied, **declared)
    assert (result["changed"], result["reason"]) == (False, "Unchanged")
    assert "policy" not in result
    assert satisfied.verbs() == ["status"]


def test_a_token_that_was_seen_to_be_the_one_asked_for_is_not_asked_again(satisfied: Docker) -> None:
    seen = satisfied.helper.run("status")
    satisfied.calls.clear()
    result = settle(satisfied, seen=seen)
    assert (result["changed"], result["reason"], result["generation"]) == (False, "Unchanged", seen["generation"])
    assert satisfied.calls == []


@pytest.mark.parametrize(
    ("spoilt", "options"),
    [
        ({}, {"scopes": ["calendar", "mail"]}),
        ({}, {"rotation": "no"}),
        ({"settled": False}, {}),
        ({"state": "missing", "message": "gone"}, {}),
    ],
    ids=["scopes", "declaration", "unsettled", "missing"],
)
def test_what_was_seen_to_need_something_is_looked_at(
    satisfied: Docker, person: Questions, spoilt: dict[str, Any], options: dict[str, Any]
) -> None:
    seen = satisfied.helper.run("status")
    satisfied.calls.clear()
    satisfied.on("policy", answers=[said({"changed": False, "before": {}, "after": {}, "generation": 3})])
    satisfied.on("clear", answers=[said({"changed": True, "before": None, "generation": 3})])
    settle(satisfied, seen={**seen, "document": {**seen["document"], **spoilt}}, check_mode=True, **options)
    assert satisfied.verbs()[0] == "status"
