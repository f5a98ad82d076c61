"""The page that a person's browser shows at the end: what happened, and what to do."""

from __future__ import annotations

import dataclasses
import functools
from http import HTTPStatus
from typing import TYPE_CHECKING

from token_keeper.errors import TokenKeeperError

if TYPE_CHECKING:
    import jinja2

_BACK: str = "You may close this window and go back to the terminal."


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A page: its HTTP status, heading and paragraphs, all of them plain text."""

    status: HTTPStatus
    title: str
    paragraphs: tuple[str, ...]

    def html(self) -> bytes:
        """Return the page as UTF-8; every text in it is escaped, and it refers to nothing outside itself."""
        return _template().render(title=self.title, paragraphs=self.paragraphs).encode()


def granted(scopes: tuple[str, ...], account: str = "") -> Page:
    """Say that the consent is complete, what it covers, and whose account it is for, where that is known."""
    by = f" by {account}" if account else ""
    return Page(HTTPStatus.OK, "Consent complete", (f"Access was granted{by} for: {', '.join(scopes)}.", _BACK))


def handed_over() -> Page:
    """Say that the answer is here, and that the terminal waits for a key."""
    said = "The answer has arrived, and the terminal says how it ended. If it still waits there, press Enter."
    return Page(HTTPStatus.OK, "Answer received", (said,))


def failed(error: TokenKeeperError) -> Page:
    """Say what was wrong with the answer; typed errors carry no secret."""
    what = f"What happened: {error.message}."
    remedy = (f"What to do: {error.remedy}.",) if error.remedy else ()
    return Page(HTTPStatus.BAD_REQUEST, "Consent not complete", (what, *remedy, _BACK))


def interrupted() -> Page:
    """Say that nobody waits for the answer any longer."""
    said = "The program that asked for consent has ended. Nothing was changed."
    return Page(HTTPStatus.SERVICE_UNAVAILABLE, "Consent not complete", (said, "Start it again."))


def stray(status: HTTPStatus) -> Page:
    """Say that a request was not the provider's answer."""
    said = "This address only takes the answer of the provider's consent page, and that is still awaited."
    return Page(status, "Not an answer", (said,))


def foreign() -> Page:
    """Say that an answer was to another question."""
    said = "This answer does not belong to the consent that is asked for: it does not carry its state."
    advice = "The right one is still awaited: open the newest address that the terminal shows."
    return Page(HTTPStatus.BAD_REQUEST, "Not the answer", (said, advice))


def late() -> Page:
    """Say that another answer came first."""
    return Page(HTTPStatus.CONFLICT, "Already answered", ("Another answer to this consent came first.", _BACK))


@functools.cache
def _template() -> jinja2.Template:
    # imported here because only a browser that comes back needs it
    import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("token_keeper.consent", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html.j2")
