"""What a person looks at: the client file that Google's console offers, health, and a status page."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, render_template, request

from sandbox_provider.provider import Provider


def console_blueprint(provider: Provider) -> Blueprint:
    """Return the endpoints."""
    blueprint = Blueprint("console", __name__)

    @blueprint.get("/console/client_secret.json")
    def client_secret() -> dict[str, Any]:
        base, client_id = provider.public_url, request.args.get("client_id")
        client = provider.clients.demo() if client_id is None else provider.clients.find(client_id)
        if client is None:
            abort(404, "There is no client of that client_id.")
        return {
            client.kind: {
                "client_id": client.client_id,
                "project_id": "sandbox",
                "auth_uri": f"{base}/o/oauth2/v2/auth",
                "token_uri": f"{base}/token",
                "client_secret": client.client_secret,
                "redirect_uris": list(client.redirect_uris) or ["http://localhost"],
            }
        }

    @blueprint.get("/healthz")
    def health() -> dict[str, str]:
        provider.settings.read()  # an answer means that the storage can be read
        return {"status": "ok"}

    @blueprint.get("/")
    def status() -> str:
        settings = provider.settings.read()
        return render_template(
            "status.html",
            counters=provider.counters.as_dict(),
            settings=settings.as_dict(),
            faults=provider.faults.pending(),
            events=provider.events.latest(settings.accounts[0], 50),
            account=settings.accounts[0],
        )

    return blueprint
