"""The way of a running Compose project from a token in a file of the host into the token volume, and back.

Old and new containers run side by side only while nobody renews the token; whatever one side makes of it all the same
is carried to the other. A run that is killed leaves containers of both kinds, and the next run, in either direction,
goes on from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from . import compose_config, replacing
from .engine import Engine
from .engine_errors import engine_failure, last_line
from .failure import ModuleFailure
from .host_file import HostFile, Signature
from .replacing import START_FIRST, Step

Container = Mapping[str, Any]

_LABEL: Final = "com.docker.compose."
_UP: Final = frozenset({"running", "restarting", "paused"})
_PAUSE: Final = 0.5


@dataclasses.dataclass
class Migration:
    """One run, in one direction.

    Attributes:
        engine: where the project runs.
        project: the project by its own files.
        override: the file that puts the volume in the place of the mount; who was made with it has the volume.
        file: the file of the host, and the helper that has the volume.
        to_volume: which way it goes.
        services: those that get the token.
        targets: where their own mounts of it are: its folder, and the file alone.
        keepers: containers that renew the volume's token; they are stopped on the way back.
        how: ``start_first`` or ``stop_first``, by service, where the operator knows better.
        pull: what Compose does about images that aren't there; ``policy`` is as each service says.
        timeout: seconds that the new containers of a service may take until they are well.
        settle: seconds from then until the old ones are stopped.
        life: seconds that the access token has to live for the services to be replaced one by one.
        wait: seconds to wait for somebody to renew it, where that is less.
    """

    engine: Engine
    project: compose_config.Project
    override: str
    file: HostFile
    to_volume: bool
    services: Sequence[str]
    targets: Sequence[str]
    keepers: Sequence[str] = ()
    how: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pull: str = "policy"
    timeout: float = 120.0
    settle: float = 5.0
    life: float = 900.0
    wait: float = 0.0
    taken: int = dataclasses.field(default=0, init=False)
    given: int = dataclasses.field(default=0, init=False)
    done: list[dict[str, Any]] = dataclasses.field(default_factory=list, init=False)
    _seen: Signature | None = dataclasses.field(default=None, init=False)

    # -- what is there

    def containers(self, service: str = "", *, old: bool, up: bool | None = None) -> list[Container]:
        """Return ``docker inspect`` of containers that get the token.

        Args:
            service: of this service alone.
            old: those with the place that is left, or else those with the one that is gone to.
            up: those that run, or those that don't; ``None`` is all.
        """
        filters = [f"label={_LABEL}project={self.project.name}", f"label={_LABEL}oneoff=False"]
        words = [word for one in filters for word in ("--filter", one)]
        ids = self._docker("ps", "--all", "--no-trunc", "--quiet", *words).split()
        found: list[Container] = []
        for one in self.engine.inspect(ids) if ids else []:
            labels = one["Config"]["Labels"]
            name = labels.get(f"{_LABEL}service")
            in_volume = self.override in str(labels.get(f"{_LABEL}project.config_files")).split(",")
            if (
                (name == service if service else name in self.services)
                and (in_volume is not self.to_volume) is old
                and (up is None or (one["State"]["Status"] in _UP) is up)
            ):
                found.append(one)
        return found

    def plan(self) -> list[Step]:
        """Return how each service with a running container of the old kind will be replaced, in order."""
        running: dict[str, list[Container]] = {}
        for one in self.containers(old=True, up=True):
            running.setdefault(one["Config"]["Labels"][f"{_LABEL}service"], []).append(one)
        services = compose_config.read(self.engine, self.project)["services"]
        return replacing.steps(services, running, self.targets, self.how)

    def strangers(self) -> list[str]:
        """Return the names of running containers that have the file too, and are none of those that leave it."""
        names = {self.file.path, os.path.realpath(self.file.path)}
        paths = sorted(names | {os.path.dirname(name) for name in names})
        ours = [one["Id"] for old in (True, False) for one in self.containers(old=old)]
        return replacing.others(self.engine.running(), paths, ours)

    def foresee(self) -> tuple[list[Step], replacing.Way, dict[str, Any]]:
        """Return plan, way and what would happen to the document; nothing is changed.

        Raises:
            ModuleFailure: the file, or the volume, holds nothing that the other could take.
        """
        plan = self.plan()
        if self.to_volume and not plan and self.file.signature() is None and self.containers(old=False):
            # the file has been removed since, and one of those that had no container is to get one
            answer: dict[str, Any] = {"changed": False, "reason": "NothingLeft", "after": None}
        elif self.to_volume:
            answer = self._newest(dry_run=True)
        else:
            answer = {"changed": True, "reason": "Given", "after": self.file.helper.run("show")}
        if not plan:
            return plan, replacing.Way(False, "no container of the project runs with the old place"), answer
        return plan, replacing.way(_left(answer["after"]), self.life, "app_stack_migrate_life"), answer

    # -- what is done

    def run(self) -> replacing.Way:
        """Move all services, one by one where that can be done, and return the way that was taken.

        Raises:
            ModuleFailure: who uses what now is in its message.
        """
        plan, way, foreseen = self.foresee()
        deadline = time.monotonic() + self.wait
        while plan and not way.one_by_one and time.monotonic() < deadline:
            time.sleep(min(5.0, self.wait))
            plan, way, foreseen = self.foresee()
        if foreseen["reason"] == "NothingLeft":
            return way
        if not self.to_volume and self.keepers:
            self._docker("stop", *self.keepers)
        try:
            if way.one_by_one:
                way = self._one_by_one(plan, way)
            else:
                self._at_once(plan)
        except ModuleFailure:
            if not self.to_volume and self.keepers:
                with contextlib.suppress(ModuleFailure):  # what has failed first is what has to be told
                    self._docker("start", *self.keepers)
            raise
        for service in self.services:
            # left by a run that was killed; Compose would count them
            if self.containers(service, old=False, up=True):
                self._remove(self.containers(service, old=True, up=False))
        return way

    def _one_by_one(self, plan: Sequence[Step], way: replacing.Way) -> replacing.Way:
        if self.to_volume or self.containers(old=False, up=True):
            self._look()
        else:
            self._give(in_place=False)  # nobody uses the file: what is in it is old
        moved: list[Step] = []
        for at, step in enumerate(plan):
            left = self._look()
            if at and (left is None or left < replacing.life_to_go_on(self.life, self.timeout)):
                rest = plan[at:]
                self._at_once(rest)
                names = ", ".join(one.service for one in rest)
                return replacing.Way(False, f"{way.why}; {names} at once, because it had only {left} s left by then")
            try:
                self._replace(step)
            except ModuleFailure as failure:
                raise self._gone_back(moved, step, failure) from None
            moved.append(step)
        self._look()
        return way

    def _replace(self, step: Step) -> None:
        begun = time.monotonic()
        if step.how == START_FIRST:
            self._start_first(step)
        else:
            self._stop_first([step])
        self.done.append({"service": step.service, "how": step.how, "seconds": round(time.monotonic() - begun, 1)})

    def _start_first(self, step: Step) -> None:
        """Run new containers beside the old ones, and stop those when the new ones are well."""
        name = step.service
        for old in (True, False):
            self._remove(self.containers(name, old=old, up=False))  # Compose would start them
        try:
            there = len(self.containers(name, old=False))
            if there < step.wanted:
                number = len(self.containers(name, old=True)) + step.wanted
                self._up("--no-recreate", "--scale", f"{name}={number}", name)
            self._await_well(step)
        except ModuleFailure:
            self._remove(self.containers(name, old=False))
            raise
        for one in self.containers(name, old=True):
            self._docker("stop", one["Id"])
            self._glance()
            self._remove([one])

    def _stop_first(self, steps: Sequence[Step]) -> None:
        """Have Compose make containers anew, in the place of the old ones."""
        names = [step.service for step in steps]
        try:
            self._up(*names)
            for step in steps:
                self._await_well(step)
        except ModuleFailure:
            self._backwards()._up(*names)
            raise

    def _at_once(self, plan: Sequence[Step]) -> None:
        """Stop all that are left before the token is carried over, and start them with the new place."""
        begun = time.monotonic()
        names = [step.service for step in plan]
        old = [one for name in names for one in self.containers(name, old=True, up=True)]
        try:
            if old:
                self._docker("stop", *(one["Id"] for one in old))
            if self.to_volume or self.containers(old=False, up=True):
                self._look()
            else:
                self._give(in_place=False)
        except ModuleFailure as failure:
            if old:
                self._docker("start", *(one["Id"] for one in old))
            raise self._unmoved(names, failure) from None
        if not names:
            return
        self._up(*names)
        for step in plan:
            self._await_well(step)
        seconds = round(time.monotonic() - begun, 1)
        self.done += [{"service": name, "how": "all at once", "seconds": seconds} for name in names]

    def _gone_back(self, moved: Sequence[Step], failed: Step, failure: ModuleFailure) -> ModuleFailure:
        """Bring those back that have moved: nobody may be left with another place than the rest."""
        back = self._backwards()
        try:
            back._look()
            for step in reversed(moved):
                back._replace(dataclasses.replace(step, containers=step.wanted))
                back._look()
        except ModuleFailure as second:
            return ModuleFailure(
                "MigrationError",
                "HalfMoved",
                f"{failed.service} did not come up with its new place ({failure.message}), and the others could not be "
                f"brought back ({second.message}): some use the file and some the volume",
                "correct what it names, and run the playbook again, either way, before the access token is renewed",
            )
        return self._unmoved([failed.service, *(step.service for step in moved)], failure)

    def _unmoved(self, names: Sequence[str], failure: ModuleFailure) -> ModuleFailure:
        place = f"the file {self.file.path}" if self.to_volume else f"the volume {self.file.helper.volume}"
        users = f"{', '.join(names)} use" if len(names) > 1 else f"{''.join(names)} uses" if names else "all use"
        return ModuleFailure(
            failure.kind,
            failure.reason,
            f"the token was not moved, and {users} {place} as before: {failure.message}",
            failure.remedy,
        )

    def _backwards(self) -> Migration:
        return dataclasses.replace(self, to_volume=not self.to_volume)

    # -- the document

    def _look(self) -> float | None:
        """Carry what one side has made of the document to the other, and return the seconds that its token lives."""
        signature = self.file.signature()
        answer = self._newest()
        self._seen = signature
        if answer["reason"] == "NewerThere":
            if self.to_volume and not self.containers(old=True, up=True):
                return _left(answer["before"])
            return self._give(in_place=True)
        self.taken += int(answer["changed"])
        return _left(answer["after"])

    def _newest(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Push the file, and say ``NewerThere`` if the volume's document is the newer one, whichever way."""
        try:
            answer = self.file.take(dry_run=dry_run)
        except ModuleFailure as failure:
            if failure.reason != "Superseded":
                raise
            facts = self.file.helper.run("show")
            answer = {"changed": False, "reason": "NewerThere", "before": facts, "after": facts}
        return {**answer, "after": answer["before"]} if answer["reason"] == "NewerThere" else answer

    def _give(self, *, in_place: bool) -> float | None:
        bound = {self.file.path, os.path.realpath(self.file.path)}
        alone = in_place and any(
            mount.get("Source") in bound for one in self.engine.running() for mount in one.get("Mounts") or []
        )
        told = self.file.give(in_place=alone)
        self.given += int(told["changed"])
        self._seen = self.file.signature()
        return _left(told["after"])

    def _glance(self) -> None:
        if self.file.signature() != self._seen:
            self._look()

    # -- the containers

    def _await_well(self, step: Step) -> None:
        """Wait until the new containers of a service are well, and stay so for a while.

        Raises:
            ModuleFailure: ``NotWell``.
        """
        deadline = time.monotonic() + self.timeout
        well_since: float | None = None
        settle = self.settle if step.how == START_FIRST else 0.0
        while True:
            found = self.containers(step.service, old=False)
            ill = [complaint for one in found if (complaint := _complaint(one))]
            now = time.monotonic()
            if len(found) >= step.wanted and not ill:
                well_since = now if well_since is None else well_since
                if now - well_since >= settle:
                    return
            else:
                ended = [one for one in found if one["State"]["Status"] in {"exited", "dead"}]
                if ended or well_since is not None or now >= deadline:
                    what = "; ".join(ill) or f"{len(found)} of {step.wanted} containers are there"
                    what += self._last_words(found)
                    raise ModuleFailure("MigrationError", "NotWell", what, "correct it, and run this again")
            self._glance()
            time.sleep(_PAUSE)

    def _last_words(self, found: Iterable[Container]) -> str:
        for one in found:
            if _complaint(one):
                said = self.engine.docker("logs", "--tail", "3", one["Id"])
                return f"; its last line: {last_line(said.stderr or said.stdout)}"
        return ""

    def _up(self, *words: str) -> None:
        files = [*self.project.files, *([self.override] if self.to_volume else [])]
        pull = [] if self.pull == "policy" else ["--pull", self.pull]
        project = dataclasses.replace(self.project, files=files)
        self._docker(*project.argv(self.engine, "up", "--detach", "--no-deps", *pull, *words))

    def _remove(self, containers: Sequence[Container]) -> None:
        if containers:
            self._docker("rm", "--force", *(one["Id"] for one in containers))

    def _docker(self, *words: str) -> str:
        done = self.engine.docker(*words)
        if done.exit_code == 0:
            return done.stdout
        raise engine_failure(done, self.engine.where) or ModuleFailure(
            "EngineError",
            "EngineRefused",
            f"docker {words[0]} failed: {last_line(done.stderr)}",
            "correct what it names, then run the play again",
        )


def _left(facts: Mapping[str, Any] | None) -> float | None:
    return None if facts is None else facts.get("expires_in")


def _complaint(container: Container) -> str:
    """Say why a container isn't well; empty if it is."""
    state, name = container["State"], str(container["Name"]).lstrip("/")
    health = (state.get("Health") or {}).get("Status", "healthy")
    if state["Status"] != "running":
        return f"{name} is {state['Status']} (exit code {state.get('ExitCode')})"
    if container.get("RestartCount"):
        return f"{name} has ended and been started again (exit code {state.get('ExitCode')})"
    return "" if health in ("healthy", "none") else f"{name} is {health}"
