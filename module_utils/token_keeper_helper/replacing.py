"""In which order the services of somebody's project change their place for the token, and how each of them does.

Pure functions over what ``docker compose config`` and ``docker inspect`` tell.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from . import app_consumers

START_FIRST: Final = "start first"
STOP_FIRST: Final = "stop first"

RENEWED_AHEAD: Final = 360.0
"""Seconds before its end from which somebody may renew a token: the keeper, which is earlier than google-auth (225)."""

_ANONYMOUS: Final = re.compile(r"[0-9a-f]{64}")

Service = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Step:
    """How one service is replaced.

    Attributes:
        service: its name.
        containers: how many of its containers run with the old place.
        wanted: how many it is to have.
        how: :data:`START_FIRST` where new ones run beside the old ones before those are stopped, else
            :data:`STOP_FIRST`.
        why: what forbids to have it twice, or who has said so; empty for ``START_FIRST``.
    """

    service: str
    containers: int
    wanted: int
    how: str
    why: str = ""

    def __str__(self) -> str:
        number = f"{self.containers} container{'' if self.containers == 1 else 's'}"
        return f"{self.service}: {number}, {self.how}{f' ({self.why})' if self.why else ''}"


@dataclasses.dataclass(frozen=True)
class Way:
    """Whether services are replaced one by one, and why, or why not."""

    one_by_one: bool
    why: str


def steps(
    services: Mapping[str, Service],
    containers: Mapping[str, Sequence[Mapping[str, Any]]],
    targets: Sequence[str],
    how: Mapping[str, str],
) -> list[Step]:
    """Plan the replacement of the services that have running containers.

    Those that can be there twice come first: should the new ones fail, the old ones have never been stopped, and
    nobody notices. Among them come those that only read the token, because they renew nothing on either side; then
    those whose health check proves something; then the others, by name.

    Args:
        services: the application's, as Compose resolves them; all of them, as one may share another's network.
        containers: ``docker inspect`` of the running ones that are to be replaced, by service.
        targets: where the application may mount its token: the folder, and the file alone.
        how: ``start_first`` or ``stop_first``, by service, where the operator knows better.
    """
    planned = []
    for name, running in containers.items():
        if not running:
            continue
        service = services.get(name) or {}
        wanted = app_consumers.containers(service) or len(running)
        why = _forbidden(name, services)
        if not why and how.get(name) != "start_first":
            why = "app_stack_migrate_how" if name in how else _unwise(service, running, wanted)
        planned.append(Step(name, len(running), wanted, STOP_FIRST if why else START_FIRST, why))

    def place(step: Step) -> tuple[Any, ...]:
        service = services.get(step.service) or {}
        return step.how != START_FIRST, not _only_reads(service, targets), not _has_check(service), step.service

    return sorted(planned, key=place)


def way(left: float | None, needed: float, named: str) -> Way:
    """Decide whether old and new containers may run side by side: only while nobody renews the token.

    Args:
        left: seconds until the access token ends; ``None`` where its document doesn't say.
        needed: seconds that have to be left.
        named: the variable that says so, for the message.
    """
    if left is None:
        return Way(False, "the document doesn't say when its access token ends, so that it may be renewed at any time")
    if left < needed:
        return Way(
            False,
            f"the access token ends in {max(0, int(left))} s, less than {needed:.0f} s ({named}): somebody could renew "
            "it while file and volume are both in use, and a provider that rotates refresh tokens would end the grant",
        )
    return Way(
        True, f"the access token lives for {int(left)} s, and nobody renews it so early ({named}: {needed:.0f} s)"
    )


def life_to_go_on(needed: float, timeout: float) -> float:
    """Return the seconds that have to be left before each further service.

    Args:
        needed: what had to be left at the beginning.
        timeout: seconds that one service may take until it is healthy.
    """
    return min(needed, RENEWED_AHEAD + timeout + 30.0)


def others(containers: Iterable[Mapping[str, Any]], paths: Sequence[str], ours: Iterable[str]) -> list[str]:
    """Return the names of running containers that have the file, or its folder, and are not about to be replaced.

    Args:
        containers: ``docker inspect`` of the running ones.
        paths: the file, and its folder, each by every name that it goes by.
        ours: ids of those that are.
    """
    known = set(ours)
    return sorted(
        str(one["Name"]).lstrip("/")
        for one in containers
        if one["Id"] not in known
        and any(mount.get("Type") == "bind" and mount.get("Source") in paths for mount in one.get("Mounts") or [])
    )


def _forbidden(name: str, services: Mapping[str, Service]) -> str:
    """Say why Compose can't have a service twice as often as it is; empty if it can."""
    service = services.get(name) or {}
    ports = [str(port.get("published") or "0") for port in service.get("ports") or []]
    ports = [port for port in ports if port != "0"]  # the engine chooses one
    shared = [
        other
        for other, one in services.items()
        if other != name and f"service:{name}" in [one.get(space) for space in ("network_mode", "pid", "ipc")]
    ]
    networks = [one for one in (service.get("networks") or {}).values() if one]
    addresses = [
        one[key] for one in networks for key in ("ipv4_address", "ipv6_address", "mac_address") if one.get(key)
    ]
    mode = str(service.get("network_mode") or "")
    reasons = {
        f"host port {', '.join(ports)}": ports,
        f"container_name {service.get('container_name')}": service.get("container_name"),
        f"network_mode {mode}": mode not in ("", "bridge", "none", "default"),
        f"{', '.join(sorted(shared))} shares its network or processes": shared,
        f"the fixed address {', '.join(addresses)}": addresses,
        "deploy mode global": (service.get("deploy") or {}).get("mode") == "global",
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _unwise(service: Service, running: Sequence[Mapping[str, Any]], wanted: int) -> str:
    """Say why a service had better not be there twice, though it could be; empty if nothing is known against it."""
    kept = [mount for one in running for mount in one.get("Mounts") or [] if mount.get("Type") == "volume"]
    for mount in kept:
        # Compose hands them on from a container to the one that takes its place, and to no other
        if _ANONYMOUS.fullmatch(str(mount.get("Name"))):
            return f"it keeps data of its own in {mount['Destination']}"
    if wanted > 1:
        return ""
    # one that the kit has mounted, the token's or one with secrets, is not among them
    own = {str(mount.get("target")) for mount in service.get("volumes") or [] if mount.get("type") == "volume"}
    for mount in kept:
        if mount.get("RW") and mount["Destination"] in own:
            return f"it alone writes to volume {mount['Name']}"
    return f"hostname {service['hostname']}" if service.get("hostname") else ""


def _only_reads(service: Service, targets: Sequence[str]) -> bool:
    mounts = [mount for mount in service.get("volumes") or [] if str(mount.get("target")).rstrip("/") in targets]
    return bool(mounts) and all(mount.get("read_only") for mount in mounts)


def _has_check(service: Service) -> bool:
    return bool((service.get("healthcheck") or {}).get("test")) and not service["healthcheck"].get("disable")
