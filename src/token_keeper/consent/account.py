"""Whose tokens they are: told by the id token, or by the provider when it is asked with the access token."""

from __future__ import annotations

import base64
import dataclasses
import json
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Final

from token_keeper.consent.fetching import FetchFailed, fetch_json
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.errors import ConsentError
from token_keeper.exchange import TokenReply

_DEADLINE: Final = 4.0
"""Seconds for one question to the provider: without an answer the consent is as good."""

_MAX_NAME: Final = 320


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """An account at a provider.

    Attributes:
        email: its mail address, empty where the provider tells none, or says that it has not verified it.
        subject: its identifier there (OpenID Connect Core section 2, ``sub``), empty where that is not told.
    """

    email: str = ""
    subject: str = ""

    @property
    def name(self) -> str:
        """What to call it; empty where nothing is known."""
        return self.email or self.subject

    def is_called(self, name: str) -> bool | None:
        """Tell whether a mail address or an identifier is this account's; ``None`` where that can't be told."""
        # nobody has two mail addresses that differ in case alone; identifiers are compared to the letter
        if name == self.subject or name.casefold() == self.email.casefold():
            return True
        return None if not (self.email if "@" in name else self.subject) else False


def identify(reply: TokenReply, request: AuthorizationRequest) -> Account:
    """Return the account that has consented, as far as the provider's sources tell it.

    Raises:
        ConsentError: ``IdTokenForeign``: the id token is for another client, or of another issuer.
    """
    found = Account()
    for source in request.endpoints.account_sources:
        claims = _told_by(source, reply, request)
        if claims is None:
            continue
        told = _account(claims)
        if found.subject and told.subject and found.subject != told.subject:
            continue  # OpenID Connect Core section 5.3.2: it speaks of somebody else
        found = Account(found.email or told.email, found.subject or told.subject)
        if found.email:
            break
    return found


def check(found: Account, expected: str) -> str | None:
    """Hold the account against the one that is expected, and return a warning where it can't be told.

    Raises:
        ConsentError: ``AccountMismatch``: it is another one.
    """
    same = found.is_called(expected)
    if same:
        return None
    if same is None:
        return (
            f"whether it was {expected} who consented could not be told: the provider does not say whose tokens "
            "they are. The document names that account; ask for the scopes openid and email to have it checked"
        )
    raise ConsentError(
        f"the consent was given by {found.name}, and {expected} is the account that was expected",
        reason="AccountMismatch",
        remedy=(
            f"nothing was changed: run the consent again and choose {expected} on the provider's page (a private "
            f"window asks anew), or expect {found.name}; what that one has allowed can be withdrawn in its settings"
        ),
    )


def _told_by(source: str, reply: TokenReply, request: AuthorizationRequest) -> Mapping[str, Any] | None:
    endpoints = request.endpoints
    if source == "id_token":
        return None if reply.id_token is None else _claims(reply.id_token, request)
    granted = request.scopes if reply.scope is None else reply.scope
    try:
        if source == "userinfo" and endpoints.userinfo_uri and "openid" in granted:
            bearer = {"Authorization": f"Bearer {reply.access_token}"}
            status, fields = fetch_json(endpoints.userinfo_uri, deadline=_DEADLINE, headers=bearer)
        elif source == "tokeninfo" and endpoints.tokeninfo_uri:
            token = {"access_token": reply.access_token}
            status, fields = fetch_json(endpoints.tokeninfo_uri, deadline=_DEADLINE, parameters=token)
            if isinstance(fields, Mapping) and request.client.client_id not in _listed(fields.get("aud")):
                return None
        else:
            return None
    except FetchFailed:
        return None
    return fields if status == 200 and isinstance(fields, Mapping) else None


def _claims(id_token: str, request: AuthorizationRequest) -> Mapping[str, Any] | None:
    """Return the claims of an id token, ``None`` where it can't be read.

    Its signature is not checked. It came from the token endpoint itself, over TLS or from this machine, and OpenID
    Connect Core section 3.1.3.7 item 6 lets that take the signature's place.
    """
    try:
        _, payload, _ = id_token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(claims, Mapping):
        return None
    if request.client.client_id not in _listed(claims.get("aud")):
        raise _foreign("another client", "check that the client's id and secret belong together")
    if request.endpoints.issuer is not None and claims.get("iss") not in _names_of(request):
        raise _foreign(f"another issuer than {request.endpoints.issuer}", "check the issuer and token_uri")
    return claims


def _names_of(request: AuthorizationRequest) -> list[str | None]:
    endpoints = request.endpoints
    # a list, as what they are compared with may be anything, and not everything can be looked up in a set
    names = [endpoints.issuer, *endpoints.issuer_aliases]
    if urllib.parse.urlsplit(endpoints.token_uri).netloc != urllib.parse.urlsplit(endpoints.auth_uri).netloc:
        # a provider that browsers and programs reach by two addresses may go by that at which it is asked
        names.append(urllib.parse.urlunsplit(urllib.parse.urlsplit(endpoints.token_uri)._replace(path="", query="")))
    return names


def _listed(audience: object) -> Iterable[object]:
    return audience if isinstance(audience, list) else [audience]


def _account(claims: Mapping[str, Any]) -> Account:
    verified = claims.get("email_verified", True) not in (False, "false")
    return Account(_line(claims.get("email")) if verified else "", _line(claims.get("sub")))


def _line(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _MAX_NAME else ""


def _foreign(of: str, remedy: str) -> ConsentError:
    return ConsentError(
        f"the id token that came with the tokens is for {of}" if "client" in of else f"the id token is of {of}",
        reason="IdTokenForeign",
        remedy=f"nothing was changed: {remedy}",
    )
