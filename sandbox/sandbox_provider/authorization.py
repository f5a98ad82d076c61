"""The authorization server: Authlib's, with Google's rules and texts over the provider's storage."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, cast

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError, UnsupportedGrantTypeError
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, Response
from flask import request as http

from sandbox_provider.addresses import reached_at
from sandbox_provider.clients import Client
from sandbox_provider.code_grant import CodeGrant, Pkce
from sandbox_provider.grants import Code, RefreshToken
from sandbox_provider.id_token import IdToken
from sandbox_provider.provider import Provider
from sandbox_provider.refresh_grant import RefreshGrant
from sandbox_provider.revocation import Revocation
from sandbox_provider.secret_text import new_access_token, new_refresh_token


class SandboxAuthorizationServer(AuthorizationServer):
    """Authlib's authorization server over the provider's storage."""

    def __init__(self, app: Flask, provider: Provider) -> None:
        """Serve ``app`` from ``provider``."""
        self.provider: Final = provider
        super().__init__(app, provider.clients.find, self._save)
        self.register_grant(CodeGrant, [Pkce(), IdToken(provider)])
        self.register_grant(RefreshGrant, [IdToken(provider)])
        self.register_endpoint(Revocation)
        self.register_extension(lambda server: Issuer(server, provider.public_url))

    def create_bearer_token_generator(self, config: object) -> BearerTokenGenerator:
        """Return what makes the tokens: opaque texts that live as long as the settings say."""
        return BearerTokenGenerator(
            lambda **_: new_access_token(),
            lambda **_: new_refresh_token(),
            lambda client, grant_type: self.provider.settings.read().access_token_lifetime,
        )

    def authenticate_client(self, request: OAuth2Request, methods: Collection[str], endpoint: str = "token") -> Client:
        """Return the client that sent a request.

        Raises:
            InvalidClientError: it is unknown or its secret is wrong; 401 with Google's texts.
            InvalidRequestError: it doesn't say who it is.
        """
        try:
            return cast(Client, super().authenticate_client(request, methods, endpoint))
        except InvalidClientError:
            basic = http.authorization
            if basic is not None and basic.type == "basic":
                client_id, secret = basic.username, basic.password
            else:
                client_id, secret = http.form.get("client_id"), http.form.get("client_secret")
            if not client_id:
                raise InvalidRequestError("Could not determine client ID from request.") from None
            if self.provider.clients.find(client_id) is None:
                raise InvalidClientError("The OAuth client was not found.", status_code=401) from None
            if not secret:
                raise InvalidRequestError("client_secret is missing.") from None
            raise InvalidClientError("Unauthorized", status_code=401) from None

    def handle_error_response(self, request: OAuth2Request, error: OAuth2Error) -> Response:
        """Turn an error into a response, with Google's words for a grant type that isn't served."""
        if isinstance(error, UnsupportedGrantTypeError):
            if error.grant_type:
                error.description = f"Invalid grant_type: {error.grant_type}"
            else:
                error = InvalidRequestError("Missing required parameter: grant_type")
        return cast(Response, super().handle_error_response(request, error))

    def respond_to_token_request(self) -> Response:
        """Answer a token request; two at the same moment are judged one after the other."""
        with self.provider.database.transaction():
            response = cast(Response, self.create_token_response())
            if response.status_code != 200:
                self.provider.counters.add("exchanges.refused")
        return response

    def respond_to_revocation(self) -> Response:
        """Answer a revocation request."""
        untyped: Any = self
        with self.provider.database.transaction():
            return cast(Response, untyped.create_endpoint_response(Revocation.ENDPOINT_NAME))

    def _save(self, token: dict[str, Any], request: OAuth2Request) -> None:
        credential = cast(Code | RefreshToken, request.authorization_code or request.refresh_token)
        grant, store = credential.grant, self.provider.grants
        store.add_access_token(token["access_token"], grant.grant_id, token["scope"], token["expires_in"])
        if "refresh_token" in token:
            store.add_refresh_token(token["refresh_token"], grant.grant_id)
            self.provider.limits.make_room(grant.client_id, grant.account)
        remaining = store.expires_in(grant)
        if grant.offline and remaining is not None:
            # Google tells it for access that is limited in time, such as that of apps in testing
            token["refresh_token_expires_in"] = remaining
        kind = "authorization_code" if isinstance(credential, Code) else "refresh_token"
        self.provider.counters.add(f"exchanges.{kind}")


class Issuer(IssuerParameter):
    """The ``iss`` of an authorization response (RFC 9207)."""

    def __init__(self, server: AuthorizationServer, public_url: str) -> None:
        """Name the issuer in the authorization responses of ``server``."""
        self._public_url = public_url
        self(server)

    def get_issuer(self) -> str:
        """Return the issuer's name: the address by which the browser came."""
        return reached_at(self._public_url)
