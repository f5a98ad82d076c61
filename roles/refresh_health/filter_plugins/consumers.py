"""Filters that judge a list of consumers as the module token_volume_info returns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

LEVELS: Final = ("mount", "container", "process")
"""Proof of convergence, from weak to strong."""

Consumer = Mapping[str, Any]


def lagging(consumers: Sequence[Consumer], expected: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say who doesn't use the newest generation yet.

    Arguments:
        consumers: containers that mount the volume, as token_volume_info returns them.
        expected: services that must be there, each with the number of its ``containers``.

    Returns:
        Sentences that begin with the container's name, or with the service's where a container is missing.
        Empty when everybody follows.
    """
    return [
        *missing([str(consumer["service"]) for consumer in consumers], expected),
        *(f"{consumer['container']}: {_reason(consumer)}" for consumer in consumers if not consumer["converged"]),
    ]


def missing(services: Sequence[str], expected: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of which services too few containers run.

    Arguments:
        services: the service of each running container.
        expected: services that must be there, each with the number of its ``containers``.
    """
    return [sentence for wanted in expected if (sentence := _missing(services, wanted))]


def identities(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return service, image and configuration of each container as a line, in an order that holds."""
    return sorted(f"{one['service']} {one['image']} {one['config_hash']}" for one in containers)


def level(consumers: Sequence[Consumer]) -> str:
    """Return the level of proof that holds for all ``consumers``: the weakest of theirs, ``none`` without any."""
    return LEVELS[min(LEVELS.index(consumer["level"]) for consumer in consumers)] if consumers else "none"


def _missing(services: Sequence[str], wanted: Mapping[str, Any]) -> str:
    # Ansible's lists hold values that are yet to be templated: iterating does that, count() does not.
    found = sum(service == wanted["service"] for service in services)
    count = int(wanted.get("containers", 1))
    return "" if found >= count else f"{wanted['service']}: {found} of {count} containers run with the volume mounted"


def _reason(consumer: Consumer) -> str:
    if consumer["reason"]:
        return str(consumer["reason"])
    seen = consumer["generation"]
    return "uses an unknown generation" if seen is None else f"uses generation {seen}"


class FilterModule:
    """The filters by the names that the role's templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {
            "refresh_health_identities": identities,
            "refresh_health_lagging": lagging,
            "refresh_health_level": level,
            "refresh_health_missing": missing,
        }
