"""The WSGI application."""

from __future__ import annotations

import json
from typing import cast

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from sandbox_provider.access_log import log_requests
from sandbox_provider.admin import admin_blueprint
from sandbox_provider.authorization import SandboxAuthorizationServer
from sandbox_provider.calendar_api import calendar_blueprint
from sandbox_provider.clock import date_responses
from sandbox_provider.consent import consent_blueprint
from sandbox_provider.console import console_blueprint
from sandbox_provider.discovery import discovery_blueprint
from sandbox_provider.identity_endpoints import identity_blueprint
from sandbox_provider.provider import Provider
from sandbox_provider.token_endpoints import token_blueprint

_LARGEST_BODY = 1_048_576


def create_app(provider: Provider) -> Flask:
    """Return the application that serves ``provider``."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined] # of Flask's default provider, which this is
    log_requests(app)
    date_responses(app, provider.clock)
    server = SandboxAuthorizationServer(app, provider)
    app.register_blueprint(consent_blueprint(provider, server))
    app.register_blueprint(token_blueprint(provider, server))
    app.register_blueprint(identity_blueprint(provider))
    app.register_blueprint(discovery_blueprint(provider))
    app.register_blueprint(console_blueprint(provider))
    app.register_blueprint(admin_blueprint(provider))
    calendar = calendar_blueprint(provider)
    app.register_blueprint(calendar, url_prefix="/calendar/v3")
    # for clients whose endpoint is the bare address: Google's client appends its paths to whatever it is given
    app.register_blueprint(calendar, url_prefix="", name="calendar_at_root")

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> HTTPException | Response:
        if error.response is not None:
            return error  # it has a body of its own already
        # the exception's own response keeps headers such as Allow
        response = cast(Response, error.get_response())
        word = error.name.lower().replace(" ", "_")
        response.data = json.dumps({"error": word, "error_description": error.description})
        response.content_type = "application/json"
        return response

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return response

    return app
