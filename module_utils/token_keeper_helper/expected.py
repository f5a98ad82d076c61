"""Who has to use the token: what the modules and the filters of role refresh_health judge alike.

Apart from :mod:`.consumers`, which knows HTTP: each task of Ansible that uses any filter loads all of them anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def missing(services: Sequence[str], expected: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of which services too few containers run.

    Args:
        services: the service of each running container that mounts the volume.
        expected: services that must be there, each with the number of its ``containers``.
    """
    found = []
    for wanted in expected:
        service, count = wanted["service"], int(wanted.get("containers", 1))
        # Ansible's lists hold values that are yet to be templated: iterating does that, count() does not
        there = sum(name == service for name in services)
        if there < count:
            found.append(f"{service}: {there} of {count} containers run with the volume mounted")
    return found
