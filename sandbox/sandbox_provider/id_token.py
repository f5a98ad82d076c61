"""Id tokens (OpenID Connect Core 2): they come with the answer to an exchange whose scopes have ``openid``."""

from __future__ import annotations

from typing import Any, cast

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oidc.core import OpenIDToken, UserInfo
from joserfc.jwk import RSAKey

from sandbox_provider.addresses import reached_at
from sandbox_provider.people import claims
from sandbox_provider.provider import Provider


class IdToken(OpenIDToken):
    """An extension of a grant: adds the id token, for a refresh too, as Google does."""

    def __init__(self, provider: Provider) -> None:
        """Sign with the key of ``provider``."""
        self._provider = provider

    def resolve_client_private_key(self, client: ClientMixin) -> RSAKey:
        """Return the signing key."""
        return self._provider.signing_key.read()

    def get_encode_header(self, client: ClientMixin) -> dict[str, str]:
        """Return the header, with the name of the key in the set."""
        return {"alg": "RS256", "kid": str(self._provider.signing_key.read().kid), "typ": "JWT"}

    def get_compatible_claims(self, request: OAuth2Request) -> dict[str, Any]:
        """Return issuer, audience and times, by the provider's clock."""
        now, client_id = int(self._provider.clock()), cast(ClientMixin, request.client).get_client_id()
        issuer = reached_at(self._provider.public_url)
        return {
            "iss": issuer,
            "azp": client_id,
            "aud": client_id,
            "iat": now,
            "exp": now + self.DEFAULT_EXPIRES_IN,
        }

    def generate_user_info(self, user: str, scope: str) -> UserInfo:
        """Return what the scopes tell about the account ``user``."""
        return UserInfo(claims(user, scope))
