"""The doctor on the real engine: each failure is made on purpose, found, explained, and mended or left to a person."""

from __future__ import annotations

import dataclasses
import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import module_tasks
import pytest
from deployment import Deployment, docker, eventually
from module_tasks import TokenVolume, play, token_volume

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PLAYBOOK = "playbooks/doctor.yml"


def document(token: str = "ya29.first", *, seconds: float = 3600) -> dict[str, Any]:
    expiry = datetime.now(UTC) + timedelta(seconds=seconds)
    return {
        "token": token,
        "refresh_token": "1//refresh",
        "token_uri": "http://sandbox:9400/token",
        "client_id": "id.apps.example.com",
        "client_secret": "GOCSPX-of-a-test",
        "scopes": ["https://www.googleapis.com/auth/calendar"],
        "expiry": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


@dataclasses.dataclass(frozen=True)
class Place:
    """A volume with a token, and an application of small containers that do what a test wants."""

    volume: TokenVolume
    folder: Path
    project: str
    made: ExitStack

    def run(self, service: str, *options: str, mount: str = "", command: str = "sleep 600") -> str:
        """Run a container of the application, by default one that mounts the volume as it should."""
        name = f"{self.project}-{service}-1"
        labels = {"project": self.project, "service": service}
        words = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
        self.made.callback(docker, "rm", "--force", "--volumes", name)
        where = ["-v", mount or f"{self.volume.name}:/app/tokens:nocopy"]
        user = () if "--user" in options else ("--user", "999:999")
        entry, *rest = command.split(" ", 2)
        fixed = ("run", "--detach", "--network=none", "--stop-timeout=1", "--name", name, *words, *user, *where)
        docker(*fixed, *options, f"--entrypoint={entry}", self.volume.image, *rest)
        return name

    def examined(self, *, repair: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module."""
        task = {**self.volume.options, "project": self.project, "repair": repair, "timeout": 20, **options}
        played = play(self.folder, {"token_doctor": task})
        assert played.code == 0, played.output
        return played.result

    def mountpoint(self) -> str:
        """Return the volume's folder on this machine."""
        return docker("volume", "inspect", "--format", "{{.Mountpoint}}", self.volume.name).strip()


@pytest.fixture
def place(volume: TokenVolume, tmp_path: Path) -> Iterator[Place]:
    volume.push(document())
    with ExitStack() as made:
        yield Place(volume, tmp_path, f"tk-doctor-{uuid.uuid4().hex[:6]}", made)


def by_reason(findings: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {one["reason"]: one for one in findings if one["level"] != "ok"}


INSIDE = {
    "Empty": 'echo "" > token.json',
    "NotJSON": "head -c 100 token.json > t; cat t > token.json; rm t",
    "FieldMissing": """echo '{"token": "x", "client_id": "y"}' > token.json""",
    "NotAFile": "rm token.json; mkdir token.json",
    "NoDocument": "rm token.json",
    "Unreadable": "chown 0:0 token.json",
    "WrongOwner": "chown -R 0:0 . && chmod 755 .",
    "LockOpen": "chmod 755 .",
    "StateMissing": "rm .token.json.state",
    "WrongMode": "chmod 644 .token.json.state",
    "StaleTemporaryFiles": "touch -d '3 hours ago' token.json.tmp-0123 && chown 999:999 token.json.tmp-0123",
}


@pytest.mark.long
@pytest.mark.parametrize("reason", INSIDE)
def test_what_is_wrong_inside_the_volume_is_mended(place: Place, reason: str) -> None:
    place.run("api")
    before = place.volume.document()
    place.volume.inside(INSIDE[reason])
    found = place.examined(repair=True)
    done = {one["reason"]: one["outcome"] for one in found["actions"]}
    assert done.get(reason) == "mended", found
    assert set(done.values()) == {"mended"}
    assert by_reason(found["findings"]) == {}
    assert found["changed"] is True
    assert place.volume.document() == before
    assert [(one["generation"], one["access"]) for one in found["consumers"]] == [(found["generation"], "rw")]


def unhealthy(place: Place) -> None:
    check = (
        "--health-cmd",
        "test ! -e /tmp/ill",
        "--health-interval=1s",
        "--health-retries=1",
        "--tmpfs=/tmp:mode=1777",
    )
    name = place.run("api", *check)
    docker("exec", name, "touch", "/tmp/ill")
    health = ("inspect", "--format", "{{.State.Health.Status}}", name)
    eventually(lambda: docker(*health).strip() == "unhealthy", within=120, what="it is unhealthy")


def restarting(place: Place) -> None:
    name = place.run("api", "--restart=always", command="false")
    state = ("inspect", "--format", "{{.State.Status}}", name)
    eventually(lambda: docker(*state).strip() == "restarting", within=120, what="it ends again and again")


def old_inode(place: Place) -> None:
    name = place.run("api", mount=f"{place.mountpoint()}/token.json:/app/token.json")
    place.volume.push(document("ya29.second", seconds=7200))
    assert "ya29.first" in docker("exec", name, "cat", "/app/token.json")


def two_keepers(place: Place) -> None:
    for service in ("keeper", "other"):
        place.run(service, command="token-keeper keep")


AROUND: dict[str, tuple[Callable[[Place], Any], str, str]] = {
    "ContainerDown": (lambda place: docker("stop", place.run("api")), "error", "mended"),
    "ContainerPaused": (lambda place: docker("pause", place.run("api")), "error", "mended"),
    "ContainerUnhealthy": (unhealthy, "error", "mended"),
    "ContainerRestarting": (restarting, "error", ""),
    "OldInode": (old_inode, "error", "mended"),
    "WrongUser": (lambda place: place.run("api", "--user", "1000:1000"), "error", ""),
    "ReadOnly": (lambda place: place.run("api", mount=f"{place.volume.name}:/app/tokens:ro"), "info", ""),
    "OtherMount": (lambda place: place.run("api", mount=f"{place.folder}:/app/tokens"), "error", ""),
    "TwoKeepers": (two_keepers, "warning", ""),
}


@pytest.mark.parametrize("reason", AROUND)
def test_what_is_wrong_around_the_volume(place: Place, reason: str) -> None:
    make, level, outcome = AROUND[reason]
    make(place)
    found = place.examined(repair=True)
    told = by_reason(found["findings"])
    told |= {one["reason"]: {**one, "level": level} for one in found["actions"]}
    assert told[reason]["level"] == level, found
    assert place.project in told[reason]["message"]
    assert {one["reason"]: one["outcome"] for one in found["actions"]} == ({reason: outcome} if outcome else {})
    left = by_reason(found["findings"])
    if outcome:
        assert left.keys() <= {"SingleFile"}, "which is a person's: it will lose sight of the document again"
    else:
        assert left[reason]["remedy"]


def test_a_volume_that_was_never_used_gets_its_owner_and_a_person_the_rest(fresh: TokenVolume, tmp_path: Path) -> None:
    with ExitStack() as made:
        place = Place(fresh, tmp_path, "tk-doctor-none", made)
        found = place.examined(repair=True)
    assert {one["outcome"] for one in found["actions"] if one["reason"] == "WrongOwner"} == {"mended"}
    left = by_reason(found["findings"])
    assert (left.keys(), found["errors"]) == ({"EmptyVolume"}, 1)
    assert "site.yml" in left["EmptyVolume"]["remedy"]


HOLDER = """python -c
import fcntl, os, time
folder = os.open("/app/tokens", os.O_RDONLY)
fcntl.flock(folder, fcntl.LOCK_EX)
open("/tmp/held", "w")
time.sleep(10)
fcntl.flock(folder, fcntl.LOCK_UN)
time.sleep(600)
"""


def test_who_keeps_the_lock_is_named_and_goes_on_where_it_was_frozen(place: Place) -> None:
    mount = f"{place.volume.name}:/app/tokens:ro"
    name = place.run("reader", "--init", mount=mount, command=HOLDER.replace("\n", " ", 1))
    eventually(lambda: "held" in docker("exec", name, "ls", "/tmp"), within=120, what="it holds the lock")
    docker("pause", name)
    found = place.examined(repair=True)
    first = found["actions"][0]
    assert (first["reason"], first["outcome"]) == ("LockHeld", "mended")
    assert "(python) in container " + name in first["message"]
    assert by_reason(found["findings"]).keys() == {"ReadOnly"}


@pytest.mark.long
@pytest.mark.parametrize(("options", "reason"), [("size=64k", "NoSpace"), ("size=1m,nr_inodes=6", "NoInodes")])
def test_a_disk_that_is_full(image: str, tmp_path: Path, options: str, reason: str) -> None:
    device = ("--opt=type=tmpfs", "--opt=device=tmpfs", f"--opt=o={options},uid=999,gid=999,mode=0700")
    with token_volume(image, *device) as volume, ExitStack() as made:
        place = Place(volume, tmp_path, "tk-doctor-full", made)
        place.run("api")  # as long as it runs, the memory is kept
        found = by_reason(place.examined()["findings"])
        assert found[reason]["level"] == "error"
        assert found["InMemory"]["level"] == "warning"


def test_a_volume_of_the_network(image: str, tmp_path: Path) -> None:
    options = ("--opt=type=nfs", "--opt=o=addr=127.0.0.1,soft,timeo=1,retrans=0,port=9", "--opt=device=:/tokens")
    with token_volume(image, *options) as volume, ExitStack() as made:
        found = by_reason(Place(volume, tmp_path, "tk-doctor-nfs", made).examined(repair=True)["findings"])
    assert {found["SharedVolume"]["level"], found["VolumeUnusable"]["level"]} == {"error"}


def test_a_token_that_nobody_renews_is_told_with_who_should_have(place: Place) -> None:
    over = json.dumps(document("ya29.over", seconds=-600))
    module_tasks.docker(*place.volume.helper, "push", "--force", stdin=over)
    found = by_reason(place.examined()["findings"])["AccessTokenOver"]
    assert "no keeper runs on this volume" in found["message"]


def parsed(output: str) -> dict[str, Any]:
    """Return what ``-e output=json`` has printed."""
    [block] = [block for block in output.split("msg: |-\n")[1:] if '"findings"' in block]
    lines = itertools.takewhile(lambda line: line.startswith(" "), block.splitlines())
    found: dict[str, Any] = json.loads("\n".join(lines))
    return found


def facts(deployment: Deployment) -> Mapping[str, Any]:
    status = deployment.status()
    return {name: status[name] for name in ("generation", "exchanges", "grant")}


def test_a_sound_deployment_is_looked_at_and_left_alone(deployment: Deployment) -> None:
    deployment.get(f"{deployment.api}/calendar/calendars")
    before, asked = facts(deployment), deployment.exchanges()
    found = deployment.playbook(PLAYBOOK).succeeded()
    assert found.changed == 0
    for name in deployment.consumers():
        assert f"{name} running (healthy) /app/tokens rw 999:999 {before['generation']} process" in found.text
    assert "0 errors" in found.text
    repaired = deployment.playbook(PLAYBOOK, "-e", "repair=true", "-e", "output=json").succeeded()
    assert repaired.changed == 0
    told = parsed(repaired.output)
    assert (told["errors"], told["actions"]) == (0, [])
    assert (facts(deployment), deployment.exchanges()) == (before, asked)


@pytest.mark.long
def test_a_deployment_in_many_troubles_is_mended_step_by_step(deployment: Deployment, image: str) -> None:
    before, asked = facts(deployment), deployment.exchanges()
    api, first, second = deployment.consumers()
    override = deployment.state_home / "override.yml"
    other = "{type: volume, source: other, target: /app/tokens}"
    override.write_text(
        f"services: {{api: {{volumes: [{other}]}}}}\nvolumes: {{other: {{name: {deployment.project}_other}}}}\n"
    )
    file = deployment.project_dir / "compose.yml"
    place = ("compose", "--project-name", deployment.project, "--file", str(file))
    try:
        stale = "touch -d '3 hours ago' token.json.tmp-1"
        TokenVolume(deployment.volume, image).inside(f"chown 0:0 .token.json.state; {stale}")
        docker("exec", first, "sh", "-c", 'echo "" > /app/tokens/token.json')
        docker(*place, "--file", str(override), "up", "--detach", "--no-deps", "--pull", "never", "api")
        docker("rm", "--force", first)
        docker("pause", second)

        looked = deployment.playbook(PLAYBOOK, "-e", "output=json")
        assert looked.code != 0
        reasons = {one["reason"] for one in parsed(looked.output)["findings"]}
        assert reasons >= {"ContainerMissing", "ContainerPaused", "OtherMount", "WrongOwner"}
        checked = deployment.playbook(PLAYBOOK, "-e", "repair=true", "--check")
        assert "What would be mended" in checked.text
        assert f"paused {second}" not in checked.text
        assert docker("inspect", "--format", "{{.State.Status}}", second).strip() == "paused"

        repaired = deployment.playbook(PLAYBOOK, "-e", "repair=true").succeeded()
    finally:
        docker(*place, "up", "--detach", "--pull", "never", "--wait")
        docker("volume", "rm", "--force", f"{deployment.project}_other")
    assert "What was done, in this order" in repaired.text
    assert "could not" not in repaired.text
    assert repaired.changed == 1
    assert facts(deployment) == before
    assert deployment.exchanges() == asked
    again = deployment.playbook(PLAYBOOK, "-e", "repair=true").succeeded()
    assert again.changed == 0
    assert api in again.text
