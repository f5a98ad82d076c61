"""The authorization request: the address a person opens, and what must be remembered until the answer."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import secrets
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Final

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.endpoint import Endpoints
from token_keeper.errors import ConsentError

_OURS: Final = frozenset(
    {
        "client_id",
        "client_secret",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "redirect_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One request for consent: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636).

    Attributes:
        client: who asks.
        endpoints: whom it asks.
        scopes: what it asks for, in order, without repetition.
        required: those of them without which the consent is of no use.
        redirect_uri: where the answer goes.
        url: what the person opens; carries ``state`` and the challenge, not the verifier.
        state: what the answer must bring back (RFC 6749 section 10.12).
        verifier: what proves at the token endpoint that the code is ours (RFC 7636 section 4.1).
    """

    client: ClientSecrets
    endpoints: Endpoints
    scopes: tuple[str, ...]
    required: tuple[str, ...]
    redirect_uri: str
    url: str = dataclasses.field(repr=False)
    state: str = dataclasses.field(repr=False)
    verifier: str = dataclasses.field(repr=False)

    @classmethod
    def create(
        cls,
        client: ClientSecrets,
        endpoints: Endpoints,
        scopes: Iterable[str],
        redirect_uri: str,
        *,
        also: Iterable[str] = (),
        state: str | None = None,
        login_hint: str | None = None,
        extra_params: Mapping[str, str | None] | None = None,
    ) -> AuthorizationRequest:
        """Prepare a request with a fresh verifier.

        Args:
            client: the OAuth client.
            endpoints: the provider's endpoints.
            scopes: the scopes to ask for, all of which must be granted.
            redirect_uri: where the provider is to send the answer.
            also: further scopes to ask for, which may be left out.
            state: what the answer has to bring back; a fresh one by default.
            login_hint: the account to preselect, such as an e-mail address.
            extra_params: further parameters of the address. They may replace those of the provider's profile, such as
                ``prompt=consent``; ``None`` leaves such a parameter out, for a provider that refuses it.

        Raises:
            ConsentError: ``ScopesInvalid`` or ``ParametersInvalid``.
        """
        required = checked_scopes(scopes)
        wanted = tuple(dict.fromkeys((*required, *also)))
        verifier, state = secrets.token_urlsafe(64), state or new_state()
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(wanted),
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
            **endpoints.parameters,
            "login_hint": login_hint,
            **checked_parameters(extra_params or {}),
        }
        address = urllib.parse.urlsplit(endpoints.auth_uri)
        query = urllib.parse.urlencode({name: value for name, value in parameters.items() if value})
        # RFC 6749 section 3.1: a query that the endpoint has is kept
        url = urllib.parse.urlunsplit(address._replace(query=f"{address.query}&{query}" if address.query else query))
        return cls(client, endpoints, wanted, required, redirect_uri, url, state, verifier)

    def asks_with(self, name: str) -> str | None:
        """Return a parameter of the address, ``None`` where it is not there."""
        return urllib.parse.parse_qs(urllib.parse.urlsplit(self.url).query).get(name, [None])[0]


def new_state() -> str:
    """Return a state that nobody can guess (RFC 6749 section 10.12)."""
    return secrets.token_urlsafe(32)


def checked_parameters(extra_params: Mapping[str, Any], whose: str = "the extra parameters") -> dict[str, str | None]:
    """Return further parameters of an authorization request as texts, as they go into its address.

    Args:
        extra_params: texts, numbers and truth values by name; ``None`` leaves a parameter out.
        whose: what to call them in a message.

    Raises:
        ConsentError: ``ParametersInvalid``: one is the consent's own, or can't be a parameter.
    """
    reserved = sorted(_OURS.intersection(extra_params))
    if reserved:
        raise ConsentError(
            f"{whose} may not set {', '.join(reserved)}",
            reason="ParametersInvalid",
            remedy="leave them out: the consent sets them itself",
        )
    texts: dict[str, str | None] = {}
    for name, value in extra_params.items():
        if not (isinstance(name, str) and name) or not isinstance(value, (str, int, float, type(None))):
            raise ConsentError(
                f"the extra parameter {name!r} is not a name with a text",
                reason="ParametersInvalid",
                remedy="give names with texts, such as {audience: https://api.example.com}",
            )
        texts[name] = str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
    return texts


def _challenge(verifier: str) -> str:
    """Return the challenge by S256 (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return scopes in order, without repetition.

    Raises:
        ConsentError: ``ScopesInvalid``: there is none, or one can't be a scope.
    """
    given = [scopes] if isinstance(scopes, str) else list(scopes)
    # RFC 6749 section 3.3: printable ASCII without space, quotation mark and backslash
    if not given or not all(
        isinstance(scope, str) and scope and all("!" <= char <= "~" and char not in '"\\' for char in scope)
        for scope in given
    ):
        raise ConsentError(
            "the scopes are not a list of at least one scope (RFC 6749 section 3.3)",
            reason="ScopesInvalid",
            remedy="give a list, such as [https://www.googleapis.com/auth/calendar]",
        )
    return tuple(dict.fromkeys(given))
