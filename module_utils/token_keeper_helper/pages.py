"""Pages that the Docker host reaches: heartbeats, the application's readiness, the provider's counter."""

from __future__ import annotations

import dataclasses
import http.client
import ipaddress
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Final

NOBODY: Final = -1
"""The status of a page that did not answer."""

_MAX_BYTES: Final = 1_000_000
_MAX_WORDS: Final = 200


@dataclasses.dataclass(frozen=True)
class Page:
    """What an address answered.

    Attributes:
        url: the address.
        status: the answer's HTTP status; ``NOBODY`` where there was none.
        body: what it holds, at most a megabyte of it.
        why: why there is no answer, or none of use; empty for a status of 2xx.
    """

    url: str
    status: int
    body: bytes = b""
    why: str = ""


def ask(url: str, timeout: float, *, proxy: bool | None = None) -> Page:
    """Ask one page; see :func:`ask_all`."""
    return ask_all([url], timeout, proxy=proxy)[0]


def ask_all(urls: Sequence[str], timeout: float, *, proxy: bool | None = None) -> list[Page]:
    """Ask pages side by side; whatever is wrong with one is told in its place.

    Args:
        urls: http(s) addresses.
        timeout: seconds until a page counts as silent, however slowly it talks.
        proxy: whether the environment's proxies are used; ``None`` uses them for what is not this machine.

    Returns:
        A page for each address, in their order.
    """
    deadline = time.monotonic() + timeout
    found: dict[int, Page] = {}

    def look(place: int, url: str) -> None:
        found[place] = _ask(url, timeout, proxied=not is_here(url) if proxy is None else proxy)

    # Daemons: a page that goes on dripping must not keep the module from its end.
    threads = [threading.Thread(target=look, args=each, daemon=True) for each in enumerate(urls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    why = f"no whole answer within {timeout:g} s"
    return [found.get(place) or Page(url, NOBODY, why=why) for place, url in enumerate(urls)]


def is_here(url: str) -> bool:
    """Tell whether an address is this machine, which no proxy would reach."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ask(url: str, timeout: float, *, proxied: bool) -> Page:
    if not url.startswith(("http://", "https://")):
        return Page(url, NOBODY, why="it is not an http(s) address")
    # An opener of its own rather than open_url, which installs one for all threads, and takes long to import.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(None if proxied else {}))
    try:
        headers = {"Accept": "application/json", "User-Agent": "token-keeper"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http(s) alone, see above
        with opener.open(request, timeout=timeout) as response:
            return Page(url, response.status, response.read(_MAX_BYTES))
    except urllib.error.HTTPError as error:
        return Page(url, error.code, _rest(error), f"it answered {error.code}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        # URLError and timeouts are OSErrors; what does not speak HTTP is an HTTPException
        return Page(url, NOBODY, why=_short(error))


def _rest(error: urllib.error.HTTPError) -> bytes:
    try:
        with error:
            return error.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _short(error: Exception) -> str:
    said = str(getattr(error, "reason", None) or error).strip()
    return (said or type(error).__name__)[:_MAX_WORDS]
