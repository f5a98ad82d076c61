"""Which containers access the token: how each mounts it, as whom, and which generation it sees."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .consumers import Consumer, Report
from .container import Container
from .engine import Engine
from .finding import Finding
from .helper import Helper
from .lock_holder import Holder
from .mounts import Mount, find_mount

_FINGERPRINT: Final = 16
_WHOLE: Final = (
    "mount the whole volume (token_data:/app/tokens), never a file of it: recreate the container with site.yml"
)


@dataclasses.dataclass(frozen=True)
class Access:
    """One container that has the volume, running or not.

    Attributes:
        container: the container.
        mount: how it mounts the volume.
        seen: what is proven of what it sees; ``None`` where it does not run or can't be asked.
    """

    container: Container
    mount: Mount
    seen: Consumer | None

    @property
    def writable(self) -> bool:
        """Whether it may write to the volume."""
        entry = self.container.mount_at(self.mount.destination)
        return entry is None or bool(entry.get("RW", True))

    def as_dict(self) -> dict[str, Any]:
        """Return the row of the table."""
        health = f" ({self.container.health})" if self.container.health else ""
        return {
            "container": self.container.name,
            "service": self.container.service,
            "state": f"{self.container.state}{health}",
            "mount": self.mount.destination,
            "access": "rw" if self.writable else "ro",
            "user": self.container.user,
            "generation": self.seen.generation if self.seen else None,
            "level": self.seen.level if self.seen else "mount",
            "remark": self.mount.obstacle or (self.seen.reason if self.seen else "") or self.mount.remark,
        }


def accesses_of(
    containers: Sequence[Container], report: Report | None, *, volume: str, mountpoint: str, path: str, file: str
) -> list[Access]:
    """Return the containers that mount the volume, by name.

    Args:
        containers: all that the engine has.
        report: what is proven of those that run; ``None`` where the volume can't be looked into.
        volume: the volume's name.
        mountpoint: its folder on the Docker host.
        path: where consumers are expected to mount it.
        file: the document's name.
    """
    seen = {consumer.container: consumer for consumer in report.consumers} if report else {}
    found = []
    for container in containers:
        mount = find_mount(container.told, volume, mountpoint, path, file)
        if mount is not None:
            found.append(Access(container, mount, seen.get(container.name)))
    return sorted(found, key=lambda access: access.container.name)


def examine_accesses(
    helper: Helper, accesses: Sequence[Access], report: Report | None, holders: Sequence[Holder]
) -> Iterator[Finding]:
    """Judge how each container has the token that the helper reaches, and what it sees."""
    engine, uid, file = helper.engine, helper.uid, helper.file
    holding = {holder.container.name for holder in holders if holder.container is not None}
    for access in accesses:
        container, name = access.container, access.container.name
        if not container.is_user(uid):
            yield Finding(
                "Consumers",
                "error",
                "WrongUser",
                f"{name} runs as user {container.user}, and the token belongs to {uid}: it can't read it",
                f"run it as {uid}, or give every consumer the same user: token_volume_uid, then site.yml",
                where=name,
            )
        if not access.writable:
            yield _read_only(name, holds=name in holding)
        if access.mount.obstacle:
            yield _kept_file(engine, access, report)
        elif container.state == "running" and report is not None:
            yield from _what_it_sees(access, file, silent=bool(report.silent))
    if report is not None:
        for url, why in report.silent.items():
            yield Finding(
                "Consumers",
                "warning",
                "PageSilent",
                f"{url} tells no heartbeats: {why}; what each process sees is not known",
                "see if its container runs, and if this is its port (app_stack_api_port, app_stack_keeper_port)",
                where=url,
            )


def examine_other_mounts(
    containers: Sequence[Container],
    accesses: Sequence[Access],
    services: Sequence[str],
    *,
    project: str,
    path: str,
    file: str,
    engine: Engine | None,
) -> Iterator[Finding]:
    """Find containers of the application that have something else where the token should be.

    Args:
        containers: all that the engine has.
        accesses: those that mount the volume.
        services: the services that should.
        project: the application's Compose project.
        path: where the volume belongs.
        file: the document's name.
        engine: what they are recreated with; ``None`` where there is no Compose file to do it by.
    """
    having = {access.container.name for access in accesses}
    for container in containers:
        if container.project != project or container.is_task:
            continue
        what = next(_in_its_place(container, path, file, has_volume=container.name in having), "")
        reason = "OtherMount" if what else "NotMounted"
        if not what and container.service in services and container.name not in having:
            what = "does not mount the token volume at all"
        if not what:
            continue
        remedy = "mount the token volume there, then ansible-playbook site.yml, which recreates the container"
        lost = _ends_with_it(engine, container, path, file) if engine is not None else ""
        if lost:
            remedy = f"{lost} goes with the container: copy it first if it holds the newest token; {remedy}"
        mends = engine is not None and not lost
        yield Finding(
            "Mounts",
            "error",
            reason,
            f"{container.name} {what}",
            remedy,
            f"the service {container.service} is recreated from its Compose file" if mends else "",
            container.name,
            ("recreate", container.service) if mends else (),
        )


def _ends_with_it(engine: Engine, container: Container, path: str, file: str) -> str:
    """Return what of a container may be a token that stands nowhere else, and would be gone with it."""
    if posixpath.normpath(path) in container.in_memory:
        return f"what is in memory at {path}"
    changed = engine.docker("diff", container.id)
    if changed.exit_code != 0:
        return "what it has written"
    # the engine makes an empty file where one of the host is mounted
    own = [line[2:] for line in changed.stdout.splitlines() if line[:1] in {"A", "C"} and line.endswith(f"/{file}")]
    return next((f"its own {name}" for name in own if container.mount_at(name) is None), "")


def _in_its_place(container: Container, path: str, file: str, *, has_volume: bool) -> Iterator[str]:
    for entry in container.mounts:
        destination = posixpath.normpath(str(entry.get("Destination") or "/"))
        source, kind = str(entry.get("Source") or ""), entry.get("Type")
        if destination == posixpath.normpath(path) and not has_volume:
            other = f"the volume {entry.get('Name')}" if kind == "volume" else f"{source or 'memory'} of the host"
            yield f"has {other} at {path}, not the token volume"
        elif kind == "bind" and destination == f"{posixpath.normpath(path)}/{file}":
            yield f"has the file {source} of the host over {path}/{file}: it does not see the volume's document"
        elif kind == "bind" and not has_volume and posixpath.basename(destination) == file:
            yield f"has the file {source} of the host at {destination}, and not the token volume: it keeps the old file"


def _read_only(name: str, *, holds: bool) -> Finding:
    if holds:
        return Finding(
            "Consumers",
            "warning",
            "ReadOnlyHolder",
            f"{name} mounts the volume read-only and holds its lock: it keeps writers waiting and can't renew",
            f"mount it read-write, or have the program in it only read the file; docker restart {name} ends its lock",
            where=name,
        )
    why = f"{name} mounts the volume read-only: it can read the token, and others have to renew it"
    return Finding("Consumers", "info", "ReadOnly", why, "nothing, as long as a keeper runs", where=name)


def _kept_file(engine: Engine, access: Access, report: Report | None) -> Finding:
    """Judge a container that has a file of the volume alone: which of them does it have?"""
    name, destination = access.container.name, access.mount.destination
    current = report.status["document"].get("content_fingerprint") if report is not None else None
    if access.container.state == "running" and current is not None:
        read = engine.docker("exec", access.container.id, "sha256sum", destination)
        if read.exit_code == 0 and read.stdout.lstrip("\\")[:_FINGERPRINT] != current:
            return Finding(
                "Consumers",
                "error",
                "OldInode",
                f"{name} still has a file at {destination} that was replaced since it started: {access.mount.obstacle}",
                f"docker restart {name} gives it the present file once; to end it, {_WHOLE}",
                f"{name} is restarted, and has the present file until it is replaced again",
                name,
                ("restart", name),
            )
    why = f"{name}: {access.mount.obstacle}. It has the present file, and loses sight of it at the next renewal"
    return Finding("Consumers", "warning", "SingleFile", why, _WHOLE, where=name)


def _what_it_sees(access: Access, file: str, *, silent: bool) -> Iterator[Finding]:
    seen, name = access.seen, access.container.name
    if seen is None or seen.converged or (silent and not seen.processes):
        return  # or it may have told the page that is silent, which has a finding of its own
    look = f"docker logs {name} says why"
    if (
        seen.level == "process"
        and any(beat.generation is not None for beat in seen.processes)
        and "have reported" not in seen.reason
    ):
        yield Finding(
            "Consumers",
            "error",
            "OldGeneration",
            f"{name} works with an old token: {seen.reason}",
            f"docker restart {name}; {look}",
            f"{name} is restarted",
            name,
            ("restart", name),
        )
    elif "another document" in seen.reason:
        why = f"{name} reads another document than the volume holds"
        if access.container.mount_at(posixpath.join(access.mount.destination, file)) is not None:
            yield Finding(
                "Consumers", "error", "OtherDocument", f"{why}: a file is mounted over it", _WHOLE, where=name
            )
            return
        mend = f"{name} is restarted"
        yield Finding(
            "Consumers", "error", "OtherDocument", why, f"docker restart {name}", mend, name, ("restart", name)
        )
    elif "cannot read" in seen.reason:
        why = f"{name}: {seen.reason}"
        yield Finding("Consumers", "error", "CannotRead", why, "see Document and Directory, and its user", where=name)
    else:
        yield Finding("Consumers", "warning", "NotReporting", f"{name}: {seen.reason}", look, where=name)


def examine_keepers(accesses: Sequence[Access], project: str) -> Iterator[Finding]:
    """Judge the keepers: one is active, another only waits for it to die."""
    running = [
        access.container for access in accesses if access.container.is_keeper and access.container.state == "running"
    ]
    if len(running) < 2:
        return
    names = ", ".join(container.name for container in running)
    strangers = [container.name for container in running if container.project != project] or [running[-1].name]
    same = len({(container.project, container.service) for container in running}) == 1
    yield Finding(
        "Keepers",
        "info" if same else "warning",
        "TwoKeepers",
        f"{len(running)} keepers run on this volume: {names}. One is active, and the others wait for its end",
        f"nothing, if that is meant; else docker stop {' '.join(strangers)}",
        where="keepers",
    )
