"""What teardown leaves: the token volume and the sandbox's own storage, and nothing that runs."""

from __future__ import annotations

from testinfra.host import Host  # type: ignore[import-untyped]

PROJECT = "tk-day-two"


def test_no_container_and_no_network_is_left(host: Host) -> None:
    assert not host.check_output(f"docker ps --all --quiet --filter name={PROJECT}")
    assert not host.check_output(f"docker network ls --quiet --filter name={PROJECT}")


def test_the_token_stays(host: Host) -> None:
    volumes = host.check_output(f"docker volume ls --format {{{{.Name}}}} --filter name={PROJECT}").splitlines()
    assert f"{PROJECT}_token_data" in volumes
