"""Heartbeats: what the processes of the consumers say of themselves."""

from __future__ import annotations

import dataclasses
import http.client
import ipaddress
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ansible.module_utils.urls import open_url  # type: ignore[import-untyped]

_TIMEOUT: Final = 3.0
_MAX_BYTES: Final = 1_000_000


@dataclasses.dataclass(frozen=True)
class Beat:
    """One process that uses the token.

    Attributes:
        container: host name of its container.
        pid: its process id there.
        generation: generation that it sees; ``None`` while it sees none.
    """

    container: str
    pid: int
    generation: int | None


@dataclasses.dataclass(frozen=True)
class Heartbeats:
    """The beats that an endpoint reported, or in ``obstacle`` why it did not."""

    beats: tuple[Beat, ...] = ()
    obstacle: str = ""


def fetch_all(urls: Sequence[str]) -> Heartbeats:
    """Ask several endpoints; where some did not answer, the obstacle says which."""
    said = [fetch(url) for url in urls]
    obstacles = [each.obstacle for each in said if each.obstacle]
    return Heartbeats(tuple(beat for each in said for beat in each.beats), "; ".join(obstacles))


def fetch(url: str) -> Heartbeats:
    """Ask an endpoint that answers ``{"consumers": [{"container", "pid", "generation"}, ...]}``."""
    try:
        with open_url(
            url,
            timeout=_TIMEOUT,
            use_proxy=not is_here(url),
            http_agent="token-keeper",
            headers={"Accept": "application/json"},
        ) as response:
            answer = json.loads(response.read(_MAX_BYTES))
        return Heartbeats(tuple(_beat(entry) for entry in answer["consumers"]))
    except (OSError, ValueError, http.client.HTTPException) as error:
        # URLError, timeouts and HTTP errors are OSErrors, broken JSON is a ValueError, broken HTTP is neither
        return Heartbeats(obstacle=f"{url} did not answer with heartbeats: {_short(error)}")
    except (TypeError, KeyError):
        return Heartbeats(obstacle=f"{url} answered, but not with a list of consumers")


def _beat(entry: Mapping[str, Any]) -> Beat:
    generation = entry["generation"]
    return Beat(str(entry["container"]), int(entry["pid"]), None if generation is None else int(generation))


def is_here(url: str) -> bool:
    """Tell whether an address is this machine, which no proxy would reach."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _short(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)[:200]
