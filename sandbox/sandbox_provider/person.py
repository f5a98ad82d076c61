"""A person who says yes, for BROWSER: opens an address and goes wherever it leads.

The sandbox's consent page answers by itself, so all a person has to do is to follow the redirects. Needs nothing
but Python: ``BROWSER='python3 sandbox/sandbox_provider/person.py %s &'`` (the ``&`` lets the program that opened
the browser go on and answer it).
"""

from __future__ import annotations

import sys
from http.client import HTTPException
from ipaddress import ip_address
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

TIMEOUT: Final = 30.0
"""Seconds for one step."""

_MOST_STEPS: Final = 10


class _StayHandler(HTTPRedirectHandler):
    """Leaves redirects to us, because the next step may need another way through proxies."""

    def redirect_request(self, *_: object) -> None:
        return None


def visit(url: str) -> int:
    """Open ``url``, follow its redirects, and return the status of the page where they end.

    Raises:
        OSError: an address can't be reached, or doesn't answer in time.
        ValueError: an address is not of the web, or the redirects don't end.
    """
    for _ in range(_MOST_STEPS):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            raise ValueError(f"led to an address that is not of the web: {parts.scheme}:")
        direct = [ProxyHandler({})] if _is_loopback(parts.hostname or "") else []
        try:
            with build_opener(_StayHandler, *direct).open(Request(url), timeout=TIMEOUT) as answer:  # noqa: S310
                answer.read()
                return int(answer.status)
        except HTTPError as error:
            with error:
                location = error.headers.get("Location")
                if location is None or error.code not in {301, 302, 303, 307, 308}:
                    return error.code
            url = urljoin(url, location)
    raise ValueError(f"more than {_MOST_STEPS} redirects")


def main(arguments: list[str]) -> int:
    """Visit the address in ``arguments``; return the exit code, 0 if it ended well."""
    if len(arguments) != 1:
        sys.stderr.write("usage: person.py URL\n")
        return 2
    try:
        status = visit(arguments[0])
    except URLError as error:
        sys.stderr.write(f"can't reach the page: {error.reason}\n")
        return 1
    except (OSError, ValueError, HTTPException) as error:
        sys.stderr.write(f"can't reach the page: {error}\n")
        return 1
    if status >= 400:
        sys.stderr.write(f"the page says {status}\n")
        return 1
    return 0


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
