"""Revocation (RFC 7009) as Google does it: whoever has a token may revoke it, and its grant goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from flask import request as http

from sandbox_provider.google_texts import BAD_REQUEST, CLIENT_AUTH_METHODS
from sandbox_provider.grants import AccessToken, RefreshToken

if TYPE_CHECKING:
    from sandbox_provider.authorization import SandboxAuthorizationServer


class Revocation(RevocationEndpoint):
    """The revocation endpoint."""

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS
    server: SandboxAuthorizationServer

    def authenticate_endpoint_client(self, request: OAuth2Request) -> ClientMixin | None:
        """Return the client, or ``None`` if the request names none; Google asks for none."""
        if http.authorization is None and not http.form.get("client_id"):
            return None
        return self.server.authenticate_client(request, self.CLIENT_AUTH_METHODS, self.ENDPOINT_NAME)

    def authenticate_token(
        self, request: OAuth2Request, client: ClientMixin | None
    ) -> AccessToken | RefreshToken | None:
        """Return the token in the form or, as in Google's own examples, in the query.

        Returns:
            The token; ``None`` if it is unknown or dead and the settings want that answered with 200.

        Raises:
            InvalidRequestError: there is no token in the request.
            InvalidGrantError: the token is another client's.
            OAuth2Error: the token is unknown or dead already.
        """
        provider = self.server.provider
        text = http.values.get("token")
        if not text:
            raise InvalidRequestError("Missing required parameter: token")
        token = provider.grants.find_refresh_token(text) or provider.grants.find_access_token(text)
        if token is None or self._dead(token):
            if provider.settings.read().strict_rfc7009:
                return None
            raise OAuth2Error("Token expired or revoked", error="invalid_token")
        if client is not None and not token.check_client(client):
            raise InvalidGrantError(BAD_REQUEST)
        return token

    def revoke_token(self, token: object, request: OAuth2Request) -> None:
        """End the grant: Google revokes the refresh token with its access token and the other way round.

        By the settings all else goes with it that the account has allowed the client: Google's unit is the app as
        the person's account page lists it, not one consent.
        """
        provider, grant = self.server.provider, cast(AccessToken | RefreshToken, token).grant
        because = "revoked by a client"
        if provider.settings.read().revoke_whole_grant:
            provider.grants.revoke_account(grant.client_id, grant.account, because)
        else:
            provider.grants.revoke(grant.grant_id, because)
        provider.counters.add("revocations.asked")

    def _dead(self, token: AccessToken | RefreshToken) -> bool:
        if isinstance(token, AccessToken):
            return token.is_expired() or token.is_revoked()
        return self.server.provider.limits.ended(token.grant)
