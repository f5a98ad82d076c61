"""Who uses the volume, how much is proven of each, and that waiting ends when it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from module_utils.token_keeper_helper.consumers import Expectation, Report, expectation_of, watch
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.heartbeats import Beat, Heartbeats
from pretended import Docker, document, printed, refused, said, status

FOLDER = "/var/lib/docker/volumes/tokens/_data"


def container(name: str, service: str = "", **changes: Any) -> dict[str, Any]:
    """A running container that mounts the volume as it should."""
    mount = {"Type": "volume", "Name": "tokens", "Source": FOLDER, "Destination": "/app/tokens", "RW": True}
    return {
        "Id": name * 4,
        "Name": f"/{name}",
        "Config": {"Hostname": f"host-{name}", "Labels": {"com.docker.compose.service": service} if service else None},
        "HostConfig": {"Mounts": None},
        "Mounts": [mount],
        **changes,
    }


def running(docker: Docker, *containers: dict[str, Any]) -> None:
    """Let these containers run; each reads what the volume holds."""
    docker.on("status", answers=[said(status(8))])
    docker.on("ps", answers=[printed("".join(f"{one['Id']}\t\n" for one in containers))])
    docker.on("inspect", "container", answers=[said(list(containers))])
    docker.on("exec", answers=[printed("c" * 64 + "  /app/tokens/token.json\n")])


def look(
    docker: Docker, expectation: Expectation | None = None, heartbeats: Callable[[], Heartbeats] | None = None
) -> Report:
    return watch(docker.helper, FOLDER, expectation or Expectation(), heartbeats)


def beats(*told: tuple[str, int, int | None]) -> Callable[[], Heartbeats]:
    return lambda: Heartbeats(tuple(Beat(f"host-{name}", pid, generation) for name, pid, generation in told))


def test_a_container_that_reads_the_document_is_proven_to_the_container(docker: Docker) -> None:
    running(docker, container("api", "api"))
    report = look(docker)
    assert [one.as_dict() for one in report.consumers] == [
        {
            "container": "api",
            "service": "api",
            "mount": "/app/tokens",
            "level": "container",
            "generation": 8,
            "converged": True,
            "processes": [],
            "reason": "",
            "hostname": "host-api",
        }
    ]
    assert report.lagging == []


def test_processes_that_report_are_proven_without_asking_the_container(docker: Docker) -> None:
    running(docker, container("w1", "celery"))
    report = look(docker, Expectation(8), beats(("w1", 1, 8), ("w1", 2, 9)))
    assert report.consumers[0].level == "process"
    assert report.consumers[0].generation == 8
    assert report.consumers[0].converged
    assert not any("exec" in argv for argv, _ in docker.calls)


def test_a_container_that_is_paused_lags_and_is_called_so(docker: Docker) -> None:
    running(docker, container("w1", "celery", State={"Status": "paused"}), container("api", "api"))
    report = look(docker, Expectation(8, timeout=0.0), beats(("w1", 1, 8)))
    assert report.lagging == ["w1"]
    [paused] = [one for one in report.consumers if not one.converged]
    assert paused.reason == "it is paused, until docker unpause w1"


def test_one_process_behind_makes_the_container_lag(docker: Docker) -> None:
    running(docker, container("w1", "celery"), container("w2", "celery"))
    report = look(docker, Expectation(8, timeout=0.0), beats(("w1", 1, 8), ("w1", 2, 7), ("w2", 5, None)))
    assert report.lagging == ["w1", "w2"]
    assert "process 2 has 7" in report.consumers[0].reason
    assert report.consumers[1].generation is None


def test_all_containers_of_a_service_that_reports_have_to(docker: Docker) -> None:
    running(docker, container("w1", "celery"), container("w2", "celery"), container("keeper", "keeper"))
    report = look(docker, Expectation(8, timeout=0.0), beats(("w1", 1, 8)))
    assert report.lagging == ["w2"]
    assert {one.container: one.level for one in report.consumers} == {
        "keeper": "container",
        "w1": "process",
        "w2": "container",
    }


def test_fewer_processes_than_expected_lag(docker: Docker) -> None:
    running(docker, container("w1", "celery"), container("api", "api"))
    report = look(docker, Expectation(8, {"celery": 2, "api": 1}, timeout=0.0), beats(("w1", 1, 8)))
    assert {one.container: one.reason for one in report.consumers} == {
        "api": "none of its processes has reported",
        "w1": "1 of 2 processes have reported",
    }


def test_it_waits_until_the_last_one_has_converged(docker: Docker) -> None:
    running(docker, container("w1"))
    told = iter([beats(("w1", 1, 7)), beats(("w1", 1, 7)), beats(("w1", 1, 8))])
    began = time.monotonic()

    def ask() -> Heartbeats:
        return next(told)()

    report = look(docker, Expectation(8, timeout=10.0), ask)
    assert report.lagging == []
    assert 0.15 < time.monotonic() - began < 8.0
    # the volume itself is looked at once
    assert docker.verbs() == ["status"]


def test_it_gives_up_in_time_and_names_who_lags(docker: Docker) -> None:
    running(docker, container("w1"), container("w2"))
    began = time.monotonic()
    report = look(docker, Expectation(8, timeout=0.5), beats(("w1", 1, 8), ("w2", 1, 7)))
    assert report.lagging == ["w2"]
    assert 0.3 < time.monotonic() - began < 8.0


def test_a_document_that_changes_meanwhile_is_looked_at_again(docker: Docker) -> None:
    running(docker, container("api"))
    newer = status(9, document=document(content_fingerprint="9" * 16))
    docker.on("status", answers=[said(status(8)), said(newer)])
    docker.on("exec", answers=[printed("9" * 64)])
    report = look(docker, Expectation(8, timeout=5.0))
    assert report.consumers[0].generation == 9
    assert docker.verbs() == ["status", "status"]


def test_a_volume_that_is_behind_itself_is_not_converged(docker: Docker) -> None:
    running(docker, container("api"))
    report = look(docker, Expectation(12, timeout=0.0))
    assert report.consumers[0].reason == "the volume is at generation 8, not 12"


def test_an_endpoint_that_does_not_answer_proves_nothing(docker: Docker) -> None:
    running(docker, container("api"))
    report = look(docker, Expectation(8, timeout=0.0), lambda: Heartbeats(silent={"http://h": "refused"}))
    assert report.lagging == ["api"]
    assert report.consumers[0].reason == "http://h did not answer with heartbeats: refused"
    assert report.silent == {"http://h": "refused"}


@pytest.mark.parametrize("code", [126, 127])
def test_a_container_without_sha256sum_is_proven_to_the_mount_and_says_so(docker: Docker, code: int) -> None:
    running(docker, container("distroless"))
    docker.on("exec", answers=[refused(code, 'exec: "sha256sum": executable file not found in $PATH')])
    consumer = look(docker).consumers[0]
    assert (consumer.level, consumer.converged) == ("mount", True)
    assert "only the mount is proven" in consumer.reason


def test_a_container_that_may_not_read_the_document_says_so(docker: Docker) -> None:
    running(docker, container("other"))
    docker.on("exec", answers=[refused(1, "sha256sum: /app/tokens/token.json: Permission denied")])
    consumer = look(docker).consumers[0]
    assert (consumer.level, consumer.converged) == ("mount", False)
    assert "Permission denied" in consumer.reason


def test_a_container_that_reads_another_document_lags(docker: Docker) -> None:
    running(docker, container("stale"))
    docker.on("exec", answers=[printed("0" * 64)])
    assert look(docker, Expectation(8, timeout=0.0)).lagging == ["stale"]


@pytest.mark.parametrize(
    ("mount", "host", "says"),
    [
        (
            {"Type": "volume", "Name": "tokens", "Destination": "/app/tokens/token.json"},
            {},
            "as if it were the file: mount it at /app/tokens",
        ),
        (
            {"Type": "volume", "Name": "tokens", "Destination": "/app/token.json"},
            {"Mounts": [{"Target": "/app/token.json", "VolumeOptions": {"Subpath": "token.json"}}]},
            "mounts only token.json of the volume",
        ),
        (
            {"Type": "bind", "Source": f"{FOLDER}/token.json", "Destination": "/app/token.json"},
            {},
            f"binds {FOLDER}/token.json alone",
        ),
    ],
)
def test_a_mount_that_never_shows_a_replaced_document_lags_at_once(
    docker: Docker, mount: dict[str, Any], host: dict[str, Any], says: str
) -> None:
    running(docker, container("wrong", Mounts=[mount], HostConfig=host))
    began = time.monotonic()
    report = look(docker, Expectation(8, timeout=30.0))
    assert report.lagging == ["wrong"]
    assert says in report.consumers[0].reason
    assert time.monotonic() - began < 15.0


@pytest.mark.parametrize(
    ("mount", "says"),
    [
        ({"Type": "volume", "Name": "tokens", "Destination": "/data"}, "mounted at /data, not /app/tokens"),
        ({"Type": "bind", "Source": FOLDER, "Destination": "/app/tokens"}, "binds the volume's folder by its path"),
        ({"Type": "volume", "Name": "tokens", "Destination": "/app/tokens", "RW": False}, "read-only"),
    ],
)
def test_an_unusual_mount_works_and_is_remarked(docker: Docker, mount: dict[str, Any], says: str) -> None:
    running(docker, container("odd", Mounts=[mount]))
    consumer = look(docker).consumers[0]
    assert consumer.converged
    assert says in consumer.reason


def test_containers_without_the_volume_and_helpers_are_no_consumers(docker: Docker) -> None:
    running(
        docker,
        container("redis", Mounts=[]),
        container("other", Mounts=[{"Type": "volume", "Name": "tokens2", "Destination": "/x"}]),
    )
    docker.on("ps", answers=[printed("abc\t\ndef\thelper\n")])
    assert look(docker).consumers == ()
    assert ["docker", "inspect", "--type", "container", "abc"] in [argv for argv, _ in docker.calls]


def test_a_host_without_containers_has_no_consumers(docker: Docker) -> None:
    docker.on("status", answers=[said(status(8))])
    docker.on("ps", answers=[printed("")])
    assert look(docker, Expectation(8)).consumers == ()


OPTIONS: dict[str, Any] = {
    "heartbeat_urls": [],
    "expect_processes": None,
    "expect_generation": None,
    "path": "/app/tokens",
    "timeout": 30.0,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"heartbeat_urls": ["http://127.0.0.1", "file:///etc/passwd"]},
        {"expect_processes": {"api": "many"}},
        {"expect_processes": {"api": None}},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModuleFailure):
        expectation_of({**OPTIONS, **wrong})


def test_an_empty_address_is_no_address() -> None:
    made = expectation_of({**OPTIONS, "expect_processes": {"api": "1"}})
    assert made.processes == {"api": 1}
