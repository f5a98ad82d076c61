"""The authorization endpoint: it consents by itself, or asks at a page (RFC 6749 section 4.1.1)."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final, NoReturn, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import scope_to_list
from flask import Blueprint, Response, make_response, redirect, render_template, request

from sandbox_provider import consent_page
from sandbox_provider.addresses import reached_at
from sandbox_provider.authorization import SandboxAuthorizationServer
from sandbox_provider.bad_input import BadInputError
from sandbox_provider.code_grant import wants_consent_page
from sandbox_provider.error_page import error_page
from sandbox_provider.guard import guarded
from sandbox_provider.provider import Provider
from sandbox_provider.settings import Settings

_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


def consent_blueprint(provider: Provider, server: SandboxAuthorizationServer) -> Blueprint:
    """Return the authorization endpoint, under both paths that Google's client files name."""
    blueprint = Blueprint("consent", __name__)
    untyped: Any = server

    @blueprint.route("/o/oauth2/v2/auth", methods=["GET", "POST"])
    @blueprint.route("/o/oauth2/auth", methods=["GET", "POST"])
    @guarded(provider, "auth")
    def authorize() -> Response:
        with provider.database.transaction():
            settings = provider.settings.read()
            try:
                _check(provider)
                grant = untyped.get_consent_grant(end_user=consent_page.preselected(settings))
                answer = consent_page.read(settings) if request.method == "POST" else None
            except OAuth2Error as error:
                return error_page(error.status_code, error.error or "invalid_request", error.description or "")
            except BadInputError as error:
                return error_page(400, "invalid_request", str(error))
            if answer is None:
                return _unanswered(provider, settings) or _answered(
                    server, grant, consent_page.granted_by_itself(settings), settings
                )
            response = _answered(server, grant, answer, settings)
            response.status_code = 303  # RFC 9700 section 4.12: a browser must not send the form on to the app
            return response

    return blueprint


def _unanswered(provider: Provider, settings: Settings) -> Response | None:
    """Return what a browser gets before anybody has answered, or ``None`` if the answer gives itself."""
    account, silently = consent_page.preselected(settings), "none" in request.args.get("prompt", "").split()
    wanted = set(scope_to_list(request.args["scope"]))
    if silently and not provider.grants.consented(request.args["client_id"], account, wanted):
        return _redirect_with(provider, "interaction_required")
    if settings.consent == "silent":
        return make_response(render_template("waiting.html", account=account))
    if consent_page.is_wanted(settings) and not silently:
        return consent_page.show(settings)
    return None


def _answered(
    server: SandboxAuthorizationServer, grant: object, answer: consent_page.Answer, settings: Settings
) -> Response:
    """Return the redirect that carries a person's answer to the app."""
    untyped: Any = server
    response = cast(
        Response,
        untyped.create_authorization_response(grant_user=answer if answer.scopes else None, grant=grant),
    )
    if not answer.scopes:
        return response
    if settings.consent == "wrong_state":
        response.location = _with_state(response.location or "", secrets.token_urlsafe(16))
    else:
        response.location = add_params_to_uri(response.location, {"scope": " ".join(answer.scopes)})
    return response


def _check(provider: Provider) -> None:
    """Refuse what Google refuses with a page of its own, before any redirect.

    Raises:
        OAuth2Error: the request can't be answered with a redirect.
    """
    given = request.args
    if not given.get("client_id"):
        _refuse("Missing required parameter: client_id")
    client = provider.clients.find(given["client_id"])
    if client is None:
        _refuse("The OAuth client was not found.", "invalid_client", 401)
    for name in ("redirect_uri", "response_type", "scope"):
        if not given.get(name):
            _refuse(f"Missing required parameter: {name}")
    if not client.check_redirect_uri(given["redirect_uri"]):
        _refuse("The redirect_uri of the request is not one of the client", "redirect_uri_mismatch")
    if given["response_type"] != "code":
        _refuse("Only response_type=code is supported", "unsupported_response_type")
    scopes = given["scope"].split(" ")
    if not any(scopes) or not all(_SCOPE_TOKEN.fullmatch(scope) for scope in scopes if scope):
        _refuse("Some requested scopes were invalid.", "invalid_scope")
    if "code_challenge" in given and given.get("code_challenge_method") != "S256":
        _refuse("code_challenge_method must be S256")
    if "none" in given.get("prompt", "").split() and wants_consent_page(given):
        _refuse("prompt=none can't be combined with another prompt")


def _refuse(description: str, error: str = "invalid_request", status: int = 400) -> NoReturn:
    raise OAuth2Error(description, error=error, status_code=status)


def _redirect_with(provider: Provider, error: str) -> Response:
    parameters = {"error": error, "iss": reached_at(provider.public_url)}
    if "state" in request.args:
        parameters["state"] = request.args["state"]
    return cast(Response, redirect(add_params_to_uri(request.args["redirect_uri"], parameters)))


def _with_state(address: str, state: str) -> str:
    """Return an address with another ``state`` in its query."""
    parts = urlsplit(address)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "state"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("state", state)])))
