"""A Docker host for the doctor: its containers and its volume do what they are told."""

from __future__ import annotations

import json
from typing import Any

from module_utils.token_keeper_helper.container import Container
from module_utils.token_keeper_helper.diagnosis import Doctor
from module_utils.token_keeper_helper.doctor_arguments import TOKEN_DOCTOR
from module_utils.token_keeper_helper.lock_holder import Holder
from module_utils.token_keeper_helper.repairing import doctored
from pretended import Docker, printed, refused, said, status

MOUNTPOINT = "/var/lib/docker/volumes/tokens/_data"
TOKENS = {"Type": "volume", "Name": "tokens", "Source": MOUNTPOINT, "Destination": "/app/tokens", "RW": True}
OTHER = {"Type": "volume", "Name": "other", "Source": "/x", "Destination": "/app/tokens", "RW": True}
FOLDER = {"Type": "bind", "Source": "/srv/tokens", "Destination": "/app/tokens", "RW": True}
FILE = {"Type": "bind", "Source": "/srv/token.json", "Destination": "/app/token.json", "RW": True}
OVER = {"Type": "bind", "Source": "/srv/token.json", "Destination": "/app/tokens/token.json", "RW": True}


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
        docker.on("inspect", "container", answers=[self.inspected])
        docker.on("exec", answers=[printed("c" * 64)])
        docker.on("diff", answers=[printed("")])
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

    def inspected(self) -> Any:
        """What the engine says of the containers that it was asked for, by id or name."""
        asked = self.docker.calls[-1][0]
        return said([one for one in self.containers if one["Id"] in asked or one["Name"].lstrip("/") in asked])

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


def holding(told: dict[str, Any]) -> Holder:
    """A process of a container that holds the lock."""
    return Holder(4711, "python", Container(told))
