"""``status.yml`` on a deployment: what it tells of the token and of those who use it, and that it leaves both alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment, Run, docker, eventually
from leaks import found_in

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

STATUS = "playbooks/status.yml"


def asked(deployment: Deployment, folder: Path, *arguments: str) -> tuple[Run, dict[str, Any]]:
    """Run it, and return how it ended with the token that it told of."""
    file = folder / "report.json"
    run = deployment.playbook(STATUS, "-e", f"output_file={file}", *arguments)
    [host] = json.loads(file.read_text())["hosts"]
    [token] = host["tokens"]
    return run, token


def test_it_tells_who_renewed_the_token_and_what_every_consumer_sees(deployment: Deployment, tmp_path: Path) -> None:
    docker("exec", deployment.container("api"), "token-keeper", "refresh", "--force")
    before, exchanges = deployment.status(), deployment.exchanges()

    def followed() -> tuple[Run, dict[str, Any]] | None:
        run, token = asked(deployment, tmp_path)
        return (run, token) if all(one["converged"] for one in token["consumers"]) else None

    run, token = eventually(followed, within=240, what="every process uses it")
    assert (run.code, run.changed, token["health"], token["findings"]) == (0, 0, "ok", [])
    assert token["generation"] == before["generation"]
    assert token["last_refresh"]["container_name"] == deployment.container("api")
    assert token["last_refresh"]["event"] == "Refreshed"
    assert sorted(one["container"] for one in token["consumers"]) == sorted(deployment.consumers())
    assert {(one["level"], one["generation"]) for one in token["consumers"]} == {("process", before["generation"])}
    assert f"({deployment.container('api')})" in run.output
    # in check mode it does the same, and neither asks the provider nor writes
    checked, again = asked(deployment, tmp_path, "--check", "--diff")
    assert (checked.code, checked.changed, again["generation"]) == (0, 0, before["generation"])
    after = deployment.status()
    assert (after["last_event"], after["exchanges"]) == (before["last_event"], before["exchanges"])
    assert deployment.exchanges() == exchanges


def test_a_consumer_that_stands_still_is_a_warning_and_strict_makes_it_a_failure(
    deployment: Deployment, tmp_path: Path
) -> None:
    secrets = json.loads(docker("exec", deployment.container("api"), "cat", "/app/tokens/token.json"))
    stopped = deployment.container("celery", 2)
    docker("stop", "--time=1", stopped)
    try:
        run, token = asked(deployment, tmp_path)
        assert (run.code, token["health"]) == (0, "degraded")
        assert "celery: 1 of 2 containers run with the volume mounted" in run.text
        strict = deployment.playbook(STATUS, "-e", "strict=true", "-vvvv", ANSIBLE_DEBUG="1")
        assert strict.code == 2
        told = {name: secrets[name] for name in ("token", "refresh_token", "client_secret")}
        assert found_in(strict.output, told) == []
    finally:
        docker("start", stopped)
        eventually(
            lambda: "healthy" in docker("inspect", "--format", "{{json .State}}", stopped).replace("unhealthy", ""),
            within=90,
            what=f"{stopped} is back",
        )
