"""Before a person is asked, what earlier writers left is settled: the real command works behind a pretended docker."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from module_utils.token_keeper_helper import consenting
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.process import Completed
from pretended import Docker
from test_modules_consenting import OBTAINED, settle

from token_keeper import TokenDocument, TokenStore
from token_keeper.cli.main import main
from token_keeper.consent import Consent as Brought
from token_keeper.state import State

OTHER = dataclasses.replace(OBTAINED, token="other-token", refresh_token="other-refresh")
"""A document of another grant that fits as well."""

Consent = Callable[[], TokenDocument]


class Volume(Docker):
    """A docker command whose helpers work on a real folder."""

    folder: Path

    def __call__(self, argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        if "run" not in argv:
            return super().__call__(argv, stdin)
        self.calls.append((list(argv), stdin))
        verb = argv[list(argv).index("keeper:1") + 2 :]
        done = CliRunner().invoke(main, [f"--path={self.store.path}", *verb], input=stdin)
        return Completed(done.exit_code, done.stdout, done.stderr)

    @property
    def store(self) -> TokenStore:
        return TokenStore(self.folder / "token.json", service="test")

    @property
    def file(self) -> Path:
        return self.folder / "token.json"


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """A volume that has held a sound document."""
    volume = Volume()
    volume.folder = tmp_path
    volume.has_volume()
    volume.store.replace(OBTAINED)
    return volume


@pytest.fixture
def consents(monkeypatch: pytest.MonkeyPatch) -> list[Consent]:
    """What each person answers that is asked; nobody may be asked more often."""
    answers: list[Consent] = []

    def asked(*_: object) -> Brought:
        assert answers, "a person was asked"
        return Brought(answers.pop(0)())

    monkeypatch.setattr(consenting, "asked", asked)
    return answers


def test_a_torn_document_with_a_history_costs_no_consent(volume: Volume, consents: list[Consent]) -> None:
    volume.file.write_text('{"token": "canary')
    foreseen = settle(volume, check_mode=True)
    assert volume.file.read_text() == '{"token": "canary'
    result = settle(volume)
    for told in (foreseen, result):
        assert (told["changed"], told["reason"], told["before"]["state"]) == (True, "Mended", "corrupt")
        assert (told["after"]["fingerprint"], told["generation"]) == (OBTAINED.fingerprint, 1)
    assert volume.store.read().fingerprint == OBTAINED.fingerprint
    assert settle(volume)["reason"] == "Unchanged"


def test_a_consent_that_is_needed_all_the_same_replaces_what_was_mended(
    volume: Volume, consents: list[Consent]
) -> None:
    volume.file.write_text("torn")
    consents.append(lambda: OTHER)
    result = settle(volume, reconsent=True)
    assert (result["changed"], result["reason"]) == (True, "ReconsentAsked")
    assert volume.store.read().refresh_token == "other-refresh"


def test_a_torn_document_without_a_history_is_replaced(tmp_path: Path, consents: list[Consent]) -> None:
    volume = Volume()
    volume.folder = tmp_path
    volume.has_volume()
    volume.file.write_text("torn")
    consents.append(lambda: OTHER)
    assert settle(volume)["reason"] == "NoSoundDocument"
    assert volume.store.read().refresh_token == "other-refresh"


@pytest.mark.parametrize("check_mode", [True, False])
def test_nobody_is_asked_for_a_directory_in_the_documents_place(
    volume: Volume, consents: list[Consent], check_mode: bool
) -> None:
    volume.file.unlink()
    volume.file.mkdir()
    with pytest.raises(ModuleFailure, match="nobody was asked") as caught:
        settle(volume, check_mode=check_mode)
    assert (caught.value.kind, caught.value.reason) == ("TokenCorrupt", "NotAFile")
    assert "move it away" in caught.value.remedy


def test_a_document_put_in_by_hand_heals_a_dead_grant(volume: Volume, consents: list[Consent]) -> None:
    declare_dead(volume)
    volume.file.write_text(OTHER.to_json())
    result = settle(volume)
    assert (result["changed"], result["reason"], result["generation"]) == (False, "Unchanged", 2)
    assert volume.store.read().refresh_token == "other-refresh"


def test_a_grant_that_stays_dead_needs_a_consent(volume: Volume, consents: list[Consent]) -> None:
    declare_dead(volume)
    with pytest.raises(ModuleFailure) as caught:
        settle(volume, consent="none")
    assert caught.value.reason == "ConsentNeeded"
    consents.append(lambda: OTHER)
    assert settle(volume)["reason"] == "ReauthRequired"


@pytest.mark.parametrize("token", [OBTAINED.token, "renewed"])
def test_what_was_taken_away_and_written_back_is_no_token(volume: Volume, consents: list[Consent], token: str) -> None:
    volume.store.clear("AccountClosed")
    volume.file.write_text(dataclasses.replace(OBTAINED, token=token).to_json())
    assert settle(volume, check_mode=True)["reason"] == "NoSoundDocument"
    consents.append(lambda: OTHER)
    assert settle(volume)["reason"] == "NoSoundDocument"
    assert volume.store.read().refresh_token == "other-refresh"


def test_a_renewal_of_the_old_grant_does_not_waste_the_consent(volume: Volume, consents: list[Consent]) -> None:
    def renewed_meanwhile() -> TokenDocument:
        assert OBTAINED.expiry is not None
        volume.store.replace(
            dataclasses.replace(OBTAINED, token="renewed", expiry=OBTAINED.expiry + timedelta(minutes=5))
        )
        return OTHER

    consents.append(renewed_meanwhile)
    assert settle(volume, reconsent=True)["generation"] == 3
    assert volume.store.read().refresh_token == "other-refresh"


def test_another_grant_that_came_during_the_consent_stays(volume: Volume, consents: list[Consent]) -> None:
    theirs = dataclasses.replace(OBTAINED, token="theirs", refresh_token="their-refresh")

    def replaced_meanwhile() -> TokenDocument:
        volume.store.replace(theirs, force=True)
        return OTHER

    consents.append(replaced_meanwhile)
    with pytest.raises(ModuleFailure) as caught:
        settle(volume, reconsent=True)
    assert caught.value.reason == "GenerationChanged"
    assert volume.store.read().refresh_token == "their-refresh"


def declare_dead(volume: Volume) -> None:
    """Note what a provider's ``invalid_grant`` leaves in the state."""
    file = volume.folder / ".token.json.state"
    state = State.parse(file.read_bytes())
    assert state is not None
    state.dead_grant, state.dead_reason = OBTAINED.grant_fingerprint, "InvalidGrant"
    state.set_condition("ReauthRequired", "True", "InvalidGrant", "revoked", 0.0)
    file.write_text(state.to_json())


def test_a_provider_that_gives_the_same_refresh_token_again_has_given_no_other_grant(
    volume: Volume, consents: list[Consent]
) -> None:
    consents.append(lambda: dataclasses.replace(OBTAINED, token="canary-another-token"))
    before = volume.file.read_bytes()
    with pytest.raises(ModuleFailure) as caught:
        settle(volume, stage=True)
    assert caught.value.reason == "SameGrant"
    assert "canary" not in str(caught.value)
    assert (volume.file.read_bytes(), volume.store.status().staged) == (before, None)
