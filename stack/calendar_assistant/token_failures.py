"""The errors of token_keeper and google-auth as failures that callers see."""

from __future__ import annotations

from typing import Final

from google.auth.exceptions import GoogleAuthError

from calendar_assistant.failures import Failure
from token_keeper.errors import Conflict, LockTimeout, ProviderUnavailable, TokenKeeperError

_SOON: Final = 5.0
"""Seconds to wait where the error names none."""


def token_failure(error: TokenKeeperError) -> Failure:
    """Return the failure for an error of the token store; only those that time mends carry ``retry_after``."""
    retry_after: float | None = None
    if isinstance(error, ProviderUnavailable):
        retry_after = _SOON if error.retry_after is None else error.retry_after
    elif isinstance(error, LockTimeout):
        retry_after = _SOON
    return Failure(
        type(error).__name__,
        error.reason,
        error.message,
        error.remedy,
        status=409 if isinstance(error, Conflict) else 503,
        retry_after=retry_after,
    )


def google_auth_failure(error: GoogleAuthError) -> Failure:
    """Return the failure for an error of google-auth, which is the store's own error where that is the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TokenKeeperError):
            return token_failure(cause)
        cause = cause.__cause__
    # google-auth's texts may quote a provider's reply, so none is passed on
    return Failure(
        "AuthorizationFailed",
        type(error).__name__,
        "google-auth could not authorize the request",
        "look at `token-keeper status`",
        retry_after=_SOON if error.retryable else None,
    )
