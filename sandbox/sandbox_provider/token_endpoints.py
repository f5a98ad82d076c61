"""Token and revocation: what clients call without a browser."""

from __future__ import annotations

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

    return blueprint
