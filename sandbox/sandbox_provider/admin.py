"""Admin endpoints: counters, settings, faults and grants, as JSON; beside them the clock and clients."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from sandbox_provider.admin_clients import clients_blueprint
from sandbox_provider.bad_input import BadInputError, line_of_text, reject_unknown, texts
from sandbox_provider.clock import clock_blueprint
from sandbox_provider.faults import Fault
from sandbox_provider.json_body import required_object
from sandbox_provider.provider import Provider
from sandbox_provider.secret_text import new_access_token, new_refresh_token


def admin_blueprint(provider: Provider) -> Blueprint:
    """Return the endpoints."""
    blueprint = Blueprint("admin", __name__, url_prefix="/admin")
    blueprint.register_blueprint(clients_blueprint(provider))
    blueprint.register_blueprint(clock_blueprint(provider.clock))

    @blueprint.errorhandler(BadInputError)
    def bad_input(error: BadInputError) -> tuple[Response, int]:
        return jsonify(error="invalid_request", error_description=str(error)), 400

    @blueprint.get("/counters")
    def counters() -> dict[str, dict[str, int]]:
        return provider.counters.as_dict()

    @blueprint.get("/settings")
    def settings() -> dict[str, Any]:
        return provider.settings.read().as_dict()

    @blueprint.put("/settings")
    def change_settings() -> dict[str, Any]:
        return provider.settings.change(required_object()).as_dict()

    @blueprint.get("/faults")
    def faults() -> dict[str, Any]:
        return {"faults": provider.faults.pending()}

    @blueprint.post("/faults")
    def add_fault() -> tuple[dict[str, Any], int]:
        provider.faults.add(Fault.parse(required_object()))
        return {"faults": provider.faults.pending()}, 201

    @blueprint.delete("/faults")
    def clear_faults() -> tuple[str, int]:
        provider.faults.clear()
        return "", 204

    @blueprint.post("/grants")
    def add_grant() -> tuple[dict[str, Any], int]:
        sent = required_object()
        reject_unknown(sent, ("client_id", "scopes", "account"), "part of a grant")
        client_id = line_of_text(sent.get("client_id", provider.clients.demo().client_id), "client_id")
        behaviour = provider.settings.read()
        account = line_of_text(sent.get("account", behaviour.accounts[0]), "account")
        scope = " ".join(texts(sent.get("scopes"), "scopes"))
        access_token, refresh_token = new_access_token(), new_refresh_token()
        with provider.database.transaction():
            client = provider.clients.find(client_id)
            if client is None:
                raise BadInputError("there is no client of that client_id; register it at /admin/clients first")
            grants, lifetime = provider.grants, provider.limits.lifetime(scope)
            grant_id = grants.create(client_id, account, scope, offline=True, lifetime=lifetime)
            grants.add_access_token(access_token, grant_id, scope, behaviour.access_token_lifetime)
            grants.add_refresh_token(refresh_token, grant_id)
            provider.limits.make_room(client_id, account)
        made: dict[str, Any] = {
            "grant": grant_id,
            "client_id": client_id,
            "client_secret": client.client_secret,
            "account": account,
            "scope": scope,
            "access_token": access_token,
            "refresh_token": refresh_token,
            "expires_in": behaviour.access_token_lifetime,
        }
        if lifetime is not None:
            made["refresh_token_expires_in"] = lifetime
        return made, 201

    @blueprint.delete("/grants")
    def revoke_grants() -> dict[str, int]:
        return {"revoked": provider.grants.revoke_all("the person withdrew the access")}

    return blueprint
