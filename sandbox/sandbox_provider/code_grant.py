"""Authorization codes: how a consent becomes one, and how one becomes tokens (RFC 6749 section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, InvalidGrantError, InvalidRequestError, scope_to_list
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import request as http

from sandbox_provider.consent_page import Answer
from sandbox_provider.google_texts import BAD_REQUEST, CLIENT_AUTH_METHODS
from sandbox_provider.grants import Code
from sandbox_provider.secret_text import new_authorization_code

if TYPE_CHECKING:
    from sandbox_provider.authorization import SandboxAuthorizationServer


class CodeGrant(AuthorizationCodeGrant):
    """The authorization code grant."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    server: SandboxAuthorizationServer

    def generate_authorization_code(self) -> str:
        """Return a new code."""
        return new_authorization_code()

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Record the consent and the code that stands for it.

        As at Google a refresh token comes only with ``access_type=offline``, and then only when the person was
        asked: the first time, or because of ``prompt=consent``.
        """
        provider, parameters, answer = self.server.provider, http.args, cast(Answer, request.user)
        client_id, scope = parameters["client_id"], " ".join(answer.scopes)
        wanted = set(scope_to_list(parameters["scope"]))
        asked = wants_consent_page(parameters) or not provider.grants.consented(client_id, answer.account, wanted)
        grant_id = provider.grants.create(
            client_id,
            answer.account,
            scope,
            offline=asked and parameters.get("access_type") == "offline",
            lifetime=provider.limits.lifetime(scope),
        )
        provider.grants.add_code(
            code,
            grant_id,
            parameters["redirect_uri"],
            challenge=parameters.get("code_challenge"),
            challenge_method=parameters.get("code_challenge_method"),
            nonce=parameters.get("nonce"),
        )

    def query_authorization_code(self, code: str, client: ClientMixin) -> Code:
        """Return a code that may be exchanged.

        Raises:
            InvalidGrantError: it may not; if it was used before, its tokens are revoked.
            InvalidRequestError: there is none in the request.
            OAuth2Error: the redirect URI is another one than the code was sent to.
        """
        provider = self.server.provider
        if not code:
            raise InvalidRequestError("Missing required parameter: code")
        found = provider.grants.find_code(code)
        if found is None:
            raise InvalidGrantError("Malformed auth code.")
        if found.grant.client_id != client.get_client_id():
            raise InvalidGrantError(BAD_REQUEST)
        if found.used:
            # RFC 6749 section 4.1.2: somebody has a code that isn't theirs, and we can't tell who
            provider.grants.revoke(found.grant.grant_id, "authorization code used twice")
        if found.used or found.expired or not found.grant.live:
            raise InvalidGrantError(BAD_REQUEST)
        if http.form.get("redirect_uri") != found.redirect_uri:
            raise OAuth2Error(BAD_REQUEST, error="redirect_uri_mismatch")
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Mark a code as used."""
        self.server.provider.grants.use_code(authorization_code)

    def authenticate_user(self, authorization_code: Code) -> str:
        """Return the account that consented."""
        return authorization_code.grant.account

    def generate_token(
        self,
        user: str | None = None,
        scope: str | None = None,
        grant_type: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        """Make the tokens: a refresh token only if this consent gives one."""
        code, settings = cast(Code, self.request.authorization_code), self.server.provider.settings.read()
        return cast(
            dict[str, Any],
            super().generate_token(
                user, scope, grant_type, expires_in, code.grant.offline and not settings.omit_refresh_token
            ),
        )


class Pkce(CodeChallenge):
    """PKCE (RFC 7636), S256 alone, with Google's texts."""

    def __init__(self) -> None:
        """Hold a verifier against each challenge; like Google, ask no client for a challenge."""
        super().__init__(required=False)
        self.SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_verifier(self, grant: CodeGrant, result: object) -> None:
        """Hold the verifier of a token request against the challenge of its code.

        Raises:
            InvalidGrantError: it is missing or doesn't fit.
        """
        code = cast(Code, grant.request.authorization_code)
        if code.code_challenge and not http.form.get("code_verifier"):
            raise InvalidGrantError("Missing code verifier.")
        try:
            super().validate_code_verifier(grant, result)
        except OAuth2Error:
            raise InvalidGrantError("Invalid code verifier.") from None


def wants_consent_page(parameters: Mapping[str, str]) -> bool:
    """Tell whether an authorization request asks that the person be asked again."""
    return "consent" in parameters.get("prompt", "").split()
