"""What the doctor has mended."""

from __future__ import annotations

from testinfra.host import Host  # type: ignore[import-untyped]

PROJECT = "tk-day-two"


def test_the_keeper_runs_again(host: Host) -> None:
    assert host.check_output("docker inspect --format {{.State.Health.Status}} %s", f"{PROJECT}-keeper-1") == "healthy"


def test_the_document_is_its_owner_s_alone(host: Host) -> None:
    assert host.check_output("docker exec %s stat -c %%a /app/tokens/token.json", f"{PROJECT}-api-1") == "600"
