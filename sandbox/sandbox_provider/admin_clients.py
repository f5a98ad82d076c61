"""Admin endpoints for clients and their secrets."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint

from sandbox_provider.bad_input import BadInputError, line_of_text, one_of, reject_unknown, texts, yes_or_no
from sandbox_provider.clients import KINDS, Client
from sandbox_provider.json_body import required_object
from sandbox_provider.provider import Provider
from sandbox_provider.secret_text import new_client_secret

_OF_ONE: Final = "/clients/<path:client_id>/secrets"


def clients_blueprint(provider: Provider) -> Blueprint:
    """Return the endpoints, to be registered under ``/admin``."""
    blueprint = Blueprint("clients", __name__)
    secrets = provider.client_secrets

    @blueprint.post("/clients")
    def add_client() -> tuple[dict[str, Any], int]:
        sent = required_object()
        reject_unknown(sent, ("client_id", "client_secret", "redirect_uris", "type"), "part of a client")
        client = Client(
            line_of_text(sent.get("client_id"), "client_id"),
            (line_of_text(sent.get("client_secret"), "client_secret"),),
            texts(sent["redirect_uris"], "redirect_uris") if "redirect_uris" in sent else (),
        )
        if "type" in sent and one_of(sent["type"], "type", KINDS) != client.kind:
            raise BadInputError("a web client has redirect_uris, an installed one has none")
        new = provider.clients.register(client)
        return {"client_id": client.client_id, "created": new}, 201 if new else 200

    @blueprint.get(_OF_ONE)
    def list_secrets(client_id: str) -> dict[str, Any]:
        _known(provider, client_id)
        return {"secrets": secrets.as_list(client_id)}

    @blueprint.post(_OF_ONE)
    def add_secret(client_id: str) -> tuple[dict[str, Any], int]:
        sent = required_object()
        reject_unknown(sent, ("client_secret",), "part of a secret")
        text = line_of_text(sent.get("client_secret", new_client_secret()), "client_secret")
        with provider.database.transaction():
            _known(provider, client_id)
            secret_id = secrets.add(client_id, text)
        return {"secret_id": secret_id, "client_secret": text, "enabled": True}, 201

    @blueprint.patch(f"{_OF_ONE}/<int:secret_id>")
    def change_secret(client_id: str, secret_id: int) -> dict[str, Any]:
        sent = required_object()
        reject_unknown(sent, ("enabled",), "part of a secret")
        secrets.enable(client_id, secret_id, yes_or_no(sent.get("enabled"), "enabled"))
        return {"secrets": secrets.as_list(client_id)}

    @blueprint.delete(f"{_OF_ONE}/<int:secret_id>")
    def remove_secret(client_id: str, secret_id: int) -> tuple[str, int]:
        secrets.remove(client_id, secret_id)
        return "", 204

    return blueprint


def _known(provider: Provider, client_id: str) -> None:
    """Refuse a client that isn't there.

    Raises:
        BadInputError: it is not.
    """
    if provider.clients.find(client_id) is None:
        raise BadInputError("there is no client of that client_id; register it at /admin/clients first")
