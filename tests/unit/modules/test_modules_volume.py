"""What each state does, asks, and says: with few helpers, and none that changes anything in check mode."""

from __future__ import annotations

import pytest
from module_utils.token_keeper_helper import volume
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.frontend import concluded
from module_utils.token_keeper_helper.helper import Outward
from pretended import FRESH, NOTHING, Docker, document, error, printed, refused, said, status

INITIALISED = {
    "changed": True,
    "before": {"uid": 0, "gid": 0, "mode": "0755"},
    "after": {"uid": 999, "gid": 999, "mode": "0700"},
}


def test_a_volume_as_it_should_be_costs_one_helper(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status())])
    outcome = volume.present(docker.helper, "0700", check_mode=False).as_result()
    assert (outcome["changed"], outcome["reason"], outcome["generation"]) == (False, "Unchanged", 3)
    assert outcome["before"] == outcome["after"] == document()
    assert docker.verbs() == ["status"]


def test_a_fresh_volume_gets_its_owner_and_mode(docker: Docker) -> None:
    docker.has_volume()
    docker.on(
        "status",
        answers=[said(status(0, volume=FRESH, document=NOTHING)), said(status(0, document=NOTHING))],
    )
    docker.on("ps", answers=[printed("")])
    docker.on("init-volume", answers=[said(INITIALISED)])
    outcome = volume.present(docker.helper, "0700", check_mode=False).as_result()
    assert (outcome["changed"], outcome["reason"]) == (True, "Initialised")
    assert outcome["volume"] == {"uid": 999, "gid": 999, "mode": "0700"}
    assert outcome["diff"]["before"]["volume"] == {"uid": 0, "gid": 0, "mode": "0755"}
    assert docker.verbs() == ["status", "init-volume --uid 999 --gid 999 --mode 0700", "status"]


def test_a_volume_that_its_user_cannot_look_into_is_initialised_too(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[error("StorageError", "WrongOwner", 10), said(status())])
    docker.on("ps", answers=[printed("")])
    docker.on("init-volume", answers=[said(INITIALISED)])
    assert volume.present(docker.helper, "0700", check_mode=False).changed


def test_a_volume_that_initialising_does_not_help_keeps_its_error(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[error("StorageError", "Broken", 10)])
    docker.on("ps", answers=[printed("")])
    docker.on("init-volume", answers=[said({**INITIALISED, "changed": False})])
    with pytest.raises(ModuleFailure) as caught:
        volume.present(docker.helper, "0700", check_mode=False)
    assert caught.value.reason == "Broken"


def test_check_mode_of_a_fresh_volume_looks_and_tries_dry(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status(0, volume=FRESH, document=NOTHING))])
    docker.on("ps", answers=[printed("")])
    docker.on("init-volume", answers=[said(INITIALISED)])
    outcome = volume.present(docker.helper, "0700", check_mode=True)
    assert outcome.changed
    assert docker.verbs() == ["status", "init-volume --uid 999 --gid 999 --mode 0700 --dry-run"]


def test_without_a_volume_check_mode_says_changed_and_a_real_run_says_what_to_do(docker: Docker) -> None:
    docker.has_no_volume()
    assert volume.present(docker.helper, "0700", check_mode=True).changed
    with pytest.raises(ModuleFailure) as caught:
        volume.present(docker.helper, "0700", check_mode=False)
    assert caught.value.reason == "VolumeMissing"
    # docker run would have created it
    assert docker.verbs() == []


THEIRS = {"uid": 1000, "gid": 1000, "mode": "0700", "writable": True, "filesystem": "ext4"}


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_owner_is_not_changed_under_running_containers(docker: Docker, check_mode: bool) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status(volume=THEIRS))])
    docker.on("ps", answers=[printed("api-1\trunning\t\n")])
    with pytest.raises(ModuleFailure, match=r"belongs to 1000:1000 and is used by api-1 \(running\)") as caught:
        volume.present(docker.helper, "0700", check_mode=check_mode)
    assert caught.value.reason == "VolumeInUse"
    assert docker.verbs() == ["status"]
    asked = next(argv for argv, _ in docker.calls if "ps" in argv)
    assert "--all" not in asked


