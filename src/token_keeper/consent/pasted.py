"""The address that a browser ended at, as people copy it."""

from __future__ import annotations

import re
from typing import Final

from token_keeper.consent.answer import is_answer, misfit
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.errors import ConsentError

_WRAPPING: Final = "\"'`<>()[]"
_CLUTTER: Final = re.compile(r"\x1b\[20[01]~|[\s\\]+")
"""What a terminal puts around a paste, white space, and the backslashes of a shell."""

_AGAIN: Final = (
    "run the consent again, and paste the whole address that the browser ends at, such as http://127.0.0.1:PORT/?..."
)


def query_of(text: str) -> str:
    """Return the query in what a person pasted: an address, or the query alone.

    White space and line breaks are taken out, since terminals and mail programs break lines; so are the quotation marks
    around it and the backslashes that a shell puts before ``?`` and ``&``. None of them can stand in an address.
    """
    bare = _bare(text)
    before, mark, query = bare.partition("?")
    return (query if mark else before).partition("#")[0]


def taken(text: str, request: AuthorizationRequest) -> str:
    """Return the query of a pasted answer that belongs to a request.

    Raises:
        ConsentError: ``AnswerMalformed`` where it is no answer, ``StateMismatch`` where it is one to something else.
            The message is one sentence, and quotes nothing.
    """
    query = query_of(text)
    if not is_answer(query):
        raise ConsentError(_why_none(text, request), reason="AnswerMalformed", remedy=_AGAIN)
    foreign = misfit(query, request.state)
    if foreign is not None:
        raise foreign
    return query


def _bare(text: str) -> str:
    return _CLUTTER.sub("", text).strip(_WRAPPING)


def _why_none(text: str, request: AuthorizationRequest) -> str:
    bare = _bare(text)
    if not bare:
        return "nothing was pasted"
    provider = request.endpoints.auth_uri.partition("?")[0].split("/")[2]
    if bare == request.url:
        return "that is the address to open, not the one that the browser ends at"
    if bare.split("/")[2:3] == [provider] and not bare.startswith(request.redirect_uri):
        return (
            "that is a page of the provider, not the address that the browser ends at; if it shows redirect_uri_"
            "mismatch, the client has to be of type Desktop app"
        )
    return "that has no code in it, so it is not the address that the browser ends at"
