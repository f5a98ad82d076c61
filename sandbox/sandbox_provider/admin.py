"""Admin endpoints: counters, settings, faults, clients and grants, as JSON."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox_provider.bad_input import BadInputError, line_of_text, reject_unknown, texts
from sandbox_provider.clients import Client
from sandbox_provider.faults import Fault
from sandbox_provider.json_body import sent_object
from sandbox_provider.provider import ACCOUNT, Provider
from sandbox_provider.secret_text import new_access_token, new_refresh_token


def admin_blueprint(provider: Provider) -> Blueprint:
    """Return the endpoints."""
    blueprint = Blueprint("admin", __name__, url_prefix="/admin")

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
        return provider.settings.change(_sent()).as_dict()

    @blueprint.get("/faults")
    def faults() -> dict[str, Any]:
        return {"faults": provider.faults.pending()}

    @blueprint.post("/faults")
    def add_fault() -> tuple[dict[str, Any], int]:
        provider.faults.add(Fault.parse(_sent()))
        return {"faults": provider.faults.pending()}, 201

    @blueprint.delete("/faults")
    def clear_faults() -> tuple[str, int]:
        provider.faults.clear()
        return "", 204

    @blueprint.post("/clients")
    def add_client() -> tuple[dict[str, Any], int]:
        sent = _sent()
        reject_unknown(sent, ("client_id", "client_secret", "redirect_uris"), "part of a client")
        client = Client(
            line_of_text(sent.get("client_id"), "client_id"),
            line_of_text(sent.get("client_secret"), "client_secret"),
            texts(sent["redirect_uris"], "redirect_uris") if "redirect_uris" in sent else (),
        )
        new = provider.clients.register(client)
        return {"client_id": client.client_id, "created": new}, 201 if new else 200

    @blueprint.post("/grants")
    def add_grant() -> tuple[dict[str, Any], int]:
        sent = _sent()
        reject_unknown(sent, ("client_id", "scopes", "account"), "part of a grant")
        client_id = line_of_text(sent.get("client_id", provider.clients.demo().client_id), "client_id")
        account = line_of_text(sent.get("account", ACCOUNT), "account")
        scope = " ".join(texts(sent.get("scopes"), "scopes"))
        access_token, refresh_token = new_access_token(), new_refresh_token()
        with provider.database.transaction():
            client = provider.clients.find(client_id)
            if client is None:
                raise BadInputError("there is no client of that client_id; register it at /admin/clients first")
            behaviour, grants = provider.settings.read(), provider.grants
            grant_id = grants.create(client_id, account, scope, offline=True, lifetime=behaviour.refresh_token_lifetime)
            grants.add_access_token(access_token, grant_id, scope, behaviour.access_token_lifetime)
            grants.add_refresh_token(refresh_token, grant_id)
        return {
            "grant": grant_id,
            "client_id": client_id,
            "client_secret": client.client_secret,
            "account": account,
            "scope": scope,
            "access_token": access_token,
            "refresh_token": refresh_token,
            "expires_in": behaviour.access_token_lifetime,
        }, 201

    @blueprint.delete("/grants")
    def revoke_grants() -> dict[str, int]:
        return {"revoked": provider.grants.revoke_all("the person withdrew the access")}

    return blueprint


def _sent() -> dict[str, Any]:
    """Return the JSON object that was sent.

    Raises:
        BadInputError: something else was.
    """
    if not request.is_json:
        # a page in somebody's browser can send anything but this without asking first
        raise BadInputError("send a JSON object with the header Content-Type: application/json")
    sent = sent_object()
    if sent is None:
        raise BadInputError("the body must be a JSON object")
    return sent
