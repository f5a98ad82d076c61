"""A Compose project on an engine that is not there: containers come, get well or not, and go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from module_utils.token_keeper_helper.compose_config import Project
from module_utils.token_keeper_helper.engine import Engine
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.migration import Migration
from module_utils.token_keeper_helper.process import Completed

FILE = "/srv/theirs/token.json"
OVERRIDE = "/opt/kit/override.yml"
OURS = "/srv/theirs/compose.yml"


class World:
    """What the engine has, what the document is on both sides, and all that was done, in order.

    Attributes:
        services: the project, as Compose resolves it.
        containers: ``docker inspect``, by id.
        sick: services whose containers with the volume, or with the file, don't get well: (service, in the volume).
        file, volume: the document on either side, as a number that rises; ``None`` is none.
        left: seconds that its access token lives.
        log: what was done.
        during: called with what is done before it is.
    """

    def __init__(self, services: dict[str, Any]) -> None:
        self.services = services
        self.containers: dict[str, dict[str, Any]] = {}
        self.sick: set[tuple[str, bool]] = set()
        self.file: int | None = 1
        self.volume: int | None = None
        self.left: float | None = 3000.0
        self.log: list[str] = []
        self.during: Any = lambda done: None
        self._count = 0

    def put(self, service: str, *, in_volume: bool = False, up: bool = True) -> str:
        """Have a container."""
        self._count += 1
        name = f"{service}-{self._count}"
        ill = (service, in_volume) in self.sick
        files = f"{OURS},{OVERRIDE}" if in_volume else OURS
        mounts = [] if in_volume else [{"Type": "bind", "Source": FILE, "Destination": "/data/token.json", "RW": True}]
        self.containers[name] = {
            "Id": name,
            "Name": f"/{name}",
            "Config": {
                "Labels": {"com.docker.compose.service": service, "com.docker.compose.project.config_files": files}
            },
            "State": {
                "Status": "running" if up else "exited",
                "ExitCode": 1,
                "Health": {"Status": "unhealthy" if ill else "healthy"},
            },
            "Mounts": mounts,
        }
        return name

    def migration(self, *, to_volume: bool = True, **more: Any) -> Migration:
        """Return a migration of all its services."""
        engine = Engine(self)
        helper = SimpleNamespace(
            volume="tokens",
            file="token.json",
            engine=SimpleNamespace(volume=lambda _: {}),
            run=lambda *_: self._facts(),
        )
        file = SimpleNamespace(path=FILE, helper=helper, signature=lambda: self.file, take=self._take, give=self._give)
        wishes: dict[str, Any] = {"settle": 0.0, "timeout": 0.0, **more}
        project = Project("/srv/theirs", [OURS], name="theirs")
        targets = ("/data", "/data/token.json")
        return Migration(engine, project, OVERRIDE, file, to_volume, sorted(self.services), targets, **wishes)  # type: ignore[arg-type]

    def places(self) -> dict[str, list[str]]:
        """Return where the running containers of each service have their token."""
        found: dict[str, list[str]] = {}
        for one in self.containers.values():
            labels = one["Config"]["Labels"]
            if one["State"]["Status"] == "running":
                place = "volume" if OVERRIDE in labels["com.docker.compose.project.config_files"] else "file"
                found.setdefault(labels["com.docker.compose.service"], []).append(place)
        return found

    def __call__(self, argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        """Be the docker command."""
        words = list(argv[1:])
        if words[0] == "ps":
            return Completed(0, "\n".join(self.containers), "")
        if words[0] == "inspect":
            return Completed(0, json.dumps([self.containers[one] for one in words if one in self.containers]), "")
        if words[0] == "logs":
            return Completed(0, "no token", "")
        if "config" in words:
            return Completed(0, json.dumps({"name": "theirs", "services": self.services}), "")
        what = " ".join(words[words.index("up") :] if "up" in words else words)
        what = what.replace("--detach --no-deps ", "").replace("--force ", "")
        self.during(what)
        if "up" in words:
            self._up(words)
        for one in words:
            if words[0] == "rm":
                self.containers.pop(one, None)
            elif words[0] in ("stop", "start") and one in self.containers:
                self.containers[one]["State"]["Status"] = "running" if words[0] == "start" else "exited"
        self.log.append(what)
        return Completed(0, "", "")

    def _up(self, words: list[str]) -> None:
        in_volume = OVERRIDE in words
        if "--scale" in words:
            name, _, number = words[words.index("--scale") + 1].partition("=")
            there = len([one for one in self.containers if one.startswith(f"{name}-")])
            for _ in range(int(number) - there):
                self.put(name, in_volume=in_volume)
            return
        for name in words[words.index("--no-deps") + 1 :]:
            for one in [one for one in self.containers if one.startswith(f"{name}-")]:
                del self.containers[one]
                self.put(name, in_volume=in_volume)

    def _facts(self) -> dict[str, Any]:
        return {"state": "sound", "expires_in": self.left}

    def _take(self, *, dry_run: bool = False) -> dict[str, Any]:
        if self.file is None:
            raise ModuleFailure("TokenMissing", "FileMissing", "there is no file")
        ours, theirs = self.volume or 0, self.file
        if theirs < ours:
            raise ModuleFailure("Conflict", "Superseded", "it was superseded")
        if not dry_run and theirs != ours:
            self.volume = theirs
            self.log.append(f"take {theirs}")
        reason = "Unchanged" if theirs == ours else "Replaced"
        return {"changed": theirs != ours, "reason": reason, "before": self._facts(), "after": self._facts()}

    def _give(self, *, in_place: bool = False) -> dict[str, Any]:
        changed, self.file = self.file != self.volume, self.volume
        self.log.append(f"give {self.volume}{' in place' if in_place else ''}")
        return {"changed": changed, "after": self._facts()}
