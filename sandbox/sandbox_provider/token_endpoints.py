"""Token, revocation and token information: what clients call without a browser."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox_provider.authorization import SandboxAuthorizationServer
from sandbox_provider.guard import guarded
from sandbox_provider.provider import Provider


def token_blueprint(provider: Provider, server: SandboxAuthorizationServer) -> Blueprint:
    """Return the endpoints."""
    blueprint = Blueprint("token", __name__)

    @blueprint.before_request
    def refuse_what_is_no_authorization() -> tuple[Response, int] | None:
        # RFC 6749 section 5.2: a client that tried to authenticate by the header gets a 401. Authlib takes the header
        # for well formed.
        header = request.headers.get("Authorization")
        if header is not None and (len(header.split(None, 1)) < 2 or request.authorization is None):
            return jsonify(error="invalid_client", error_description="The Authorization header is malformed"), 401
        return None

    @blueprint.post("/token")
    @guarded(provider, "token")
    def token() -> Response:
        return server.respond_to_token_request()

    @blueprint.post("/revoke")
    @guarded(provider, "revoke")
    def revoke() -> Response:
        return server.respond_to_revocation()

    @blueprint.get("/tokeninfo")
    def tokeninfo() -> tuple[Response, int] | Response:
        found = provider.grants.find_access_token(request.args.get("access_token", ""))
        if found is None or found.is_expired() or found.is_revoked():
            return jsonify(error="invalid_token", error_description="Invalid Value"), 400
        return jsonify(
            azp=found.grant.client_id,
            aud=found.grant.client_id,
            scope=found.scope,
            exp=str(int(provider.clock() + found.expires_in)),
            expires_in=str(found.get_expires_in()),
            email=found.grant.account,
            email_verified="true",
            access_type="offline" if found.grant.offline else "online",
        )

    @blueprint.get("/.well-known/oauth-authorization-server")
    def metadata() -> dict[str, Any]:
        base = provider.public_url
        methods = ["client_secret_post", "client_secret_basic"]
        return {
            "issuer": base,
            "authorization_endpoint": f"{base}/o/oauth2/v2/auth",
            "token_endpoint": f"{base}/token",
            "revocation_endpoint": f"{base}/revoke",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": [*methods, "none"],
            "authorization_response_iss_parameter_supported": True,
        }

    return blueprint
