"""How a person is asked who is there: in a browser of this machine, or by pasting what another one ended at.

This runs on the controller, and needs the ``token_keeper`` package there.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from token_keeper.consent import Arrival, Consent, Inquiry, by_loopback, by_paste, choose_mode
from token_keeper.errors import ConsentError, TokenKeeperError

from . import rendering
from .failure import ModuleFailure

IN_TWO_RUNS = "-e oauth_token_consent=two_step"


@dataclasses.dataclass(frozen=True)
class Person:
    """Whoever runs the play.

    Attributes:
        announce: shows a text.
        ask: shows a prompt, waits for that many seconds, and returns what was typed without showing it.
        folder: where the hosts of a run queue for the person, on the controller.
        at_terminal: whether there is a terminal to ask them at.
    """

    announce: Callable[[str], None]
    ask: Callable[[str, float], str]
    folder: Path
    at_terminal: bool


def mode_of(consent: str, browser: str | None, *, at_terminal: bool) -> str:
    """Return the mode of a consent, which ``auto`` leaves to the machine.

    A browser that somebody has named is there. Without one and without a terminal nobody would see the address in time,
    even if this machine has a desktop: pipelines and timers run on such machines, too.
    """
    if consent != "auto":
        return consent
    if browser or os.environ.get("BROWSER"):
        return "loopback"
    return choose_mode(terminal=True) if at_terminal else "two_step"


def asked(mode: str, inquiry: Inquiry, person: Person, parameters: dict[str, Any]) -> Consent:
    """Have a person consent who is there.

    Args:
        mode: ``loopback`` or ``paste``.
        inquiry: what is asked for.
        person: who is asked.
        parameters: the task's parameters.

    Raises:
        ConsentError, ClientRejected, PolicyDenied, ProviderUnavailable: nothing was changed.
        ModuleFailure: something that nobody has thought of; its message holds no secret.
    """
    try:
        if mode == "paste":
            return _pasted(inquiry, person, parameters)
        return by_loopback(
            inquiry,
            announce=person.announce,
            redirect_port=parameters["redirect_port"],
            timeout=parameters["timeout"],
            browser=parameters["browser"],
        )
    except TokenKeeperError:
        raise
    except Exception as error:  # a library's message may hold what it choked on
        said = rendering.redact(f"{type(error).__name__}: {error}", [inquiry.client.client_secret])
        raise ModuleFailure(
            "ConsentError",
            "Unexpected",
            f"the consent ended unexpectedly: {said}",
            "run the play again; nothing was changed",
        ) from None


def _pasted(inquiry: Inquiry, person: Person, parameters: dict[str, Any]) -> Consent:
    if not person.at_terminal:
        raise no_terminal()
    deadline = time.monotonic() + parameters["timeout"]

    def ask(prompt: str) -> str:
        answer = person.ask(prompt, max(1.0, deadline - time.monotonic()))
        if not answer and time.monotonic() >= deadline:
            raise TimeoutError
        return answer

    return by_paste(
        inquiry,
        announce=person.announce,
        ask=ask,
        redirect_port=parameters["redirect_port"],
        timeout=parameters["timeout"],
        arrival=Arrival(),
    )


def no_terminal() -> ConsentError:
    """Return the error for a prompt that nobody can see."""
    return ConsentError(
        "there is no terminal to paste the answer at",
        reason="TerminalMissing",
        remedy=f"run the play at a terminal, or in two runs ({IN_TWO_RUNS}), of which the second is given the answer",
    )


def given_up() -> ConsentError:
    """Return the error for a person who has pressed Ctrl-C at a prompt."""
    return ConsentError(
        "the prompt was left with Ctrl-C",
        reason="ConsentInterrupted",
        remedy="nothing was changed: run the play again when the person is there who consents",
    )
