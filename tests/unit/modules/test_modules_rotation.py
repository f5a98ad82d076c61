"""The steps of a rotation: the verb that each one is, the network that it has, and what it says."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator  # type: ignore[import-untyped]
from module_utils.token_keeper_helper import rendering, rotation
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.helper import Outward
from module_utils.token_keeper_helper.readiness import Readiness
from module_utils.token_keeper_helper.rotation_arguments import TOKEN_ROTATION, TOKEN_ROTATION_CONSTRAINTS
from pretended import Docker, document, error, printed, said, status

RECORD = {
    "id": "0123456789abcdef",
    "mode": "reconsent",
    "phase": "promoted",
    "started": "2026-11-23T11:00:00Z",
    "by": "ansible",
    "grant_before": "g1",
    "grant_after": "g2",
    "generation": 4,
}


def parameters(step: str, **more: Any) -> dict[str, Any]:
    validator = ArgumentSpecValidator(TOKEN_ROTATION, **TOKEN_ROTATION_CONSTRAINTS)
    validated = validator.validate({"volume": "tokens", "image": "keeper:1", "step": step, **more})
    assert validated.error_messages == []
    found: dict[str, Any] = validated.validated_parameters
    return found


def reply(reason: str, *, changed: bool = True) -> dict[str, Any]:
    return {
        "changed": changed,
        "reason": reason,
        "generation": 4,
        "before": document(),
        "after": document(refresh_token_fingerprint="9" * 16),
        "staged": None,
        "rotation_record": RECORD,
    }


@pytest.mark.parametrize(
    ("step", "more", "verb", "network"),
    [
        ("check", {"check_url": "https://p/c"}, "check-staged --url https://p/c", "egress"),
        ("check", {"check_url": "https://p/t", "tokeninfo": True}, "check-staged --tokeninfo https://p/t", "egress"),
        ("promote", {}, "promote", "none"),
        ("promote", {"unchecked": True, "force": True}, "promote --force --unchecked", "none"),
        ("retire", {}, "retire", "none"),
        ("retire", {"revocation_url": "https://p/r"}, "retire", "none"),
        (
            "retire",
            {"revocation": "token", "revocation_url": "https://p/r"},
            "retire --revoke https://p/r --revocation token",
            "egress",
        ),
        ("unstage", {}, "unstage", "none"),
        ("rollback", {"grant": "g1"}, "rollback --grant g1", "egress"),
        ("restore_client", {}, "reclient --back", "egress"),
        ("restore_client", {"force": True}, "reclient --back --force", "egress"),
        ("revoke", {"revocation_url": "https://p/r"}, "revoke --url https://p/r", "egress"),
        ("revoke", {"local": True}, "revoke --local", "none"),
    ],
)
def test_each_step_is_one_verb_with_no_more_network_than_it_needs(
    docker: Docker, step: str, more: dict[str, Any], verb: str, network: str
) -> None:
    docker.has_volume()
    docker.on("run", answers=[said({**reply("Done"), "at_provider": network == "egress"})])
    result = rotation.take(docker.helper, parameters(step, network="egress", **more), check_mode=False)
    assert docker.verbs() == [verb]
    assert f"--network={network}" in docker.calls[-1][0]
    assert result["changed"] is True
    assert result["generation"] == 4


@pytest.mark.parametrize(
    ("step", "more", "verbs"),
    [
        ("check", {"check_url": "https://p/c"}, []),
        ("promote", {}, ["promote --dry-run"]),
        ("retire", {}, ["retire --dry-run"]),
        ("unstage", {}, ["unstage --dry-run"]),
        ("rollback", {"grant": "g2"}, ["status"]),
        ("restore_client", {}, ["reclient --back --dry-run"]),
        ("revoke", {"local": True}, ["revoke --local --dry-run"]),
    ],
)
def test_check_mode_takes_no_step(docker: Docker, step: str, more: dict[str, Any], verbs: list[str]) -> None:
    docker.has_volume()
    docker.on("run", answers=[said({**reply("Done"), "at_provider": False})])
    docker.on("status", answers=[said(status())])
    rotation.take(docker.helper, parameters(step, **more), check_mode=True)
    assert docker.verbs() == verbs


def test_a_secret_goes_in_on_stdin_alone(docker: Docker) -> None:
    docker.on("run", answers=[said(reply("Staged"))])
    rotation.staged(docker.helper, b'{"token": "canary"}', 120.0, force=True, check_mode=False)
    rotation.client_changed(docker.helper, Outward("egress"), b"canary", force=False, check_mode=True)
    assert docker.verbs() == ["stage --force --expires-in=120.0", "reclient --dry-run"]
    assert [stdin for _, stdin in docker.calls] == [b'{"token": "canary"}', b"canary"]
    assert "canary" not in str([argv for argv, _ in docker.calls])


@pytest.mark.parametrize("step", ["stage", "reclient"])
def test_a_step_with_a_secret_is_not_the_module_s(docker: Docker, step: str) -> None:
    more = {"document": {"token": "canary"}} if step == "stage" else {"client_secrets_file": "/x"}
    with pytest.raises(ModuleFailure, match="action plugin token_rotation"):
        rotation.take(docker.helper, parameters(step, **more), check_mode=False)
    assert docker.calls == []


def test_a_failure_keeps_the_reason_that_a_role_branches_on(docker: Docker) -> None:
    docker.has_volume()
    docker.on("promote", answers=[error("Conflict", "Unchecked", 11)])
    with pytest.raises(ModuleFailure) as caught:
        rotation.take(docker.helper, parameters("promote"), check_mode=False)
    assert (caught.value.kind, caught.value.reason) == ("Conflict", "Unchecked")


def container(service: str) -> dict[str, Any]:
    mount = {"Type": "volume", "Name": "tokens", "Destination": "/app/tokens"}
    labels = {"com.docker.compose.service": service}
    config = {"Labels": labels, "Hostname": service}
    return {"Id": service, "Name": f"/p-{service}-1", "Config": config, "Mounts": [mount], "State": {"Running": True}}


def consumers(docker: Docker, content: str) -> None:
    docker.has_volume()
    docker.on("status", answers=[said(status(4))])
    docker.on("ps", answers=[printed("api\n")])
    docker.on("inspect", "--type=container", answers=[said([container("api")])])
    docker.on("container", "inspect", answers=[said([container("api")])])
    docker.on("exec", answers=[printed(f"{content}  /app/tokens/token.json\n")])
    docker.on("converged", answers=[said(reply("Converged"))])
    docker.has_volume()


def test_consumers_that_follow_are_noted_in_the_record(docker: Docker) -> None:
    consumers(docker, "c" * 16)
    watched = parameters("watch", expect_generation=4, expect_containers={"api": 1}, timeout=1)
    assert rotation.take(docker.helper, watched, check_mode=False)["reason"] == "Converged"
    assert docker.verbs()[-1] == "converged"


@pytest.mark.parametrize(
    ("content", "wanted", "said_of_it"),
    [("b" * 16, {}, "p-api-1: it reads another document"), ("c" * 16, {"api": 2}, "api: 1 of 2 containers run")],
)
def test_a_consumer_that_lags_or_is_gone_is_named_and_nothing_is_noted(
    docker: Docker, content: str, wanted: dict[str, int], said_of_it: str
) -> None:
    consumers(docker, content)
    watched = parameters("watch", expect_generation=4, expect_containers=wanted, timeout=0.2)
    with pytest.raises(ModuleFailure, match=said_of_it) as caught:
        rotation.take(docker.helper, watched, check_mode=False)
    assert caught.value.reason == "NotConverged"
    assert "converged" not in docker.verbs()


def test_a_consumer_that_ends_during_the_watch_is_named(docker: Docker) -> None:
    consumers(docker, "c" * 16)
    docker.on("ps", answers=[printed("api\n"), printed("")])
    watched = parameters("watch", expect_generation=4, expect_containers={"api": 1}, timeout=0.2, ready_seconds=0)
    with pytest.raises(ModuleFailure, match="api: 0 of 1 containers run") as caught:
        rotation.take(docker.helper, watched, check_mode=False)
    assert caught.value.reason == "NotConverged"
    assert "converged" not in docker.verbs()


def test_an_application_that_is_not_ready_any_more_ends_the_watch(docker: Docker) -> None:
    consumers(docker, "c" * 16)
    watched = parameters("watch", expect_generation=4, timeout=1, ready_url="http://127.0.0.1:9/ready")
    with pytest.raises(ModuleFailure, match="is not ready any more") as caught:
        rotation.take(docker.helper, watched, check_mode=False)
    assert caught.value.reason == "NotReady"
    assert "converged" not in docker.verbs()


def test_one_bad_answer_alone_is_forgiven() -> None:
    answers = iter(["it answered 503", "", "it answered 503", ""])
    with Readiness("http://x", lambda _: next(answers, "")) as readiness:
        assert readiness.wait(1.5) == ""


def test_the_watch_lasts_as_long_as_it_was_asked_to() -> None:
    begun = time.monotonic()
    with Readiness("http://x", lambda _: "") as readiness:
        assert readiness.wait(0.6) == ""
    assert time.monotonic() - begun >= 0.6


def test_what_is_told_of_a_rotation_is_an_allow_list() -> None:
    told = rendering.status_part(
        {
            "generation": 4,
            "document": document(secret="canary"),
            "staged": {"state": "sound", "document": document(secret="canary"), "secret": "canary"},
            "rotation_record": {**RECORD, "secret": "canary"},
            "lineage": {"superseded": ["a" * 16], "grants": [{"grant": "g1", "secret": "canary"}], "secret": "canary"},
        }
    )
    assert "canary" not in str(told)
    assert told["rotation_record"] == RECORD
    assert told["lineage"] == {"superseded": ["a" * 16], "grants": [{"grant": "g1"}]}
    assert told["staged"]["document"]["refresh_token_fingerprint"] == "e" * 16
