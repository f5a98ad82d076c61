"""A person who says yes, for BROWSER: opens an address, answers the consent page, and goes wherever it leads.

The sandbox consents by itself unless its settings say otherwise, and then all a person has to do is to follow the
redirects. With a wish (another account, scopes to leave out, a no) they ask for the page and answer it. Needs nothing
but Python: ``BROWSER='python3 sandbox/sandbox_provider/person.py %s &'`` (the ``&`` lets the program that opened
the browser go on and answer it).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from html.parser import HTMLParser
from http.client import HTTPException
from ipaddress import ip_address
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

TIMEOUT: Final = 30.0
"""Seconds for one step."""

_MOST_STEPS: Final = 10
_LARGEST_PAGE: Final = 1_048_576


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How a person answers the consent page; by default they grant all that is asked, with the account that is offered.

    Attributes:
        account: the mail address of the account to take.
        leave_out: scopes whose boxes to untick, each in full or by what follows its last slash.
        deny: press Cancel.
    """

    account: str | None = None
    leave_out: tuple[str, ...] = ()
    deny: bool = False


class WishError(Exception):
    """The person can't have what they wish; the message says why."""


class ConsentForm(HTMLParser):
    """The form of a consent page, and how it is filled in."""

    def __init__(self, page: str) -> None:
        """Find it in ``page``."""
        super().__init__()
        self.found = False
        self.inputs: list[dict[str, str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of the form and its inputs."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("id") == "consent":
            self.found = self._inside = True
        elif tag == "input" and self._inside:
            self.inputs.append(given)

    def handle_endtag(self, tag: str) -> None:
        """Take note of the form's end."""
        if tag == "form":
            self._inside = False

    def filled_in(self, wishes: Wishes) -> list[tuple[str, str]]:
        """Return what a browser would send for a person with these wishes.

        Raises:
            WishError: a scope to leave out is not on the page, or the page doesn't let it be left out.
        """
        boxes = [box for box in self.inputs if box.get("type") == "checkbox"]
        for scope in wishes.leave_out:
            matching = [box for box in boxes if _is_meant(box["value"], scope)]
            if not matching:
                raise WishError(f"the consent page has no scope {scope}; it has {_listed(boxes)}")
            if any("disabled" in box for box in matching):
                raise WishError(f"the consent page doesn't let {scope} be left out")
        sent = [
            ("granted", box["value"])
            for box in boxes
            if "disabled" not in box and not any(_is_meant(box["value"], scope) for scope in wishes.leave_out)
        ]
        offered = [each for each in self.inputs if each.get("type") == "radio"]
        if wishes.account is None:
            sent += [("account", each["value"]) for each in offered if "checked" in each]
        elif wishes.account in [each["value"] for each in offered]:
            sent.append(("account", wishes.account))
        else:
            sent.append(("other_account", wishes.account))
        return [*sent, ("decision", "deny" if wishes.deny else "allow")]


class _StayHandler(HTTPRedirectHandler):
    """Leaves redirects to us, because the next step may need another way through proxies."""

    def redirect_request(self, *_: object) -> None:
        return None


def visit(url: str, wishes: Wishes | None = None) -> int:
    """Open ``url``, follow its redirects, answer the consent page, and return the status of the page where it ends.

    Raises:
        OSError: an address can't be reached, or doesn't answer in time.
        ValueError: an address is not of the web, or the redirects don't end.
        WishError: there was no consent page to tell the wishes to, or it doesn't allow them.
    """
    form: bytes | None = None
    untold = wishes is not None
    for _ in range(_MOST_STEPS):
        status, location, page = _step(url, form, {"Prefer": "consent-page"} if untold else {})
        form = None
        consent = ConsentForm(page)
        if location is not None:
            url = urljoin(url, location)
        elif consent.found and status == 200:
            form = urlencode(consent.filled_in(wishes or Wishes())).encode()
            untold = False
        elif untold and status < 400:
            raise WishError("no consent page came: account, scopes or refusal could be told to nobody")
        else:
            return status
    raise ValueError(f"more than {_MOST_STEPS} redirects")


def _step(url: str, form: bytes | None, headers: dict[str, str]) -> tuple[int, str | None, str]:
    """Send one request; return its status, where it redirects to, and the page that came."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"led to an address that is not of the web: {parts.scheme}:")
    direct = [ProxyHandler({})] if _is_loopback(parts.hostname or "") else []
    try:
        with build_opener(_StayHandler, *direct).open(Request(url, form, headers), timeout=TIMEOUT) as answer:  # noqa: S310
            return int(answer.status), None, answer.read(_LARGEST_PAGE).decode(errors="replace")
    except HTTPError as error:
        with error:
            location = error.headers.get("Location")
            return error.code, location if error.code in {301, 302, 303, 307, 308} else None, ""


def main(arguments: list[str]) -> int:
    """Visit the address in ``arguments``; return the exit code, 0 if it ended well."""
    parser = argparse.ArgumentParser(prog="person.py", description="a person who says yes to a consent")
    parser.add_argument("url", metavar="URL", help="the address that a browser is asked to open")
    parser.add_argument(
        "--account",
        default=os.environ.get("SANDBOX_PERSON_ACCOUNT"),
        help="mail address of the account to take (default: $SANDBOX_PERSON_ACCOUNT, or the one that is offered)",
    )
    parser.add_argument(
        "--leave-out",
        metavar="SCOPE",
        action="append",
        default=re.findall(r"[^\s,]+", os.environ.get("SANDBOX_PERSON_LEAVE_OUT", "")),
        help="a scope to untick, in full or by what follows its last slash; more than once for more"
        " (default: those in $SANDBOX_PERSON_LEAVE_OUT, separated by spaces or commas)",
    )
    parser.add_argument(
        "--deny",
        action="store_true",
        default=os.environ.get("SANDBOX_PERSON_DENY") == "1",
        help="say no (default: yes, unless $SANDBOX_PERSON_DENY is 1)",
    )
    options = parser.parse_args(arguments)
    wishes = Wishes(options.account or None, tuple(options.leave_out), options.deny)
    try:
        status = visit(options.url, None if wishes == Wishes() else wishes)
    except WishError as error:
        sys.stderr.write(f"{error}\n")
        return 1
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


def _is_meant(scope: str, wished: str) -> bool:
    return wished in {scope, scope.rpartition("/")[2]}


def _listed(boxes: list[dict[str, str]]) -> str:
    return ", ".join(box["value"] for box in boxes) or "none"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