def test_the_owner_of_a_closed_volume_is_found_by_a_dry_run(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[error("StorageError", "WrongOwner", 10)])
    docker.on("ps", answers=[printed("db\trunning\t\n")])
    docker.on("init-volume", answers=[said({**INITIALISED, "before": {"uid": 70, "gid": 70, "mode": "0700"}})])
    with pytest.raises(ModuleFailure, match="belongs to 70:70"):
        volume.present(docker.helper, "0700", check_mode=False)
    assert [verb.split()[-1] for verb in docker.verbs()] == ["status", "--dry-run"]


@pytest.mark.parametrize(
    ("force", "there"),
    [
        (True, status(volume=THEIRS)),
        (False, status(0, volume=FRESH, document=NOTHING)),
        (False, status(volume={**THEIRS, "uid": 999, "gid": 999, "mode": "0755"})),
    ],
    ids=["forced", "as Docker makes it", "only the mode"],
)
def test_running_containers_do_not_stand_in_the_way_of(docker: Docker, force: bool, there: dict[str, object]) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(there), said(status())])
    docker.on("ps", answers=[printed("api-1\trunning\t\n")])
    docker.on("init-volume", answers=[said(INITIALISED)])
    assert volume.present(docker.helper, "0700", force=force, check_mode=False).changed
    assert ("--force" in docker.verbs()[1]) is force


def test_a_volume_that_fits_by_chance_is_looked_into_before_it_is_ours(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status(0, document=NOTHING))])
    docker.on("ps", answers=[printed("")])
    docker.on("init-volume", answers=[error("Conflict", "ForeignContent", 11)])
    with pytest.raises(ModuleFailure) as caught:
        volume.present(docker.helper, "0700", check_mode=True)
    assert caught.value.reason == "ForeignContent"


def test_the_same_document_is_not_sent_again(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status())])
    outcome = volume.pushed(docker.helper, "0700", b"secret", "d" * 16, [], check_mode=False)
    assert (outcome.changed, outcome.reason) == (False, "Unchanged")
    assert docker.verbs() == ["status"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_another_document_is_pushed_on_stdin(docker: Docker, check_mode: bool) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status())])
    reply = {
        "changed": True,
        "reason": "Replaced",
        "before": document(),
        "after": document(fingerprint="9" * 16),
        "generation": 4,
    }
    docker.on("push", answers=[said(reply)])
    outcome = volume.pushed(
        docker.helper, "0700", b"secret", "9" * 16, [], force=True, check_mode=check_mode
    ).as_result()
    assert (outcome["changed"], outcome["reason"], outcome["generation"]) == (True, "Replaced", 4)
    assert outcome["diff"]["before"]["document"]["fingerprint"] == "d" * 16
    assert outcome["diff"]["after"]["document"]["fingerprint"] == "9" * 16
    assert docker.verbs() == ["status", "push --force" + (" --dry-run" if check_mode else "")]
    assert docker.calls[-1][1] == b"secret"


def test_a_document_that_nobody_has_settled_is_pushed_to_settle_it(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status(document=document(settled=False)))])
    docker.on(
        "push",
        answers=[
            said({"changed": False, "reason": "Unchanged", "before": document(), "after": document(), "generation": 4})
        ],
    )
    outcome = volume.pushed(docker.helper, "0700", b"secret", "d" * 16, [], check_mode=False)
    assert (outcome.changed, outcome.generation) == (False, 4)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_document_that_was_renewed_since_stays_and_the_play_goes_on(docker: Docker, check_mode: bool) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status(4, document=document(fingerprint="9" * 16)))])
    there = document(fingerprint="9" * 16)
    reply = {"changed": False, "reason": "NewerThere", "before": there, "after": there, "generation": 4}
    docker.on("push", answers=[said(reply)])
    outcome = volume.pushed(docker.helper, "0700", b"secret", "d" * 16, [], check_mode=check_mode).as_result()
    assert (outcome["changed"], outcome["reason"], outcome["generation"]) == (False, "NewerThere", 4)
    assert outcome["diff"]["before"] == outcome["diff"]["after"]


def test_check_mode_does_not_push_into_a_volume_that_is_not_initialised(docker: Docker) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status(0, volume=FRESH, document=NOTHING))])
    docker.on("ps", answers=[printed("")])
    docker.on("init-volume", answers=[said(INITIALISED)])
    outcome = volume.pushed(docker.helper, "0700", b"secret", "9" * 16, [], check_mode=True).as_result()
    assert outcome["changed"]
    assert outcome["before"] is None
    assert outcome["after"]["fingerprint"] == "9" * 16
    assert not any(verb.startswith("push") for verb in docker.verbs())


