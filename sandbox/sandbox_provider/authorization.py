"""The authorization server: Authlib's, with Google's rules, texts and storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, NoReturn, cast

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    scope_to_list,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, Response
from flask import request as flask_request

from sandbox_provider.clients import Client
from sandbox_provider.grants import AccessToken, Code, Grant, RefreshToken
from sandbox_provider.provider import Provider
from sandbox_provider.secret_text import new_access_token, new_authorization_code, new_refresh_token

EXPIRED_OR_REVOKED: Final = "Token has been expired or revoked."
BAD_REQUEST: Final = "Bad Request"

_CLIENT_AUTH_METHODS: Final = ["client_secret_post", "client_secret_basic"]


class SandboxAuthorizationServer(AuthorizationServer):
    """Authlib's authorization server over the provider's storage."""

    def __init__(self, app: Flask, provider: Provider) -> None:
        """Serve ``app`` from ``provider``."""
        self.provider = provider
        super().__init__(app, provider.clients.find, self._save)
        self.register_grant(CodeGrant, [Pkce(required=False)])
        self.register_grant(RefreshGrant)
        self.register_endpoint(Revocation)
        self.register_extension(lambda server: Issuer(server, provider.public_url))

    def create_bearer_token_generator(self, config: object) -> BearerTokenGenerator:
        """Return what makes the tokens: opaque texts that live as long as the settings say."""
        return BearerTokenGenerator(
            lambda **_: new_access_token(),
            lambda **_: new_refresh_token(),
            lambda client, grant_type: self.provider.settings.read().access_token_lifetime,
        )

    def authenticate_client(self, request: OAuth2Request, methods: list[str], endpoint: str = "token") -> Client:
        """Return the client that sent a request.

        Raises:
            InvalidClientError: it is unknown or its secret is wrong; 401 with Google's texts.
            InvalidRequestError: it doesn't say who it is.
        """
        try:
            return cast(Client, super().authenticate_client(request, methods, endpoint))
        except InvalidClientError:
            client_id, secret = _client_credentials(request)
            if not client_id:
                raise InvalidRequestError("Could not determine client ID from request.") from None
            if self.provider.clients.find(client_id) is None:
                raise InvalidClientError("The OAuth client was not found.", status_code=401) from None
            if not secret:
                raise InvalidRequestError("client_secret is missing.") from None
            raise InvalidClientError("Unauthorized", status_code=401) from None

    def create_token_response(self, request: OAuth2Request | None = None) -> Response:
        """Answer a token request; two at the same moment are judged one after the other."""
        with self.provider.database.transaction():
            response = cast(Response, super().create_token_response(request))
            if response.status_code != 200:
                self.provider.counters.add("exchanges.refused")
            return response

    def handle_error_response(self, request: OAuth2Request, error: OAuth2Error) -> Response:
        """Turn an error into a response, with Google's words for an unknown grant type."""
        if isinstance(error, UnsupportedGrantTypeError):
            if not error.grant_type:
                error = InvalidRequestError("Missing required parameter: grant_type")
            else:
                error.description = f"Invalid grant_type: {error.grant_type}"
        return cast(Response, super().handle_error_response(request, error))

    def _save(self, token: dict[str, Any], request: OAuth2Request) -> None:
        credential: Code | RefreshToken = request.authorization_code or request.refresh_token
        grant, store = credential.grant, self.provider.grants
        store.add_access_token(token["access_token"], grant.grant_id, token["scope"], token["expires_in"])
        if "refresh_token" in token:
            store.add_refresh_token(token["refresh_token"], grant.grant_id)
        remaining = store.expires_in(grant)
        if grant.offline and remaining is not None:
            # Google tells it for access that is limited in time, such as that of apps in testing
            token["refresh_token_expires_in"] = remaining
        kind = "authorization_code" if isinstance(credential, Code) else "refresh_token"
        self.provider.counters.add(f"exchanges.{kind}")


