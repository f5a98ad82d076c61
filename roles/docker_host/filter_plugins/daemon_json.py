"""What becomes of the engine's ``daemon.json``: merged with what is there, never replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

_RELOADED: Final = frozenset(
    {
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)
"""Options that dockerd takes over on SIGHUP (docs.docker.com, dockerd, "Configuration reload behavior")."""


def daemon_json(text: str, options: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Say what the file has to be.

    Args:
        text: what it holds; empty where it is not there.
        options: what it has to say. Mappings are merged; anything else takes the place of what is there.
        defaults: what it says where it says nothing of it. Options of a log driver go with its driver alone.

    Returns:
        ``problem``: why the file can't be merged with, or empty; ``content``: the new text, the old one byte for byte
        where nothing changes; ``differing``: names of those that change; ``restart``: whether they take a restart of
        the engine; ``live_restore``: whether containers outlive a restart by what it says then.
    """
    try:
        there = json.loads(text) if text.strip() else {}
    except ValueError as error:
        return {"problem": f"it is no JSON: {error}"}
    if not isinstance(there, dict):
        return {"problem": "it is JSON, but no object"}
    wanted = {**there}
    for name, value in (defaults or {}).items():
        if name not in there and not (name == "log-opts" and "log-driver" in there):
            wanted[name] = value
    wanted = _merged(wanted, options)
    changed = sorted(name for name in wanted if name not in there or wanted[name] != there[name])
    return {
        "problem": "",
        "content": json.dumps(wanted, indent=4, ensure_ascii=False) + "\n" if changed else text,
        "differing": changed,
        "restart": not _RELOADED.issuperset(changed),
        "live_restore": bool(wanted.get("live-restore")),
    }


def _merged(there: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(there)
    for name, value in over.items():
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return result


class FilterModule:
    """The filters by the names that templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {"docker_host_daemon_json": daemon_json}
