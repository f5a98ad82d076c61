"""The doctor on the Docker host: each thing that may be wrong around a volume is found, named, and mended in order."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from module_utils.token_keeper_helper.container import Container
from module_utils.token_keeper_helper.diagnosis import Doctor
from module_utils.token_keeper_helper.doctor_arguments import TOKEN_DOCTOR
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.lock_holder import holders_of
from module_utils.token_keeper_helper.repairing import doctored
from pretended import Docker, document, printed, refused, said, status
from serving import endpoint, nobody, told

MOUNTPOINT = "/var/lib/docker/volumes/tokens/_data"
TOKENS = {"Type": "volume", "Name": "tokens", "Source": MOUNTPOINT, "Destination": "/app/tokens", "RW": True}


def container(name: str, service: str = "", **changes: Any) -> dict[str, Any]:
    """A running container of the application that mounts the volume."""
    labels = {"com.docker.compose.project": "stack", "com.docker.compose.service": service or name}
    return {
        "Id": (name.encode().hex() + "0" * 64)[:64],
        "Name": f"/{name}",
        "Path": "uvicorn",
        "Args": [],
        "Config": {"Hostname": f"host-{name}", "User": "999:999", "Labels": labels},
        "HostConfig": {},
        "State": {"Status": "running", "Health": {"Status": "healthy"}},
        "Mounts": [TOKENS],
        **changes,
    }


def keeper(name: str = "keeper", **changes: Any) -> dict[str, Any]:
    return container(name, "keeper", Path="tini", Args=["--", "token-keeper", "keep"], **changes)


def finding(
    reason: str, *, level: str = "error", check: str = "Document", mend: str = "", where: str = ""
) -> dict[str, str]:
    """A finding of the helper."""
    words = {"message": f"{reason} happened", "remedy": "do something"}
    return {"check": check, "level": level, "reason": reason, "mend": mend, "where": where, **words}


class Host:
    """A Docker host whose containers and volume do what they are told."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker
        self.containers = [container("api"), keeper()]
        self.findings: list[dict[str, str]] = []
        self.lock = "fe:00:7"
        self.volume: dict[str, Any] | None = {
            "Name": "tokens",
            "Driver": "local",
            "Mountpoint": MOUNTPOINT,
            "Options": None,
        }
        self.done: list[str] = []
        docker.on("volume", "inspect", answers=[self._volume])
        docker.on("status", answers=[lambda: said(status(8))])
        docker.on("doctor", answers=[lambda: self._doctor([])])
        docker.on("doctor", "--repair", answers=[self._repair])
        docker.on("init-volume", answers=[self._initialise])
        docker.on("ps", answers=[lambda: self._listed(running=True)])
        docker.on("ps", "--all", answers=[lambda: self._listed(running=False)])
        docker.on("inspect", "container", answers=[lambda: said(self.containers)])
        docker.on("exec", answers=[printed("c" * 64)])
        for word, after in (("start", "running"), ("unpause", "running"), ("restart", "running")):
            docker.on(word, answers=[lambda word=word, after=after: self._turn(word, after)])  # type: ignore[misc]
        docker.on("compose", answers=[self._compose])

    def _volume(self) -> Any:
        return said([self.volume]) if self.volume else refused(1, "Error: no such volume: tokens")

    def _doctor(self, actions: list[dict[str, Any]]) -> Any:
        errors = sum(one["level"] == "error" for one in self.findings)
        answer = said({"errors": errors, "lock": self.lock, "findings": self.findings, "actions": actions})
        return answer if not errors else type(answer)(10, answer.stdout, "")

    def _repair(self) -> Any:
        self.done.append("inside")
        gone = [one for one in self.findings if one["mend"] and "never" not in one["mend"]]
        left = [one for one in self.findings if one["mend"] and "never" in one["mend"]]
        self.findings = [one for one in self.findings if one not in gone]
        return self._doctor(
            [{**one, "mended": True, "why_not": ""} for one in gone]
            + [{**one, "mended": False, "why_not": "the disk is full"} for one in left]
        )

    def _initialise(self) -> Any:
        self.done.append("owner")
        self.findings = [one for one in self.findings if one["reason"] not in {"WrongOwner", "LockOpen"}]
        return said({"changed": True, "before": {}, "after": {}})

    def _listed(self, *, running: bool) -> Any:
        there = [one for one in self.containers if not running or one["State"]["Status"] in {"running", "paused"}]
        return printed("".join(f"{one['Id']}\t\n" for one in there))

    def _turn(self, word: str, after: str) -> Any:
        name = self.docker.calls[-1][0][-1]
        self.done.append(f"{word} {name}")
        for one in self.containers:
            if one["Name"] == f"/{name}":
                one["State"] = {"Status": after, "Health": {"Status": "healthy"}}
        return printed("")

    def _compose(self) -> Any:
        argv = self.docker.calls[-1][0]
        self.done.append(f"compose {argv[-1]}" + ("" if "--no-recreate" in argv else " anew"))
        self.containers = [one for one in self.containers if one["Name"] != f"/{argv[-1]}"] + [container(argv[-1])]
        return printed("")

    def examined(self, *, repair: bool = False, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        defaults = {name: option.get("default") for name, option in TOKEN_DOCTOR.items()}
        parameters = {**defaults, "volume": "tokens", "image": "keeper:1", "project": "stack", "timeout": 1.0, **given}
        result = doctored(Doctor(self.docker.helper, parameters), repair=repair, check_mode=check_mode)
        json.dumps(result)
        return result

    def wrong(self, **given: Any) -> dict[str, dict[str, str]]:
        """What is wrong, by its reason."""
        found = self.examined(**given)["findings"]
        return {one["reason"]: one for one in found if one["level"] != "ok"}


@pytest.fixture
def host(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("module_utils.token_keeper_helper.diagnosis._PAUSE", 0.0)
    monkeypatch.setattr("module_utils.token_keeper_helper.repairing._LOOK_EVERY", 0.0)
    return Host(docker)


def test_where_all_is_well_nothing_is_wrong_and_everybody_is_listed(host: Host) -> None:
    found = host.examined(expected=[{"service": "api"}, {"service": "keeper", "containers": 1}])
    assert (found["errors"], found["warned"], found["changed"]) == (0, 0, False)
    assert {one["level"] for one in found["findings"]} == {"ok"}
    assert [
        (one["container"], one["access"], one["user"], one["generation"], one["level"]) for one in found["consumers"]
    ] == [
        ("api", "rw", "999:999", 8, "container"),
        ("keeper", "rw", "999:999", 8, "container"),
    ]
    assert found["generation"] == 8
    assert host.docker.verbs().count("doctor") == 1


def test_no_volume(host: Host) -> None:
    host.volume = None
    found = host.wrong()
    assert found["VolumeMissing"]["level"] == "error"
    assert "site.yml" in found["VolumeMissing"]["remedy"]
    assert host.docker.verbs() == [], "a helper would make the volume"


@pytest.mark.parametrize(
    ("driver", "options", "reason", "level"),
    [
        ("local", {"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/tokens"}, "SharedVolume", "error"),
        ("local", {"type": "cifs", "o": "username=x", "device": "//server/tokens"}, "SharedVolume", "error"),
        ("local", {"o": "addr=10.0.0.1", "device": ":/tokens"}, "SharedVolume", "error"),
        ("local", {"type": "none", "o": "bind", "device": "/srv/tokens"}, "HostFolderVolume", "info"),
        ("rexray", {}, "OtherDriver", "warning"),
        ("local", {"type": "tmpfs", "device": "tmpfs"}, None, None),
    ],
)
def test_drivers_and_options(host: Host, driver: str, options: Any, reason: str | None, level: str | None) -> None:
    assert host.volume is not None
    host.volume.update(Driver=driver, Options=options)
    assert {name: one["level"] for name, one in host.wrong().items()} == ({reason: level} if reason else {})


def test_a_volume_that_can_not_be_mounted(host: Host) -> None:
    host.docker.on("run", answers=[refused(125, "docker: Error response from daemon: failed to mount local volume")])
    found = host.wrong()
    assert found["VolumeUnusable"]["level"] == "error"
    assert "failed to mount" in found["VolumeUnusable"]["message"]


@pytest.mark.parametrize(
    "stderr", ["docker: Error response from daemon: No such image: keeper:1.", "Cannot connect to the Docker daemon"]
)
def test_without_image_or_engine_that_is_the_failure(host: Host, stderr: str) -> None:
    host.docker.on("run", answers=[refused(125, stderr)])
    with pytest.raises(ModuleFailure):
        host.examined()


@pytest.mark.parametrize(
    ("state", "reason", "mend", "words"),
    [
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, "ContainerDown", "start keeper", "out of memory"),
        ({"Status": "created"}, "ContainerDown", "start keeper", "nobody renews the token ahead"),
        ({"Status": "paused"}, "ContainerPaused", "unpause keeper", "is paused"),
        ({"Status": "running", "Health": {"Status": "unhealthy", "Log": [{"Output": "refused\n"}]}},
         "ContainerUnhealthy", "restart keeper", "refused"),
        ({"Status": "restarting", "ExitCode": 1}, "ContainerRestarting", "", "ends again and again"),
        ({"Status": "running", "Health": {"Status": "starting"}}, "ContainerStarting", "", "is starting"),
    ],
)  # fmt: skip
def test_a_container_that_is_not_well(host: Host, state: Any, reason: str, mend: str, words: str) -> None:
    host.containers[1]["State"] = state
    found = host.wrong()[reason]
    assert words in found["message"]
    assert found["level"] == ("info" if reason == "ContainerStarting" else "error")
    assert bool(found["mend"]) == bool(mend)
    repaired = host.examined(repair=True)
    assert host.done == ([mend] if mend else [])
    assert [one["outcome"] for one in repaired["actions"]] == (["mended"] if mend else [])
    assert repaired["changed"] == bool(mend)


def test_a_container_that_is_gone_is_made_by_its_compose_file(host: Host, tmp_path: Path) -> None:
    del host.containers[0]
    expected = [{"service": "api", "containers": 1}]
    found = host.wrong(expected=expected)["ContainerMissing"]
    assert (found["level"], found["mend"]) == ("error", "")
    assert "site.yml" in found["remedy"]
    file = tmp_path / "compose.yml"
    file.touch()
    repaired = host.examined(repair=True, expected=expected, compose_file=str(file))
    assert host.done == ["compose api"]
    assert (repaired["errors"], [one["outcome"] for one in repaired["actions"]]) == (0, ["mended"])


OTHER = {"Type": "volume", "Name": "other", "Source": "/x", "Destination": "/app/tokens", "RW": True}
FOLDER = {"Type": "bind", "Source": "/srv/tokens", "Destination": "/app/tokens", "RW": True}
FILE = {"Type": "bind", "Source": "/srv/token.json", "Destination": "/app/token.json", "RW": True}
OVER = {"Type": "bind", "Source": "/srv/token.json", "Destination": "/app/tokens/token.json", "RW": True}


@pytest.mark.parametrize(
    ("mounts", "reason", "words"),
    [
        ([OTHER], "OtherMount", "has the volume other at /app/tokens, not the token volume"),
        ([FOLDER], "OtherMount", "has /srv/tokens of the host at /app/tokens"),
        ([FILE], "OtherMount", "the file /srv/token.json of the host at /app/token.json"),
        ([TOKENS, OVER], "OtherMount", "over /app/tokens/token.json"),
        ([], "NotMounted", "does not mount the token volume at all"),
    ],
)
def test_something_else_where_the_token_should_be(
    host: Host, tmp_path: Path, mounts: list[Any], reason: str, words: str
) -> None:
    host.containers[0]["Mounts"] = mounts
    expected = [{"service": "api"}]
    found = host.wrong(expected=expected)
    assert (found[reason]["level"], found[reason]["where"], found[reason]["mend"]) == ("error", "api", "")
    assert words in found[reason]["message"]
    (tmp_path / "compose.yml").touch()
    host.examined(repair=True, expected=expected, compose_file=str(tmp_path / "compose.yml"))
    assert host.done == ["compose api anew"]


def test_services_that_need_no_token_and_other_projects_are_left_alone(host: Host) -> None:
    other = container("theirs", Mounts=[OTHER])
    other["Config"]["Labels"] = {"com.docker.compose.project": "another"}
    redis = container("redis", Mounts=[])
    task = container("task", State={"Status": "exited"})
    task["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"
    host.containers += [other, redis, task]
    assert host.wrong(expected=[{"service": "api"}]) == {}


@pytest.mark.parametrize(
    ("read", "reason", "level"), [("d" * 64, "OldInode", "error"), ("c" * 64, "SingleFile", "warning")]
)
def test_a_file_of_the_volume_alone(host: Host, read: str, reason: str, level: str) -> None:
    alone = {"Type": "bind", "Source": f"{MOUNTPOINT}/token.json", "Destination": "/app/token.json", "RW": True}
    host.containers[0]["Mounts"] = [alone]
    host.docker.on("exec", "/app/token.json", answers=[printed(read), printed("c" * 64)])
    found = host.examined(repair=True)
    actions = [(one["reason"], one["outcome"]) for one in found["actions"]]
    assert actions == ([("OldInode", "mended")] if reason == "OldInode" else [])
    assert host.done == (["restart api"] if reason == "OldInode" else [])
    # it will be so again
    [left] = [one for one in found["findings"] if one["reason"] == "SingleFile"]
    assert left["level"] == "warning"
    assert "mount the whole volume" in left["remedy"]
    assert level in {"error", "warning"}


def test_a_consumer_that_mounts_it_read_only(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.containers[0]["Mounts"] = [{**TOKENS, "RW": False}]
    assert {name: one["level"] for name, one in host.wrong().items()} == {"ReadOnly": "info"}
    holder = holders_of("1:2:3", [], Path("/nowhere"))
    assert holder == []
    held = [_holder(host.containers[0])]
    monkeypatch.setattr("module_utils.token_keeper_helper.diagnosis.holders_of", lambda *_: held)
    assert host.wrong()["ReadOnlyHolder"]["level"] == "warning"


def _holder(told: dict[str, Any]) -> Any:
    from module_utils.token_keeper_helper.lock_holder import Holder  # noqa: PLC0415 - for this alone

    return Holder(4711, "python", Container(told))


def test_a_consumer_of_another_user(host: Host) -> None:
    host.containers[0]["Config"]["User"] = "1000:1000"
    found = host.wrong()["WrongUser"]
    assert (found["level"], "runs as user 1000:1000" in found["message"]) == ("error", True)
    # and then nobody's volume is taken from him
    host.findings = [finding("WrongOwner", check="Directory")]
    repaired = host.examined(repair=True)
    assert host.done == []
    assert "decide for one" in next(one for one in repaired["findings"] if one["reason"] == "WrongOwner")["remedy"]


def test_processes_that_see_an_old_generation(host: Host) -> None:
    seen = [
        {"container": "host-api", "pid": 7, "generation": 7},
        {"container": "host-keeper", "pid": 1, "generation": 8},
    ]
    with endpoint(told({"consumers": seen})) as url:
        found = host.wrong(heartbeat_urls=[url])["OldGeneration"]
        assert (found["level"], found["where"]) == ("error", "api")
        assert "process 7 has 7" in found["message"]
        repaired = host.examined(repair=True, heartbeat_urls=[url])
    assert host.done == ["restart api"]
    assert [(one["outcome"], one["why_not"]) for one in repaired["actions"]] == [
        ("could not", "it was still there afterwards")
    ]


def test_processes_that_are_missing_and_pages_that_are_silent(host: Host) -> None:
    beats = told({"consumers": [{"container": "host-api", "pid": 7, "generation": 8}]})
    with endpoint(beats) as url:
        found = host.wrong(heartbeat_urls=[url], expected=[{"service": "api", "containers": 1, "processes": 4}])
        assert found["NotReporting"]["level"] == "warning"
        assert "1 of 4 processes have reported" in found["NotReporting"]["message"]
    with nobody() as url:
        found = host.wrong(heartbeat_urls=[url])
        assert found.keys() == {"PageSilent"}
        assert found["PageSilent"]["where"] == url


def test_another_document_in_a_container_that_mounts_the_volume(host: Host) -> None:
    host.docker.on("exec", host.containers[0]["Id"], answers=[printed("d" * 64)])
    assert host.wrong()["OtherDocument"]["where"] == "api"


def test_two_keepers(host: Host) -> None:
    second = keeper("keeper-2")
    host.containers.append(second)
    assert host.wrong()["TwoKeepers"]["level"] == "info", "two of one service are meant so"
    second["Config"]["Labels"] = {}
    found = host.wrong()["TwoKeepers"]
    assert (found["level"], found["mend"]) == ("warning", "")
    assert "docker stop keeper-2" in found["remedy"]


@pytest.mark.parametrize(
    ("state", "words"),
    [({"Status": "exited"}, "the keeper keeper is exited"), (None, "no keeper runs on this volume"),
     ({"Status": "running"}, "although the keeper keeper runs")],
)  # fmt: skip
def test_a_token_that_is_over_and_who_should_have_renewed_it(host: Host, state: Any, words: str) -> None:
    host.findings = [finding("AccessTokenOver", check="AccessToken", level="warning")]
    host.containers = host.containers[:1] if state is None else [host.containers[0], keeper(State=state)]
    assert words in host.wrong()["AccessTokenOver"]["message"]


def proc(folder: Path, told: dict[str, Any] | None) -> Path:
    """What the kernel tells of one process that holds the lock and one that waits for it."""
    (folder / "4711").mkdir()
    (folder / "4711" / "comm").write_text("python\n")
    group = f"0::/docker/{told['Id']}\n" if told else "0::/user.slice\n"
    (folder / "4711" / "cgroup").write_text(group)
    (folder / "locks").write_text(
        "1: FLOCK  ADVISORY  WRITE 4711 fe:00:7 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 4712 fe:00:7 0 EOF\n"
        "2: FLOCK  ADVISORY  WRITE 99 fe:00:8 0 EOF\n"
    )
    return folder


def test_who_holds_the_lock_is_named_with_its_container(host: Host, tmp_path: Path) -> None:
    told = host.containers[0]
    [holder] = holders_of("fe:00:7", [Container(told)], proc(tmp_path, told))
    assert str(holder) == "process 4711 (python) in container api, running"


def test_a_holder_outside_of_containers(tmp_path: Path) -> None:
    [holder] = holders_of("fe:00:7", [], proc(tmp_path, None))
    assert str(holder) == "process 4711 (python) in no container"


@pytest.mark.parametrize("paused", [True, False])
def test_a_holder_that_is_paused_goes_on_and_another_is_a_person_s(
    host: Host, monkeypatch: pytest.MonkeyPatch, paused: bool
) -> None:
    if paused:
        host.containers[0]["State"] = {"Status": "paused"}
    held = [_holder(host.containers[0])]
    monkeypatch.setattr("module_utils.token_keeper_helper.diagnosis.holders_of", lambda *_: held)
    host.findings = [finding("LockHeld", check="Lock")]
    found = host.wrong()["LockHeld"]
    assert "process 4711 (python) in container api" in found["message"]
    assert bool(found["mend"]) == paused
    host.examined(repair=True)
    assert [word.split()[0] for word in host.done] == (["unpause"] * len(host.done) if paused else [])
    if not paused:
        assert "docker restart api ends it" in found["remedy"]


def test_the_order_of_a_repair(host: Host, tmp_path: Path) -> None:
    (tmp_path / "compose.yml").touch()
    host.containers = [
        container("api", State={"Status": "running", "Health": {"Status": "unhealthy"}}),
        keeper(State={"Status": "exited"}),
        container("celery", State={"Status": "paused"}),
    ]
    host.findings = [
        finding("Empty", mend="it is put back"),
        finding("WrongOwner", check="Files", where="/app/tokens/.token.json.state"),
        finding("ForeignFiles", level="warning", check="Leftovers"),
        finding("Odd", level="warning", mend="never"),
    ]
    expected = [{"service": "redis"}]
    given = {"expected": expected, "compose_file": str(tmp_path / "compose.yml")}
    before = copy.deepcopy(host.containers)
    checked = host.examined(repair=True, check_mode=True, **given)
    assert (host.done, host.containers, checked["changed"]) == ([], before, True)
    assert {one["outcome"] for one in checked["actions"]} == {"would"}
    repaired = host.examined(repair=True, **given)
    assert host.done == ["unpause celery", "owner", "inside", "start keeper", "compose redis", "restart api"]
    outcomes = {(one["reason"], one["outcome"]) for one in repaired["actions"]}
    assert ("Empty", "mended") in outcomes
    assert ("Odd", "could not") in outcomes
    assert next(one for one in repaired["actions"] if one["reason"] == "Odd")["why_not"] == "the disk is full"
    # a person's is left, and no error
    assert repaired["errors"] == 0
    assert [one["reason"] for one in repaired["findings"] if one["level"] == "warning"] == ["ForeignFiles", "Odd"]


def test_what_docker_refuses_is_said(host: Host) -> None:
    host.containers[1]["State"] = {"Status": "exited"}
    host.docker.on(
        "start", answers=[refused(1, "Error response from daemon: driver failed: port is already allocated")]
    )
    [action] = host.examined(repair=True)["actions"]
    assert action["outcome"] == "could not"
    assert "port is already allocated" in action["why_not"]


def test_nothing_new_in_an_answer_of_the_helper_gets_out(host: Host) -> None:
    host.findings = [{**finding("Empty"), "document": "1//secret", "level": "strange"}]
    text = json.dumps(host.examined())
    assert "secret" not in text
    assert document()["fingerprint"] not in text
