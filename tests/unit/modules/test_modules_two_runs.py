"""A consent in two runs: the real command behind a pretended docker, and a provider that is found by its issuer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from module_utils.token_keeper_helper import two_runs
from module_utils.token_keeper_helper.asking import mode_of
from module_utils.token_keeper_helper.failure import ModuleFailure
from test_modules_consenting import settle
from test_modules_settling import Volume

from sandbox_provider.person import _step
from sandbox_provider.testing import CALENDAR_SCOPES, Sandbox, running_sandbox

PROFILE = {
    "name": "another",
    "authorization_parameters": {"access_type": "offline", "prompt": "consent"},
    "refresh_tokens": {"rotation": "yes", "reuse_grace": 30},
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    with running_sandbox(rotation=True) as running:
        yield running


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """A volume without a document."""
    volume = Volume()
    volume.folder = tmp_path
    volume.has_volume()
    return volume


def run(volume: Volume, provider: Sandbox, **options: Any) -> dict[str, Any]:
    """Run the task for a client that knows nothing of its provider."""
    client = {"client_id": provider.client.client_id, "client_secret": provider.client.client_secret}
    asked = {"scopes": list(CALENDAR_SCOPES), "issuer": provider.url, "consent": "auto", "provider": PROFILE}
    return settle(volume, client, **{**asked, **options})


def pending(volume: Volume, provider: Sandbox, **options: Any) -> str:
    """Run it, and return the address that it wants to be opened."""
    with pytest.raises(two_runs.ConsentPending) as caught:
        run(volume, provider, **options)
    result = caught.value.as_result()
    assert result["error"]["reason"] == "ConsentPending"
    assert result["consent"]["url"] in result["msg"]
    return str(result["consent"]["url"])


def ends_at(url: str) -> str:
    redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    while not url.startswith(redirect):
        url = urljoin(url, str(_step(url, None, {})[1]))
    return url


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROWSER", raising=False)


def test_the_second_run_is_given_the_answer(volume: Volume, provider: Sandbox) -> None:
    url = pending(volume, provider)
    assert volume.store.status().document["state"] == "missing"
    assert pending(volume, provider) == url, "as long as it is good, the same one"
    answer = ends_at(url)
    result = run(volume, provider, answer=answer)
    assert (result["changed"], result["reason"], result["generation"]) == (True, "NoSoundDocument", 1)
    document = volume.store.read()
    assert document.token_uri == provider.token_uri
    assert (volume.store.status().rotation, volume.store.status().reuse_grace) == ("yes", 30)
    for again in (answer, None):
        assert run(volume, provider, answer=again)["reason"] == "Unchanged"
    said = json.dumps(result)
    assert not any(each in said for each in (answer, str(document.token), document.refresh_token))
    assert all(answer not in " ".join(argv) for argv, _ in volume.calls)


def test_a_consent_for_something_else_begins_anew(volume: Volume, provider: Sandbox) -> None:
    url = pending(volume, provider)
    assert pending(volume, provider, extra_params={"audience": "x"}) != url
    assert pending(volume, provider, account="me@sandbox.invalid") != url
    fixed = pending(volume, provider, redirect_port=8765)
    assert "127.0.0.1%3A8765" in fixed
    assert pending(volume, provider, redirect_port=8765) == fixed
    assert pending(volume, provider, redirect_port=8766) != fixed


def test_an_answer_to_another_question_is_not_used(volume: Volume, provider: Sandbox) -> None:
    url = pending(volume, provider)
    answer = ends_at(url)
    foreign = answer.replace("state=", "state=x")
    with pytest.raises(two_runs.ConsentPending, match="belongs to another question") as caught:
        run(volume, provider, answer=foreign)
    assert caught.value.consent["url"] == url
    assert run(volume, provider, answer=[foreign, answer])["changed"]


def test_a_question_may_be_answered_until_its_end(volume: Volume, provider: Sandbox) -> None:
    """Nobody would be shown it again, but an answer to it is as good as promised."""
    url = pending(volume, provider)
    answer = ends_at(url)
    shorten(volume, 60)
    assert run(volume, provider, answer=answer)["changed"]


def test_an_answer_that_fits_nothing_shows_an_address_that_can_be_used(volume: Volume, provider: Sandbox) -> None:
    url = pending(volume, provider)
    shorten(volume, 60)
    assert pending(volume, provider, answer=ends_at(url).replace("state=", "state=x")) != url


def shorten(volume: Volume, seconds: float) -> None:
    """Leave the question that waits only so many seconds."""
    waiting = volume.folder / ".token.json.consent"
    fields = json.loads(waiting.read_text())
    fields["span"]["seconds"] = seconds
    waiting.write_text(json.dumps(fields))


def test_an_answer_is_used_whatever_this_machine_would_choose(
    volume: Volume, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ends_at(pending(volume, provider))
    monkeypatch.setenv("BROWSER", "true")
    with pytest.raises(ModuleFailure) as caught:
        run(volume, provider, answer=answer, consent="loopback")
    assert caught.value.reason == "AnswerUnexpected"
    assert run(volume, provider, answer=answer)["changed"]


@pytest.mark.parametrize("answer", [{"code": "canary"}, 7, ["http://127.0.0.1/", {"code": "canary"}]])
def test_an_answer_is_a_text_or_several(volume: Volume, provider: Sandbox, answer: object) -> None:
    with pytest.raises(ModuleFailure) as caught:
        run(volume, provider, answer=answer)
    assert caught.value.reason == "AnswerMalformed"
    assert "canary" not in str(caught.value)


def test_what_is_no_answer_is_told_as_such(volume: Volume, provider: Sandbox) -> None:
    url = pending(volume, provider)
    with pytest.raises(ModuleFailure, match="the address to open") as caught:
        run(volume, provider, answer=url)
    assert caught.value.reason == "AnswerMalformed"


def test_a_refusal_changes_nothing(volume: Volume, provider: Sandbox) -> None:
    url = pending(volume, provider)
    asked = parse_qs(urlsplit(url).query)
    refusal = f"{asked['redirect_uri'][0]}?error=access_denied&state={asked['state'][0]}&iss={provider.url}"
    with pytest.raises(ModuleFailure) as caught:
        run(volume, provider, answer=refusal)
    assert caught.value.reason == "ConsentRefused"
    assert volume.store.status().document["state"] == "missing"


def test_a_staged_consent_leaves_the_document_alone(volume: Volume, provider: Sandbox) -> None:
    assert run(volume, provider, answer=ends_at(pending(volume, provider)))["changed"]
    current = volume.store.read()
    answer = ends_at(pending(volume, provider, stage=True))
    result = run(volume, provider, stage=True, answer=answer)
    assert (result["changed"], result["reason"], result["staged"]["reason"]) == (True, "Staged", "reconsent")
    assert result["after"]["refresh_token_fingerprint"] != result["before"]["refresh_token_fingerprint"]
    assert volume.store.read() == current
    staged = volume.store.status().staged
    assert staged is not None
    assert staged["document"]["refresh_token_fingerprint"] == result["after"]["refresh_token_fingerprint"]


def test_the_scopes_by_which_an_account_is_told_ask_for_no_second_consent(volume: Volume, provider: Sandbox) -> None:
    account = "demo@sandbox.invalid"
    assert run(volume, provider, account=account, answer=ends_at(pending(volume, provider, account=account)))["changed"]
    assert {"openid", *CALENDAR_SCOPES} <= set(volume.store.read().scopes or ())
    assert run(volume, provider, account=account.upper())["reason"] == "Unchanged"
    assert pending(volume, provider, account="somebody@sandbox.invalid")


def test_another_account_is_refused_and_the_document_stays(volume: Volume, provider: Sandbox) -> None:
    assert run(volume, provider, answer=ends_at(pending(volume, provider)))["changed"]
    current, other = volume.store.read(), "somebody@sandbox.invalid"
    answer = ends_at(pending(volume, provider, account=other, reconsent=True).replace("login_hint=", "no_hint="))
    with pytest.raises(ModuleFailure) as caught:
        run(volume, provider, account=other, reconsent=True, answer=answer)
    assert caught.value.reason == "AccountMismatch"
    assert volume.store.read() == current


def test_a_provider_that_does_not_tell_its_endpoints_is_no_fault_of_a_sound_token(
    volume: Volume, provider: Sandbox
) -> None:
    assert run(volume, provider, answer=ends_at(pending(volume, provider)))["changed"]
    silent = f"{provider.url}/nowhere"
    result = run(volume, provider, issuer=silent)
    assert (result["changed"], result["reason"]) == (False, "Unchanged")
    assert "could not be compared" in result["warnings"][0]
    with pytest.raises(ModuleFailure) as caught:
        run(volume, provider, issuer=silent, reconsent=True, consent="loopback")
    assert caught.value.reason == "DiscoveryFailed"


def test_nobody_begins_anything_in_check_mode(volume: Volume, provider: Sandbox) -> None:
    assert run(volume, provider, check_mode=True)["changed"]
    assert list(volume.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("consent", "browser", "environment", "at_terminal", "mode"),
    [
        ("auto", None, {"DISPLAY": ":0"}, True, "loopback"),
        ("auto", None, {}, True, "paste"),
        ("auto", None, {"DISPLAY": ":0", "SSH_CONNECTION": "a 1 b 22"}, True, "paste"),
        ("auto", None, {"DISPLAY": ":0"}, False, "two_step"),
        ("auto", None, {}, False, "two_step"),
        ("auto", "firefox", {}, False, "loopback"),
        ("auto", None, {"BROWSER": "firefox"}, False, "loopback"),
        ("none", "firefox", {}, True, "none"),
        ("two_step", None, {"DISPLAY": ":0"}, True, "two_step"),
    ],
)
def test_the_mode_is_chosen_by_what_is_there(
    consent: str,
    browser: str | None,
    environment: dict[str, str],
    at_terminal: bool,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert mode_of(consent, browser, at_terminal=at_terminal) == mode


def test_a_prompt_needs_a_terminal(volume: Volume, provider: Sandbox) -> None:
    with pytest.raises(ModuleFailure) as caught:
        run(volume, provider, consent="paste")
    assert caught.value.reason == "TerminalMissing"
    assert "two_step" in caught.value.remedy
