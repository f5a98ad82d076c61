"""Consent at a terminal without a browser: the person opens the address anywhere, and pastes where it ended."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from token_keeper.consent import page
from token_keeper.consent.answer import misfit
from token_keeper.consent.conclusion import Consent, conclude
from token_keeper.consent.inquiry import Inquiry
from token_keeper.consent.loopback import Callback, LoopbackReceiver
from token_keeper.consent.pasted import taken
from token_keeper.consent.redirect import Redirect
from token_keeper.consent.request import AuthorizationRequest, new_state
from token_keeper.consent.tunnel import ssh_command
from token_keeper.errors import ConsentError

TRIES: Final = 3
_PROMPT: Final = "The address that the browser ended at (it is not shown): "


class Arrival:
    """The answer that may come through the redirect itself, while a person is asked for it."""

    def __init__(self) -> None:
        self._there = threading.Event()
        self.query = ""

    def bring(self, query: str) -> None:
        """Note an answer."""
        self.query = query
        self._there.set()

    def is_there(self) -> bool:
        """Tell whether an answer has come; what asks the person may look at it now and then."""
        return self._there.is_set()


def by_paste(
    inquiry: Inquiry,
    *,
    announce: Callable[[str], None],
    ask: Callable[[str], str],
    redirect_port: int = 0,
    timeout: float = 600.0,
    arrival: Arrival | None = None,
) -> Consent:
    """Have a person consent in a browser anywhere, and ask for the address at which it ended.

    The redirect is a loopback address, where that browser finds nothing, unless the person forwards the port from
    there: then the answer arrives by itself, and they press Enter.

    Args:
        inquiry: what is asked for.
        announce: shows a person a text of one or more lines; called in the caller's thread only.
        ask: shows a prompt and returns what was typed, which is secret: it is the caller's to show none of it. It is
            called three times at most. To end by itself it may raise :class:`TimeoutError`, and to end early it may
            look at ``arrival``.
        redirect_port: port of the redirect on 127.0.0.1; 0 takes a free one.
        timeout: seconds after which nothing is asked any more.
        arrival: told when the answer has come through a forwarded port.

    Raises:
        As :func:`token_keeper.consent.obtain`; after the third wrong address what was wrong with it.
    """
    deadline, state = time.monotonic() + timeout, new_state()
    arrival = arrival or Arrival()
    with _redirect(inquiry, redirect_port, state, arrival) as (redirect_uri, port):
        request = inquiry.request(redirect_uri, state)
        announce(_instructions(request.url, port))
        query = _asked_for(request, ask, announce, deadline, arrival)
        return conclude(request, query, account=inquiry.account, deadline=inquiry.exchange_deadline)


def _asked_for(
    request: AuthorizationRequest,
    ask: Callable[[str], str],
    announce: Callable[[str], None],
    deadline: float,
    arrival: Arrival,
) -> str:
    for attempt in range(1, TRIES + 1):
        try:
            text: str | None = ask(_PROMPT)
        except TimeoutError:
            text = None
        if arrival.is_there():
            return arrival.query
        if text is None:
            break
        try:
            return taken(text, request)
        except ConsentError as error:
            if attempt == TRIES:
                raise
            if time.monotonic() >= deadline:
                break
            announce(f"{error.message[0].upper()}{error.message[1:]}. Paste the right one:")
    raise ConsentError(
        "no answer was pasted in time",
        reason="ConsentTimedOut",
        remedy=(
            "run the consent again, or raise the timeout; if the browser showed redirect_uri_mismatch, use a client of "
            "type Desktop app"
        ),
    )


@contextlib.contextmanager
def _redirect(inquiry: Inquiry, port: int, state: str, arrival: Arrival) -> Iterator[tuple[str, int | None]]:
    """Listen at the redirect, and yield its address and the port, ``None`` where nobody can listen there."""
    chosen = Redirect.choose(inquiry.client, port)

    def take(callback: Callback) -> None:
        arrival.bring(callback.query)
        callback.show(page.handed_over())

    with contextlib.ExitStack() as stack:
        try:
            receiver = stack.enter_context(
                LoopbackReceiver(
                    chosen.port,
                    chosen.path,
                    chosen.registered,
                    objection=lambda query: misfit(query, state),
                    on_answer=take,
                )
            )
        except ConsentError:
            # the address is pasted all the same
            yield chosen.unheard(), None
            return

        yield receiver.redirect_uri, receiver.port


def _instructions(url: str, port: int | None) -> str:
    said = (
        f"Consent is needed. Open this address in a browser on any machine and allow the access:\n\n{url}\n\n"
        "At its end the browser fails to open a page at 127.0.0.1. That is as it should be: copy the whole address "
        "from its address bar, and paste it here."
    )
    if port is None:
        return said
    return (
        f"{said}\n\nOr have it come here by itself: run this on the machine with the browser first, and press Enter "
        f"here afterwards.\n\n    {ssh_command(port)}\n"
    )