class CodeGrant(AuthorizationCodeGrant):
    """Authorization code (RFC 6749 section 4.1)."""

    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_AUTH_METHODS
    server: SandboxAuthorizationServer

    def generate_authorization_code(self) -> str:
        """Return a new code."""
        return new_authorization_code()

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Record the consent and the code that stands for it.

        As at Google a refresh token comes only with ``access_type=offline``, and then only when the person was
        asked: the first time, or because of ``prompt=consent``.
        """
        provider, parameters = self.server.provider, request.payload.data
        settings = provider.settings.read()
        granted = scope_to_list(request.scope)
        asked = wants_consent_page(parameters) or not provider.grants.consented(
            request.client.client_id, request.user, set(granted)
        )
        if settings.granted_scopes is not None:
            granted = list(settings.granted_scopes)
        grant_id = provider.grants.create(
            request.client.client_id,
            request.user,
            " ".join(granted),
            offline=asked and parameters.get("access_type") == "offline",
            lifetime=settings.refresh_token_lifetime,
        )
        provider.grants.add_code(
            code,
            grant_id,
            request.payload.redirect_uri,
            parameters.get("code_challenge"),
            parameters.get("code_challenge_method"),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code:
        """Return a code that may be exchanged.

        Raises:
            InvalidGrantError: it may not; if it was used before, its tokens are revoked.
        """
        provider = self.server.provider
        if not code:
            raise InvalidRequestError("Missing required parameter: code")
        found = provider.grants.find_code(code)
        if found is None:
            raise InvalidGrantError("Malformed auth code.")
        if found.used:
            # RFC 6749 section 4.1.2: somebody has a code that isn't theirs, and we can't tell who
            provider.grants.revoke(found.grant.grant_id, "authorization code used twice")
        if found.used or found.expired or not found.grant.live or found.grant.client_id != client.client_id:
            raise InvalidGrantError(BAD_REQUEST)
        if self.request.payload.redirect_uri != found.redirect_uri:
            raise OAuth2Error(BAD_REQUEST, error="redirect_uri_mismatch")
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Mark a code as used."""
        self.server.provider.grants.use_code(authorization_code)

    def authenticate_user(self, authorization_code: Code) -> str:
        """Return the account that consented."""
        return authorization_code.grant.account

    def generate_token(self, *args: object, **kwargs: Any) -> dict[str, Any]:
        """Make the tokens: a refresh token only if this consent gives one."""
        kwargs["include_refresh_token"] = (
            self.request.authorization_code.grant.offline
            and not self.server.provider.settings.read().omit_refresh_token
        )
        return cast(dict[str, Any], super().generate_token(*args, **kwargs))


class RefreshGrant(RefreshTokenGrant):
    """Refresh (RFC 6749 section 6), with rotation if the settings say so (RFC 9700 section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_AUTH_METHODS
    server: SandboxAuthorizationServer

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken:
        """Return a refresh token that may be exchanged.

        Raises:
            InvalidGrantError: it is unknown, revoked or expired, or it was spent before: then its family is
                revoked.
            UnauthorizedClientError: it is another client's.
        """
        provider = self.server.provider
        if not refresh_token:
            raise InvalidRequestError("Missing required parameter: refresh_token")
        token = provider.grants.find_refresh_token(refresh_token)
        if token is None:
            raise InvalidGrantError(BAD_REQUEST)
        if not token.check_client(self.request.client):
            raise UnauthorizedClientError("Unauthorized", status_code=401)
        if not token.grant.live:
            raise InvalidGrantError(EXPIRED_OR_REVOKED)
        if token.superseded and not provider.grants.replayable(token, provider.settings.read().reuse_grace):
            provider.grants.revoke(token.grant.grant_id, "refresh token used twice")
            provider.counters.add("rotation.reuse_detected")
            raise InvalidGrantError(EXPIRED_OR_REVOKED)
        return token

    def authenticate_user(self, refresh_token: RefreshToken) -> str:
        """Return the account that consented."""
        return refresh_token.grant.account

    def issue_token(self, user: str, refresh_token: RefreshToken) -> dict[str, Any]:
        """Make the tokens; with rotation the family moves on, unless this is a replay in the grace."""
        provider = self.server.provider
        rotates = provider.settings.read().rotation
        if refresh_token.superseded:
            # the client may have lost the answer: it gets a sibling of the token it should have
            provider.counters.add("rotation.replayed_in_grace")
        elif rotates:
            provider.grants.advance(refresh_token.grant.grant_id)
        return cast(
            dict[str, Any],
            self.generate_token(
                user=user,
                scope=self.request.payload.scope or refresh_token.get_scope(),
                include_refresh_token=rotates or refresh_token.superseded,
            ),
        )

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Do nothing: moving the family on has superseded it."""

    def _validate_token_scope(self, token: RefreshToken) -> None:
        try:
            super()._validate_token_scope(token)
        except InvalidScopeError:
            raise InvalidScopeError(BAD_REQUEST) from None


