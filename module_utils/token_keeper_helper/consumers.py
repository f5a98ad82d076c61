"""Which containers use the token volume, and whether each has the newest generation.

The proof has three levels: the container *mounts* the volume; a process in the *container* reads the newest document;
every worker *process* says that it has the newest generation. Each consumer is judged by the highest one it offers.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .arguments import usage
from .aside import Aside
from .engine import Engine
from .engine_errors import last_line
from .heartbeats import Beat, Heartbeats
from .helper import Helper
from .mounts import Mount, find_mount

_PAUSE: Final = 0.1
_FINGERPRINT: Final = 16
_NO_PROGRAM: Final = frozenset({126, 127})
_SERVICE_LABEL: Final = "com.docker.compose.service"


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What the consumers have to come to.

    Attributes:
        generation: the generation that each has to have, or a later one; ``None`` takes the volume's and does not wait.
        processes: how many processes each container of a service has to report; other services any number.
        path: where consumers are expected to mount the volume.
        timeout: seconds to wait for it.
    """

    generation: int | None = None
    processes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    path: str = "/app/tokens"
    timeout: float = 30.0


def expectation_of(parameters: Mapping[str, Any]) -> Expectation:
    """Return what the consumers have to come to.

    Raises:
        ModuleFailure: a number of processes is none, or an address of heartbeats is no http(s) address.
    """
    for url in parameters["heartbeat_urls"]:
        if not url.startswith(("http://", "https://")):
            remedy = "such as http://127.0.0.1:8080/api/v1/health/consumers"
            raise usage("heartbeat_urls has one that is not an http(s) address", remedy)
    try:
        processes = {str(name): int(number) for name, number in (parameters["expect_processes"] or {}).items()}
    except (TypeError, ValueError):
        raise usage("expect_processes has a value that is not a number", "such as {api: 1, celery: 4}") from None
    return Expectation(parameters["expect_generation"], processes, parameters["path"], parameters["timeout"])


