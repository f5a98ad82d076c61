"""What is asked for, and of whom: settled and checked before a person is bothered."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from token_keeper.address import DEADLINE
from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.endpoint import Endpoints
from token_keeper.consent.request import AuthorizationRequest, checked_parameters, checked_scopes
from token_keeper.errors import ConsentError


@dataclasses.dataclass(frozen=True, slots=True)
class Inquiry:
    """One question to a person, in whichever mode it is put.

    Attributes:
        client: who asks.
        endpoints: whom it asks.
        scopes: what it asks for; all of them must be granted.
        account: the account that has to consent; ``None`` takes any.
        also: scopes that are asked for as well, so that the provider tells the account; they may be left out.
        login_hint: the account to preselect on the provider's page.
        extra_params: further parameters of the authorization request.
        exchange_deadline: seconds for the exchange of the code in all.
    """

    client: ClientSecrets
    endpoints: Endpoints
    scopes: tuple[str, ...]
    account: str | None = None
    also: tuple[str, ...] = ()
    login_hint: str | None = None
    extra_params: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    exchange_deadline: float = DEADLINE

    @classmethod
    def prepare(
        cls,
        client: ClientSecrets,
        scopes: Iterable[str],
        *,
        provider: str | Mapping[str, Any] | None = None,
        issuer: str | None = None,
        auth_uri: str | None = None,
        token_uri: str | None = None,
        document_token_uri: str | None = None,
        allow_http: bool = False,
        account: str | None = None,
        ask_for_account: bool = True,
        login_hint: str | None = None,
        extra_params: Mapping[str, Any] | None = None,
        exchange_deadline: float = DEADLINE,
    ) -> Inquiry:
        """Settle everything that can be settled without the person; the provider may be asked for its endpoints.

        Args:
            client: the OAuth client.
            scopes: the scopes to ask for; all of them must be granted.
            provider: a profile: a name, a file or its decoded form (:meth:`token_keeper.provider.Profile.load`); by
                default it is told by the endpoints.
            issuer: the provider's issuer identifier; see :meth:`Endpoints.find` for when it is asked.
            auth_uri: authorization endpoint, if not the client's own.
            token_uri: token endpoint, if not the client's own.
            document_token_uri: token endpoint for the document, if consumers reach it by another address.
            allow_http: allow endpoints without TLS on other hosts than this one.
            account: the account that has to consent, a mail address or the provider's identifier (``sub``).
            ask_for_account: where an account is expected, ask for the scopes with which the provider tells it.
            login_hint: the account to preselect; by default the one that is expected.
            extra_params: further parameters of the authorization request; ``None`` leaves one of the profile's out.
            exchange_deadline: seconds for the exchange of the code in all.

        Raises:
            ConsentError: ``ScopesInvalid``, ``ParametersInvalid``, or what :meth:`Endpoints.find` raises.
        """
        required, extra = checked_scopes(scopes), checked_parameters(extra_params or {})
        for name, value in (("account", account), ("login_hint", login_hint)):
            # the account becomes a part of the document, which nobody could read then
            if value and not value.isprintable():
                raise ConsentError(
                    f"the {name} is not one line of text",
                    reason="ParametersInvalid",
                    remedy="give a mail address or an identifier, in one line and without a line break at its end",
                )
        endpoints = Endpoints.find(
            client,
            provider=provider,
            auth_uri=auth_uri,
            token_uri=token_uri,
            document_token_uri=document_token_uri,
            issuer=issuer,
            allow_http=allow_http,
        )
        checked_parameters(endpoints.parameters, "the authorization_parameters of the profile")
        also = endpoints.account_scopes if account and ask_for_account else ()
        return cls(
            client,
            endpoints,
            required,
            account=account or None,
            also=also,
            login_hint=login_hint or account or None,
            extra_params=extra,
            exchange_deadline=exchange_deadline,
        )

    def request(self, redirect_uri: str, state: str | None = None) -> AuthorizationRequest:
        """Return the question as an address, with a verifier of its own."""
        return AuthorizationRequest.create(
            self.client,
            self.endpoints,
            self.scopes,
            redirect_uri,
            also=self.also,
            state=state,
            login_hint=self.login_hint,
            extra_params=self.extra_params,
        )