class Pkce(CodeChallenge):
    """PKCE (RFC 7636), S256 alone, with Google's texts."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar[list[str]] = ["S256"]

    def validate_code_verifier(self, grant: CodeGrant, result: object) -> None:
        """Hold the verifier against the challenge of the code.

        Raises:
            InvalidGrantError: it is missing or doesn't fit.
        """
        code: Code = grant.request.authorization_code
        if code.code_challenge and not grant.request.form.get("code_verifier"):
            raise InvalidGrantError("Missing code verifier.")
        try:
            super().validate_code_verifier(grant, result)
        except OAuth2Error:
            raise InvalidGrantError("Invalid code verifier.") from None


class Revocation(RevocationEndpoint):
    """Revocation (RFC 7009) as Google does it: whoever has the token may revoke it, and the grant goes with it."""

    CLIENT_AUTH_METHODS = _CLIENT_AUTH_METHODS
    server: SandboxAuthorizationServer

    def authenticate_endpoint_client(self, request: OAuth2Request) -> Client | None:
        """Return the client, or ``None`` if the request names none; Google asks for none."""
        if _client_credentials(request) == ("", ""):
            return None
        return self.server.authenticate_client(request, self.CLIENT_AUTH_METHODS, self.ENDPOINT_NAME)

    def authenticate_token(self, request: OAuth2Request, client: Client | None) -> Grant | None:
        """Return the grant of the token in the form or, as in Google's own examples, in the query.

        Raises:
            InvalidRequestError: there is no token in the request.
            OAuth2Error: the token is unknown or dead already, or belongs to another client.
        """
        provider = self.server.provider
        text = request.payload.data.get("token")
        if not text:
            raise InvalidRequestError("Missing required parameter: token")
        token: AccessToken | RefreshToken | None = provider.grants.find_refresh_token(
            text
        ) or provider.grants.find_access_token(text)
        dead = token is None or not token.grant.live
        if isinstance(token, AccessToken) and token.is_expired():
            dead = True
        if token is None or dead:
            if provider.settings.read().strict_rfc7009:
                return None
            raise OAuth2Error("Token expired or revoked", error="invalid_token")
        if client is not None and not token.check_client(client):
            raise InvalidGrantError(BAD_REQUEST)
        return token.grant

    def revoke_token(self, token: Grant, request: OAuth2Request) -> None:
        """End the grant: Google revokes the refresh token with its access token and the other way round."""
        self.server.provider.grants.revoke(token.grant_id, "revoked by the client")
        self.server.provider.counters.add("revocations.asked")


class Issuer(IssuerParameter):
    """The ``iss`` of an authorization response (RFC 9207)."""

    def __init__(self, server: AuthorizationServer, issuer: str) -> None:
        """Name ``issuer`` in the authorization responses of ``server``."""
        self._issuer = issuer
        register: Callable[[AuthorizationServer], None] = super().__call__
        register(server)

    def get_issuer(self) -> str:
        """Return the issuer's name."""
        return self._issuer


def wants_consent_page(parameters: Any) -> bool:
    """Tell whether an authorization request asks that the person be asked again."""
    return "consent" in str(parameters.get("prompt", "")).split()


def refuse(description: str, error: str = "invalid_request", status: int = 400) -> NoReturn:
    """Refuse an authorization request before any redirect.

    Raises:
        OAuth2Error: always.
    """
    raise OAuth2Error(description, error=error, status_code=status)


def _client_credentials(request: OAuth2Request) -> tuple[str, str]:
    """Return the client id and secret a request names, for the choice of a message alone."""
    basic = flask_request.authorization
    if basic is not None and basic.type == "basic":
        return basic.username or "", basic.password or ""
    return request.form.get("client_id", ""), request.form.get("client_secret", "")