@dataclasses.dataclass(frozen=True)
class Consumer:
    """One running container that mounts the volume, and what is proven of it."""

    container: str
    service: str
    mount: str
    level: str
    generation: int | None
    converged: bool
    processes: tuple[Beat, ...] = ()
    reason: str = ""
    final: bool = False
    """Waiting can't change it."""
    hostname: str = ""
    """What its processes call their machine, in heartbeats and events."""

    def as_dict(self) -> dict[str, Any]:
        """Return the consumer as a part of a result."""
        return {
            "container": self.container,
            "service": self.service,
            "mount": self.mount,
            "level": self.level,
            "generation": self.generation,
            "converged": self.converged,
            "processes": [{"pid": beat.pid, "generation": beat.generation} for beat in self.processes],
            "reason": self.reason,
            "hostname": self.hostname,
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """The consumers, and what they were compared with.

    Attributes:
        status: of the volume.
        consumers: the running containers that mount it.
        silent: addresses that gave no heartbeats, each with the reason.
        running: what ``docker inspect`` says of every running container.
    """

    status: dict[str, Any]
    consumers: tuple[Consumer, ...]
    silent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    running: Sequence[Mapping[str, Any]] = ()

    @property
    def lagging(self) -> list[str]:
        """Names of the containers that have not converged."""
        return [consumer.container for consumer in self.consumers if not consumer.converged]


def watch(
    helper: Helper,
    mountpoint: str,
    expectation: Expectation,
    heartbeats: Callable[[], Heartbeats] | None,
) -> Report:
    """Look at every consumer until all have converged or the time is up.

    Args:
        helper: reaches the volume.
        mountpoint: the volume's folder on the Docker host.
        expectation: what to wait for.
        heartbeats: asks for the processes' own reports, if there is such an endpoint.

    Raises:
        ModuleFailure: the engine or the volume could not be asked.
    """
    deadline = time.monotonic() + expectation.timeout
    observer = _Observer(helper, mountpoint, expectation, heartbeats)
    while True:
        observer.look()
        over = expectation.generation is None or time.monotonic() + _PAUSE > deadline
        if over or not (observer.waits or observer.behind):
            return observer.report
        time.sleep(_PAUSE)


class _Observer:
    """Looks at the consumers again and again, and asks anew only for what may have changed.

    The volume is looked at meanwhile: whoever reports its processes is judged without it.
    """

    def __init__(
        self, helper: Helper, mountpoint: str, expectation: Expectation, heartbeats: Callable[[], Heartbeats] | None
    ) -> None:
        self._helper = helper
        self._mountpoint = mountpoint
        self._expectation = expectation
        self._heartbeats = heartbeats
        self._looking = self._look_at_volume()
        self._stale = False
        self._said = Heartbeats()
        self._running: Sequence[Mapping[str, Any]] = ()
        self._consumers: tuple[Consumer, ...] = ()

    def look(self) -> None:
        """Look once at every consumer."""
        if self._stale:
            self._looking, self._stale = self._look_at_volume(), False
        self._said = self._heartbeats() if self._heartbeats else Heartbeats()
        self._running = self._helper.engine.running()
        mounted = [(one, mount) for one in self._running if (mount := self._mount(one)) is not None]
        by_host: dict[str, list[Beat]] = {}
        for beat in self._said.beats:
            by_host.setdefault(beat.container, []).append(beat)
        reporting = {_service(container) for container, _ in mounted if _hostname(container) in by_host}
        consumers = [
            self._judge(container, mount, tuple(by_host.get(_hostname(container), ())), self._said, reporting)
            for container, mount in mounted
        ]
        self._consumers = tuple(sorted(consumers, key=lambda consumer: consumer.container))

    @property
    def waits(self) -> bool:
        """Whether somebody has not converged who still may."""
        return any(not (consumer.converged or consumer.final) for consumer in self._consumers)

    @property
    def behind(self) -> bool:
        """Whether the volume itself has yet to come to the generation that is waited for."""
        behind: bool = self._status["generation"] < self._wanted
        self._stale = self._stale or behind
        return behind

    @property
    def report(self) -> Report:
        """What was seen last."""
        return Report(self._status, self._consumers, self._said.silent, self._running)

    def _look_at_volume(self) -> Aside[dict[str, Any]]:
        return Aside(lambda: self._helper.run("status"))

    @property
    def _status(self) -> dict[str, Any]:
        return self._looking.answer()

    @property
    def _wanted(self) -> int:
        generation = self._expectation.generation
        return int(self._status["generation"]) if generation is None else generation

    def _mount(self, container: Mapping[str, Any]) -> Mount | None:
        return find_mount(container, self._helper.volume, self._mountpoint, self._expectation.path, self._helper.file)

    def _judge(
        self, container: Mapping[str, Any], mount: Mount, beats: tuple[Beat, ...], said: Heartbeats, reporting: set[str]
    ) -> Consumer:
        bare = Consumer(
            _name(container),
            _service(container),
            mount.destination,
            "mount",
            None,
            False,
            beats,
            hostname=_hostname(container),
        )
        if mount.obstacle:
            return dataclasses.replace(bare, reason=mount.obstacle, final=True)
        if (container.get("State") or {}).get("Status") == "paused":  # who has paused it may let it go on meanwhile
            return dataclasses.replace(bare, reason=f"it is paused, until docker unpause {bare.container}")
        if beats:
            return self._by_processes(bare, beats, mount.remark)
        seen = self._by_reading(self._helper.engine, container, bare, mount)
        if said.obstacle:
            return dataclasses.replace(seen, converged=False, reason=said.obstacle)
        if self._processes_of(bare) or bare.service in reporting:
            return dataclasses.replace(seen, converged=False, reason="none of its processes has reported")
        return seen

    def _processes_of(self, consumer: Consumer) -> int:
        wanted = self._expectation.processes
        return int(wanted.get(consumer.service, wanted.get(consumer.container, 0)))

    def _by_processes(self, bare: Consumer, beats: Sequence[Beat], remark: str) -> Consumer:
        behind = [beat for beat in beats if beat.generation is None or beat.generation < self._wanted]
        wanted = self._processes_of(bare)
        reason = remark
        if len(beats) < wanted:
            reason = f"{len(beats)} of {wanted} processes have reported"
        elif behind:
            told = ", ".join(f"{beat.pid} has {beat.generation}" for beat in behind)
            reason = f"not at generation {self._wanted}: process {told}"
        known = [beat.generation for beat in beats if beat.generation is not None]
        return dataclasses.replace(
            bare,
            level="process",
            generation=min(known) if len(known) == len(beats) else None,
            converged=not behind and len(beats) >= wanted,
            reason=reason,
        )

    def _by_reading(self, engine: Engine, container: Mapping[str, Any], bare: Consumer, mount: Mount) -> Consumer:
        """Have a process in the container read the document, and compare only its fingerprint."""
        completed = engine.docker("exec", container["Id"], "sha256sum", f"{mount.destination}/{self._helper.file}")
        current = self._status["document"].get("content_fingerprint")
        generation = self._status["generation"]
        if completed.exit_code in _NO_PROGRAM:
            remarks = [mount.remark, "the image has no sha256sum to read with: only the mount is proven"]
            return dataclasses.replace(bare, converged=True, reason="; ".join(filter(None, remarks)))
        if completed.exit_code != 0:
            return dataclasses.replace(bare, reason=f"it cannot read the document: {last_line(completed.stderr)}")
        if completed.stdout.lstrip("\\")[:_FINGERPRINT] != current:
            self._stale = True
            return dataclasses.replace(
                bare, level="container", reason="it reads another document than the volume holds"
            )
        there = generation >= self._wanted
        self._stale = self._stale or not there
        return dataclasses.replace(
            bare,
            level="container",
            generation=generation,
            converged=there,
            reason=mount.remark if there else f"the volume is at generation {generation}, not {self._wanted}",
        )


def _name(container: Mapping[str, Any]) -> str:
    return str(container["Name"]).lstrip("/")


def _service(container: Mapping[str, Any]) -> str:
    labels = container["Config"].get("Labels") or {}
    return str(labels.get(_SERVICE_LABEL) or _name(container))


def _hostname(container: Mapping[str, Any]) -> str:
    return str(container["Config"].get("Hostname") or container["Id"][:12])
