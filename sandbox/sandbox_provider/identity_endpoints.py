"""What a token says about its owner: token information, user information, and the keys of id tokens."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox_provider.grants import AccessToken
from sandbox_provider.guard import guarded
from sandbox_provider.people import claims
from sandbox_provider.provider import Provider


def identity_blueprint(provider: Provider) -> Blueprint:
    """Return the endpoints."""
    blueprint = Blueprint("identity", __name__)

    def live(access_token: str) -> AccessToken | None:
        found = provider.grants.find_access_token(access_token)
        return None if found is None or found.is_expired() or found.is_revoked() else found

    @blueprint.get("/tokeninfo")
    @guarded(provider, "tokeninfo")
    def tokeninfo() -> tuple[Response, int] | Response:
        found = live(request.args.get("access_token", ""))
        if found is None:
            return jsonify(error="invalid_token", error_description="Invalid Value"), 400
        told = {
            "azp": found.grant.client_id,
            "aud": found.grant.client_id,
            "scope": found.scope,
            "exp": str(int(provider.clock() + found.expires_in)),
            "expires_in": str(found.get_expires_in()),
            "access_type": "offline" if found.grant.offline else "online",
        }
        # Google writes every value here as text, and has no name
        person = {name: value for name, value in claims(found.grant.account, found.scope).items() if name != "name"}
        return jsonify(told | {name: "true" if value is True else value for name, value in person.items()})

    @blueprint.route("/userinfo", methods=["GET", "POST"])
    def userinfo() -> Response:
        header = request.authorization
        found = live(header.token or "") if header is not None and header.type == "bearer" else None
        if found is None:
            return _refused(401, "invalid_token" if header is not None else None, "Invalid Credentials")
        told = claims(found.grant.account, found.scope)
        if "sub" not in told:
            return _refused(403, "insufficient_scope", "The scope openid is missing")
        return jsonify(told)

    @blueprint.get("/oauth2/v3/certs")
    def keys() -> dict[str, Any]:
        return provider.signing_key.public_set()

    return blueprint


def _refused(status: int, error: str | None, description: str) -> Response:
    """Return a refusal; a request without credentials gets no error code in the header (RFC 6750 section 3.1)."""
    response = jsonify(error=error or "invalid_request", error_description=description)
    response.status_code = status
    response.headers["WWW-Authenticate"] = "Bearer" if error is None else f'Bearer error="{error}"'
    return response
