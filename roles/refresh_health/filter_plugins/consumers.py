"""Filters that judge a list of consumers as the module token_volume_info returns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.expected import missing
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[3] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper.expected import missing

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


def identities(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return service, image and configuration of each container as a line, in an order that holds."""
    return sorted(f"{one['service']} {one['image']} {one['config_hash']}" for one in containers)


def level(consumers: Sequence[Consumer]) -> str:
    """Return the level of proof that holds for all ``consumers``: the weakest of theirs, ``none`` without any."""
    return LEVELS[min(LEVELS.index(consumer["level"]) for consumer in consumers)] if consumers else "none"


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