def test_refreshed_says_whether_it_exchanged(docker: Docker) -> None:
    docker.has_volume()
    reply = {
        "changed": True,
        "exchanged": True,
        "generation": 4,
        "before": document(),
        "after": document(),
        "exchanges": 6,
    }
    docker.on("refresh", answers=[said(reply)])
    outcome = volume.refreshed(docker.helper, Outward("egress"), force=True, check_mode=False).as_result()
    assert (outcome["changed"], outcome["exchanged"], outcome["exchanges"], outcome["generation"]) == (True, True, 6, 4)
    assert docker.verbs() == ["refresh --force"]
    assert "volume" not in outcome


@pytest.mark.parametrize(("force", "wanted"), [(False, False), (True, True), (False, True)])
def test_refreshed_in_check_mode_asks_nobody(docker: Docker, force: bool, wanted: bool) -> None:
    """The store itself says what it would do, so that check mode can't be wrong about it."""
    docker.has_volume()
    told = {"exchanged": wanted, "generation": 3, "before": document(), "after": document(), "exchanges": 6}
    docker.on("refresh", answers=[said(told)])
    outcome = volume.refreshed(docker.helper, Outward("egress"), force=force, check_mode=True).as_result()
    assert (outcome["changed"], outcome["generation"]) == (wanted, 3)
    assert docker.verbs() == ["refresh --dry-run" + (" --force" if force else "")]


def test_refreshed_in_check_mode_fails_where_a_real_run_would(docker: Docker) -> None:
    docker.has_volume()
    docker.on("refresh", answers=[error("TokenMissing", "NoDocument", 3)])
    with pytest.raises(ModuleFailure) as caught:
        volume.refreshed(docker.helper, Outward("egress"), force=True, check_mode=True)
    assert caught.value.kind == "TokenMissing"


@pytest.mark.parametrize("check_mode", [False, True])
def test_cleared_leaves_a_reason(docker: Docker, check_mode: bool) -> None:
    docker.has_volume()
    docker.on("clear", answers=[said({"changed": True, "before": document(), "generation": 3})])
    outcome = volume.cleared(docker.helper, "AccountClosed", check_mode=check_mode).as_result()
    assert outcome["changed"]
    assert outcome["after"] is None
    assert docker.verbs() == ["clear --reason AccountClosed" + (" --dry-run" if check_mode else "")]


def test_absent_names_the_containers_that_have_the_volume(docker: Docker) -> None:
    docker.has_volume()
    rows = "api-1\trunning\t\nold\texited\t\nhelper-1\trunning\thelper\n"
    docker.on("ps", answers=[printed(rows)])
    with pytest.raises(ModuleFailure) as caught:
        volume.absent(docker.engine, "tokens", check_mode=False)
    assert caught.value.reason == "VolumeInUse"
    assert "api-1 (running), old (exited)" in str(caught.value)
    assert "helper" not in str(caught.value)


@pytest.mark.parametrize("check_mode", [False, True])
def test_absent_removes_a_volume_that_nobody_has(docker: Docker, check_mode: bool) -> None:
    docker.has_volume()
    docker.on("ps", answers=[printed("")])
    docker.on("volume", "rm", answers=[said("tokens")])
    assert volume.absent(docker.engine, "tokens", check_mode=check_mode).changed
    assert any("rm" in argv for argv, _ in docker.calls) is not check_mode


def test_absent_has_nothing_to_do_without_a_volume(docker: Docker) -> None:
    docker.has_no_volume()
    assert not volume.absent(docker.engine, "tokens", check_mode=False).changed


def test_an_engine_that_does_not_answer_is_not_a_missing_volume(docker: Docker) -> None:
    docker.on(
        "volume",
        answers=[refused(1, "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")],
    )
    with pytest.raises(ModuleFailure) as caught:
        volume.absent(docker.engine, "tokens", check_mode=False)
    assert caught.value.reason == "EngineUnreachable"


def test_an_image_that_a_real_run_makes_first_is_no_failure_of_check_mode() -> None:
    def work() -> dict[str, object]:
        raise ModuleFailure("ImageError", "ImageMissing", "the image keeper:1 is not on the Docker host", "build it")

    assert concluded(work, check_mode=False)["failed"]
    result = concluded(work, check_mode=True)
    assert "failed" not in result
    assert "keeper:1" in result["warnings"][0]
