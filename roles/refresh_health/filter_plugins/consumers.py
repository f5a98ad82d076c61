"""Filters that judge a list of consumers as the module token_volume_info returns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Proof of convergence, from weak to strong: the container mounts the volume; a process in it reads this
#: generation; each of its worker processes reported it.
LEVELS = ("mount", "container", "process")

Consumer = Mapping[str, Any]


def lagging(consumers: Sequence[Consumer], expected: Sequence[Mapping[str, Any]], generation: int) -> list[str]:
    """Say, one sentence a consumer, who doesn't use ``generation`` yet.

    Arguments:
        consumers: containers that mount the volume, as token_volume_info returns them.
        expected: services that must be there: ``service``, ``containers`` and, for each container, ``processes``.
        generation: the generation that all of them have to use.

    Returns:
        Sentences that begin with the container's name, or with the service's where a container is missing.
        Empty when everybody follows.
    """
    sentences = [_missing(consumers, wanted) for wanted in expected]
    wanted_processes = {wanted["service"]: int(wanted.get("processes", 0)) for wanted in expected}
    for consumer in consumers:
        sentences.append(_behind(consumer, wanted_processes.get(consumer["service"], 0), generation))
    return [sentence for sentence in sentences if sentence]


def level(consumers: Sequence[Consumer]) -> str:
    """Return the level of proof that holds for all ``consumers``: the weakest of theirs, ``none`` without any."""
    reached = [LEVELS.index(consumer["level"]) for consumer in consumers if consumer["level"] in LEVELS]
    return LEVELS[min(reached)] if consumers and len(reached) == len(consumers) else "none"


def container_identity(containers: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return what decides a container's behaviour: its service, image digest and the hash of its configuration.

    Arguments:
        containers: entries of the Docker API's container list, with their labels.
    """
    label = "com.docker.compose."
    return sorted(
        [
            container["Labels"].get(f"{label}service", ""),
            container["ImageID"],
            container["Labels"].get(f"{label}config-hash", ""),
        ]
        for container in containers
    )


def _missing(consumers: Sequence[Consumer], wanted: Mapping[str, Any]) -> str:
    found = sum(consumer["service"] == wanted["service"] for consumer in consumers)
    count = int(wanted.get("containers", 1))
    if found >= count:
        return ""
    return f"{wanted['service']}: {found} of {count} containers run with the volume mounted"


def _behind(consumer: Consumer, processes: int, generation: int) -> str:
    name = consumer["container"]
    current = sum(process["generation"] == generation for process in consumer["processes"])
    if processes and current < processes:
        others = [
            f"process {process['pid']} uses generation {process['generation']}"
            for process in consumer["processes"]
            if process["generation"] != generation
        ]
        rest = ", ".join(others) or consumer["reason"] or "the others don't report"
        return f"{name}: {current} of {processes} processes use generation {generation}, {rest}"
    if not consumer["converged"]:
        seen = "an unknown generation" if consumer["generation"] is None else f"generation {consumer['generation']}"
        return f"{name}: uses {seen}" + (f" ({consumer['reason']})" if consumer["reason"] else "")
    return ""


class FilterModule:
    """The filters by the names that the role's templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {
            "refresh_health_lagging": lagging,
            "refresh_health_level": level,
            "refresh_health_container_identity": container_identity,
        }
