"""What a client can find out by itself: OpenID Connect Discovery 1.0 and RFC 8414."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from sandbox_provider.addresses import reached_at
from sandbox_provider.google_texts import CLIENT_AUTH_METHODS
from sandbox_provider.provider import Provider


def discovery_blueprint(provider: Provider) -> Blueprint:
    """Return both documents; their endpoints are at the address by which they were asked for."""
    blueprint = Blueprint("discovery", __name__)

    @blueprint.get("/.well-known/oauth-authorization-server")
    def authorization_server() -> dict[str, Any]:
        return _metadata(reached_at(provider.public_url))

    @blueprint.get("/.well-known/openid-configuration")
    def openid_provider() -> dict[str, Any]:
        base = reached_at(provider.public_url)
        return _metadata(base) | {
            "userinfo_endpoint": f"{base}/userinfo",
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["aud", "email", "email_verified", "exp", "iat", "iss", "name", "sub"],
        }

    return blueprint


def _metadata(base: str) -> dict[str, Any]:
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/o/oauth2/v2/auth",
        "token_endpoint": f"{base}/token",
        "revocation_endpoint": f"{base}/revoke",
        "jwks_uri": f"{base}/oauth2/v3/certs",
        "scopes_supported": ["openid", "email", "profile", "https://www.googleapis.com/auth/calendar"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "revocation_endpoint_auth_methods_supported": [*CLIENT_AUTH_METHODS, "none"],
        "authorization_response_iss_parameter_supported": True,
    }
