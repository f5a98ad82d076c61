"""The consent page: who consents, and to which scopes; shown to people, and answered by them with a form."""

from __future__ import annotations

import dataclasses
from typing import Final

from authlib.oauth2.rfc6749 import scope_to_list
from flask import Response, make_response, render_template, request

from sandbox_provider.bad_input import BadInputError
from sandbox_provider.people import SIGN_IN_SCOPES
from sandbox_provider.settings import MAIL_ADDRESS, Settings

PREFERENCE: Final = "consent-page"
"""In a Prefer header (RFC 7240): whoever asks wants to answer the page, though the settings would do without."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a person answered.

    Attributes:
        account: who it was.
        scopes: what they granted; nothing if they said no.
    """

    account: str
    scopes: tuple[str, ...]


def preselected(settings: Settings) -> str:
    """Return the account that a request names by its ``login_hint``, or else the first."""
    hint = request.args.get("login_hint", "")
    return hint if MAIL_ADDRESS.fullmatch(hint) else settings.accounts[0]


def is_wanted(settings: Settings) -> bool:
    """Tell whether the page is to be shown."""
    preferred = PREFERENCE in [part.strip() for part in request.headers.get("Prefer", "").split(",")]
    return settings.consent == "page" or (preferred and settings.consent in {"grant", "wrong_state"})


def show(settings: Settings) -> Response:
    """Return the page."""
    account, scopes = preselected(settings), _asked()
    page = render_template(
        "consent.html",
        client_id=request.args["client_id"],
        accounts=list(dict.fromkeys([*settings.accounts, account])),
        account=account,
        scopes=[(scope, scope in SIGN_IN_SCOPES) for scope in scopes],
        testing=settings.publishing == "testing",
    )
    return make_response(page)


def granted_by_itself(settings: Settings) -> Answer:
    """Return the answer that is given where nobody is asked."""
    denied = settings.consent == "deny"
    return Answer(preselected(settings), () if denied else tuple(settings.granted_scopes or _asked()))


def read(settings: Settings) -> Answer:
    """Return the answer that was sent with the form.

    As at Google the scopes of a sign-in can't be left out, and whoever grants nothing has said no.

    Raises:
        BadInputError: the form was not filled in as the page lets a browser do it.
    """
    form = request.form
    account = form.get("other_account") or form.get("account", "")
    if not MAIL_ADDRESS.fullmatch(account):
        raise BadInputError("The account must be a mail address")
    if form.get("decision") not in {"allow", "deny"}:
        raise BadInputError("The decision must be allow or deny")
    ticked = set(form.getlist("granted"))
    scopes = tuple(scope for scope in _asked() if scope in ticked or scope in SIGN_IN_SCOPES)
    if form["decision"] == "deny":
        return Answer(account, ())
    return Answer(account, settings.granted_scopes or scopes)


def _asked() -> list[str]:
    return list(dict.fromkeys(scope_to_list(request.args["scope"])))
