"""Refresh (RFC 6749 section 6), with rotation if the settings say so (RFC 9700 section 4.14.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from authlib.oauth2.rfc6749 import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    TokenMixin,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant
from flask import request as http

from sandbox_provider.clients import Client
from sandbox_provider.google_texts import BAD_REQUEST, CLIENT_AUTH_METHODS, EXPIRED_OR_REVOKED
from sandbox_provider.grants import RefreshToken

if TYPE_CHECKING:
    from sandbox_provider.authorization import SandboxAuthorizationServer


class RefreshGrant(RefreshTokenGrant):
    """The refresh token grant."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    server: SandboxAuthorizationServer

    def validate_token_request(self) -> None:
        """Check a request, as Authlib does, with Google's text for scopes beyond the grant.

        Raises:
            OAuth2Error: it can't be answered with tokens.
        """
        try:
            super().validate_token_request()
        except InvalidScopeError:
            raise InvalidScopeError(BAD_REQUEST) from None

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken:
        """Return a refresh token that may be exchanged.

        Raises:
            InvalidGrantError: it is unknown, revoked or expired, or it was spent before: then its family is
                revoked.
            InvalidRequestError: there is none in the request.
            UnauthorizedClientError: it is another client's.
        """
        provider = self.server.provider
        if not refresh_token:
            raise InvalidRequestError("Missing required parameter: refresh_token")
        token = provider.grants.find_refresh_token(refresh_token)
        if token is None:
            raise InvalidGrantError(BAD_REQUEST)
        if not token.check_client(cast(Client, self.request.client)):
            raise UnauthorizedClientError("Unauthorized", status_code=401)
        if provider.limits.ended(token.grant):
            raise InvalidGrantError(EXPIRED_OR_REVOKED)
        if token.superseded and not provider.grants.replayable(token, provider.settings.read().reuse_grace):
            provider.grants.revoke(token.grant.grant_id, "refresh token used twice")
            provider.counters.add("rotation.reuse_detected")
            raise InvalidGrantError(EXPIRED_OR_REVOKED)
        return token

    def authenticate_user(self, refresh_token: TokenMixin) -> str:
        """Return the account that consented."""
        return cast(RefreshToken, refresh_token).grant.account

    def issue_token(self, user: str, refresh_token: TokenMixin) -> dict[str, str | int]:
        """Make the tokens; with rotation the family moves on, unless this is a replay in the grace."""
        provider, token = self.server.provider, cast(RefreshToken, refresh_token)
        rotates = provider.settings.read().rotation
        provider.grants.use(token.grant.grant_id)
        if token.superseded:
            # the client may have lost the answer: it gets a sibling of the token it should have
            provider.counters.add("rotation.replayed_in_grace")
        elif rotates:
            provider.grants.advance(token.grant.grant_id)
        made: dict[str, Any] = self.generate_token(
            user=user,
            scope=http.form.get("scope") or token.get_scope(),
            include_refresh_token=rotates or token.superseded,
        )
        return made

    def revoke_old_credential(self, refresh_token: TokenMixin) -> None:
        """Do nothing: that the family has moved on has superseded it."""
