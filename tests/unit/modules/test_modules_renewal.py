"""A renewal goes through the connection: the action runs the helper, and sends no module for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from plugins.action.token_volume import ActionModule
from pretended import Docker, document, error, said

REPLY = {
    "changed": True,
    "exchanged": True,
    "exchanges": 6,
    "generation": 4,
    "before": document(),
    "after": document(access_token_fingerprint="b" * 16),
}
TASK = {"volume": "tokens", "image": "keeper:1", "state": "refreshed", "force": True, "network": "way-out"}


def renew(docker: Docker, *, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={**TASK, **changes}, check_mode=check_mode, action="token_volume", async_val=0)
    action._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
    action._execute_module = None
    action.run_on_host = docker
    result: dict[str, Any] = action.run(None, {})
    return result


def test_the_helper_is_run_with_the_way_to_the_provider(docker: Docker) -> None:
    docker.has_volume()
    docker.on("refresh", answers=[said(REPLY)])
    way = {"HTTPS_PROXY": "http://proxy:1"}
    result = renew(docker, environment=way, ca_bundle="/etc/ssl/ca.pem")
    assert (result["changed"], result["reason"], result["generation"]) == (True, "Refreshed", 4)
    assert (result["exchanged"], result["exchanges"]) == (True, 6)
    assert docker.verbs() == ["refresh --force"]
    [run] = [argv for argv, _ in docker.calls if "run" in argv]
    assert {"--network=way-out", "--env=HTTPS_PROXY=http://proxy:1", "--log-driver=none"} <= set(run)


def test_check_mode_has_no_way_to_the_provider(docker: Docker) -> None:
    docker.has_volume()
    docker.on("refresh", answers=[said({**REPLY, "after": None})])
    result = renew(docker, check_mode=True)
    assert (result["changed"], result["generation"]) == (True, 4)
    assert docker.verbs() == ["refresh --dry-run --force"]
    assert all("--network=way-out" not in argv for argv, _ in docker.calls)


def test_what_goes_wrong_is_told_as_a_module_would(docker: Docker) -> None:
    docker.has_volume()
    docker.on("refresh", answers=[error("ProviderUnavailable", "Status500", 7)])
    failed = renew(docker)
    assert failed["failed"]
    assert (failed["error"]["type"], failed["error"]["reason"]) == ("ProviderUnavailable", "Status500")
    docker.has_no_volume()
    assert renew(docker)["error"]["reason"] == "VolumeMissing"


@pytest.mark.parametrize("wrong", [{"volume": "/srv/tokens"}, {"environment": {"P": "a:b@c"}}, {"force": "perhaps"}])
def test_options_are_checked_before_anything_runs(docker: Docker, wrong: dict[str, Any]) -> None:
    failed = renew(docker, **wrong)
    assert failed["error"]["reason"] == "OptionInvalid"
    assert docker.calls == []
