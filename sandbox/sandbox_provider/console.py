"""What a person looks at: the client file that Google's console offers, health, and a status page."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template

from sandbox_provider.provider import ACCOUNT, Provider


def console_blueprint(provider: Provider) -> Blueprint:
    """Return the endpoints."""
    blueprint = Blueprint("console", __name__)

    @blueprint.get("/console/client_secret.json")
    def client_secret() -> dict[str, Any]:
        client, base = provider.clients.demo(), provider.public_url
        return {
            "installed": {
                "client_id": client.client_id,
                "project_id": "sandbox",
                "auth_uri": f"{base}/o/oauth2/v2/auth",
                "token_uri": f"{base}/token",
                "client_secret": client.client_secret,
                "redirect_uris": ["http://localhost"],
            }
        }

    @blueprint.get("/healthz")
    def health() -> dict[str, str]:
        provider.settings.read()  # an answer means that the storage can be read
        return {"status": "ok"}

    @blueprint.get("/")
    def status() -> str:
        return render_template(
            "status.html",
            counters=provider.counters.as_dict(),
            settings=provider.settings.read().as_dict(),
            faults=provider.faults.pending(),
            events=provider.events.latest(ACCOUNT, 50),
            account=ACCOUNT,
        )

    return blueprint
