"""From the code to a token document: the exchange, and the judgement of what came back."""

from __future__ import annotations

from token_keeper.consent.answer import AuthorizationCode
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.consent.scopes import missing_scopes
from token_keeper.document import TokenDocument, expiry_after
from token_keeper.errors import ConsentError, ProviderUnavailable, ReauthRequired
from token_keeper.exchange import TokenReply, request_token
from token_keeper.refresh import DEFAULT_LIFETIME

_NOTHING_CHANGED = "nothing was changed: run the consent again"


def redeem(request: AuthorizationRequest, answer: AuthorizationCode, *, deadline: float) -> TokenReply:
    """Exchange a code for tokens, once (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

    Args:
        request: the request that the code answers.
        answer: the code.
        deadline: seconds for the exchange in all.

    Raises:
        ConsentError: ``CodeRejected`` or ``RedirectUriMismatch``.
        ClientRejected: the provider does not accept the client's secret.
        PolicyDenied: a policy forbids it.
        ProviderUnavailable: the token endpoint gave no usable answer.
    """
    form = {
        "grant_type": "authorization_code",
        "code": answer.code,
        "code_verifier": request.verifier,
        "redirect_uri": request.redirect_uri,
        "client_id": request.client.client_id,
        "client_secret": request.client.client_secret,
    }
    try:
        return request_token(request.endpoints.token_uri, form, deadline=deadline)
    except ReauthRequired as error:
        raise ConsentError(
            f"the provider did not accept the code: {error.message}",
            reason="CodeRejected",
            remedy=f"{_NOTHING_CHANGED}; a code lives for minutes and works once, with the redirect of its request",
        ) from None
    except ProviderUnavailable as error:
        if error.reason == "RedirectUriMismatch":
            raise ConsentError(
                f"the provider did not accept the redirect {request.redirect_uri}: {error.message}",
                reason="RedirectUriMismatch",
                remedy="register this redirect for the client, or use a client of type Desktop app",
            ) from None
        # for a refresh the next attempt follows by itself; a code is spent, and a person has to come back
        remedy = "check that token_uri is the provider's token endpoint and that this machine reaches it"
        raise ProviderUnavailable(
            error.message,
            reason=error.reason,
            remedy=f"{_NOTHING_CHANGED} when the provider answers; if it lasts, {remedy}",
            retry_after=error.retry_after,
            outcome_known=error.outcome_known,
        ) from None


def judged(reply: TokenReply, request: AuthorizationRequest) -> TokenDocument:
    """Return the document that a reply makes, if it can be kept alive and may do what it was asked for.

    Raises:
        ConsentError: ``NotBearer``, ``RefreshTokenMissing`` or ``ScopesMissing``.
    """
    if not reply.is_bearer:
        raise ConsentError(
            "the provider sent an access token that is not a bearer token (RFC 6750), and no other kind can be used",
            reason="NotBearer",
            remedy="ask the provider for a client that is given bearer tokens",
        )
    if reply.refresh_token is None:
        raise ConsentError(
            "the provider sent no refresh token, so the token would end with its first hour",
            reason="RefreshTokenMissing",
            remedy=_to_get_a_refresh_token(request),
        )
    # RFC 6749 section 5.1: an answer without scope grants what was asked for
    granted = request.scopes if reply.scope is None else reply.scope
    missing = missing_scopes(request.required, granted)
    if missing:
        raise ConsentError(
            f"consent was given, but without {', '.join(missing)}",
            reason="ScopesMissing",
            remedy=(
                "run the consent again and tick the box of each of these on the provider's page, or Select all; "
                "where there is no such box, add the scope to the client's consent screen"
            ),
        )
    return TokenDocument(
        token=reply.access_token,
        refresh_token=reply.refresh_token,
        token_uri=request.endpoints.document_token_uri,
        client_id=request.client.client_id,
        client_secret=request.client.client_secret,
        scopes=tuple(granted),
        expiry=expiry_after(DEFAULT_LIFETIME if reply.expires_in is None else reply.expires_in, reply.received_at),
    )


def _to_get_a_refresh_token(request: AuthorizationRequest) -> str:
    """Say what the question lacked; if it lacked nothing, the account's settings are left."""
    wanted = {"access_type": "offline", "prompt": "consent"}
    lacking = [
        f"{name}={value}" for name, value in wanted.items() if value not in (request.asks_with(name) or "").split()
    ]
    if lacking:
        return (
            f"the question was asked without {' and '.join(lacking)}, by the extra parameters or the profile: ask "
            "with that; an OpenID Connect provider may want the scope offline_access instead"
        )
    return (
        "it was asked for with prompt=consent and access_type=offline, so remove this app in the account's settings "
        "(Google: myaccount.google.com/connections) and consent again; an OpenID Connect provider may want the scope "
        "offline_access to be asked for"
    )
