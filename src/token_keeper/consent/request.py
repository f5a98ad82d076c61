"""The authorization request: the address a person opens, and what must be remembered until the answer."""

from __future__ import annotations

import dataclasses
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
        # not parameters of the protocol, but of the library's function that takes them
        "self",
        "uri",
        "url",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One request for consent: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636).

    Attributes:
        client: who asks.
        endpoints: whom it asks.
        scopes: what it asks for, in order, without repetition.
        redirect_uri: where the answer goes.
        url: what the person opens; carries ``state`` and the challenge, not the verifier.
        state: what the answer must bring back (RFC 6749 section 10.12).
        verifier: what proves at the token endpoint that the code is ours (RFC 7636 section 4.1).
    """

    client: ClientSecrets
    endpoints: Endpoints
    scopes: tuple[str, ...]
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
        state: str | None = None,
        login_hint: str | None = None,
        extra_params: Mapping[str, str | None] | None = None,
    ) -> AuthorizationRequest:
        """Prepare a request with a fresh verifier.

        Args:
            client: the OAuth client.
            endpoints: the provider's endpoints.
            scopes: the scopes to ask for.
            redirect_uri: where the provider is to send the answer.
            state: what the answer has to bring back; a fresh one by default.
            login_hint: the account to preselect, such as an e-mail address.
            extra_params: further parameters of the address. They may replace ``access_type=offline`` and
                ``prompt=consent``; ``None`` leaves such a parameter out, for a provider that refuses it.

        Raises:
            ConsentError: ``ScopesInvalid`` or ``ParametersInvalid``.
        """
        wanted = _checked(scopes)
        parameters: dict[str, str | None] = {"access_type": "offline", "prompt": "consent", "login_hint": login_hint}
        parameters.update(checked_parameters(extra_params or {}))
        parameters["state"] = state = state or new_state()
        url, verifier = _authorization_url(client, endpoints, wanted, redirect_uri, parameters)
        return cls(client, endpoints, wanted, redirect_uri, url, state, verifier)


def new_state() -> str:
    """Return a state that nobody can guess (RFC 6749 section 10.12)."""
    return secrets.token_urlsafe(32)


def checked_parameters(extra_params: Mapping[str, Any]) -> dict[str, str | None]:
    """Return further parameters of an authorization request as texts, as they go into its address.

    Args:
        extra_params: texts, numbers and truth values by name; ``None`` leaves a parameter out.

    Raises:
        ConsentError: ``ParametersInvalid``: one is the consent's own, or can't be a parameter.
    """
    reserved = sorted(_OURS.intersection(extra_params))
    if reserved:
        raise ConsentError(
            f"the extra parameters may not set {', '.join(reserved)}",
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


def _authorization_url(
    client: ClientSecrets,
    endpoints: Endpoints,
    scopes: tuple[str, ...],
    redirect_uri: str,
    parameters: Mapping[str, str | None],
) -> tuple[str, str]:
    # imported here because it takes a third of a second, which the other parts of consent need not pay
    from google_auth_oauthlib.flow import Flow  # type: ignore[import-untyped]  # noqa: PLC0415

    address = urllib.parse.urlsplit(endpoints.auth_uri)
    # oauthlib refuses http whatever the host, unless an environment variable lifts that for the whole process.
    # The endpoints were judged already: the address is built as https and gets its own scheme back afterwards.
    config = {
        client.kind: {
            "client_id": client.client_id,
            "auth_uri": urllib.parse.urlunsplit(address._replace(scheme="https")),
            "token_uri": endpoints.token_uri,
        }
    }
    flow = Flow.from_client_config(config, scopes=list(scopes), redirect_uri=redirect_uri)
    with flow.oauth2session:
        # among them the state: one that the library makes would be written to its debug log
        url, _ = flow.authorization_url(**parameters)
        verifier: str = flow.code_verifier
    return urllib.parse.urlunsplit(urllib.parse.urlsplit(url)._replace(scheme=address.scheme)), verifier


def _checked(scopes: Iterable[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys([scopes] if isinstance(scopes, str) else scopes))
    # RFC 6749 section 3.3: printable ASCII without space, quotation mark and backslash
    if not wanted or not all(
        isinstance(scope, str) and scope and all("!" <= char <= "~" and char not in '"\\' for char in scope)
        for scope in wanted
    ):
        raise ConsentError(
            "the scopes are not a list of at least one scope (RFC 6749 section 3.3)",
            reason="ScopesInvalid",
            remedy="give a list, such as [https://www.googleapis.com/auth/calendar]",
        )
    return wanted
