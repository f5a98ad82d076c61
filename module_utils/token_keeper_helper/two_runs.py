"""A consent in two runs of a play: the first shows the address, the second brings the answer.

The question waits in the volume between them, and the code is redeemed there, by helpers. This runs on the controller,
and needs the ``token_keeper`` package there.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

from token_keeper.consent import ClientSecrets
from token_keeper.consent.answer import is_answer, misfit
from token_keeper.consent.pasted import query_of

from .failure import ModuleFailure
from .helper import Helper, Outward

LEFT: Final = 120
"""Seconds that an address must still be good for to be shown again."""

_LATER: Final = frozenset({"ConsentNotBegun", "ConsentExpired", "ConsentUnreadable", "ClientChanged", "CodeRejected"})
"""Reasons for which another address has to be opened first."""


class ConsentPending(ModuleFailure):
    """Nothing is wrong: a person has to open an address, and run the play again.

    Args:
        begun: what ``consent begin`` has answered.
        place: the volume and the document in it.
        unfit: whether answers were given, none of which belongs to this question.
    """

    def __init__(self, begun: dict[str, Any], place: str, *, unfit: bool) -> None:
        said = "The answer that was given belongs to another question, or to one that has expired. " if unfit else ""
        super().__init__(
            "ConsentError",
            "ConsentPending",
            f"{said}consent is needed for {place}: open this address in a browser on any machine, allow the access, "
            "and copy the whole address that the browser ends at (it fails to open a page at 127.0.0.1, as it should): "
            f"{begun['url']}",
            f"then run the same command again by {begun['expires_at']}, with that address as oauth_token_answer: in a "
            "file of one line, oauth_token_answer: 'ADDRESS', given with -e @FILE, or as a survey's answer of type "
            "password. Nothing was changed",
        )
        self.consent = {name: begun[name] for name in ("url", "redirect_uri", "expires_at", "scopes")}

    def as_result(self) -> dict[str, Any]:
        """Return the fields that a failed result carries."""
        return {**super().as_result(), "consent": self.consent}


def begun(question: dict[str, Any], helper: Helper, outward: Outward, *, left: int = LEFT) -> dict[str, Any]:
    """Return the question that waits in the volume, which is begun anew if it has to be.

    Args:
        question: what ``token-keeper consent begin`` reads.
        helper: reaches the volume.
        outward: the way to the provider, which may be asked for its endpoints.
        left: seconds that it must still be good for; otherwise it is begun anew.

    Raises:
        ModuleFailure: nothing was changed.
    """
    secret = json.dumps(question).encode()
    return helper.run("consent", "begin", f"--keep={left}", outward=outward, stdin=secret)


def fitting(answers: Sequence[str], url: str) -> str | None:
    """Return the answer that belongs to a question, by their state; ``None`` where none does.

    One that is no answer at all is taken to belong to it if it is alone: what is wrong with it is told when it is read.
    """
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("state", [""])[0]
    for answer in answers:
        if misfit(query_of(answer), state) is None or (len(answers) == 1 and not is_answer(query_of(answer))):
            return answer
    return None


def completed(
    client: ClientSecrets, answer: str, helper: Helper, outward: Outward, options: Sequence[str]
) -> dict[str, Any]:
    """Have the answer redeemed where the verifier is, and return what ``token-keeper consent complete`` says.

    Raises:
        ModuleFailure: the document in the volume is as it was.
    """
    secret = json.dumps({"client_secrets": written(client), "answer": answer}).encode()
    try:
        return helper.run("consent", "complete", *options, outward=outward, stdin=secret)
    except ModuleFailure as failure:
        if failure.reason not in _LATER:
            raise
        remedy = "run the play without oauth_token_answer: it shows a new address"
        raise ModuleFailure(failure.kind, failure.reason, failure.message, remedy) from None


def written(client: ClientSecrets) -> dict[str, Any]:
    """Return a client as its file has it."""
    fields = {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "auth_uri": client.auth_uri,
        "token_uri": client.token_uri,
        "redirect_uris": list(client.redirect_uris),
        "issuer": client.issuer,
    }
    return {client.kind: {name: value for name, value in fields.items() if value}}
