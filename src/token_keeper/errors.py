"""What can go wrong with a shared token, as types: what happened, where, and what to do next.

Each error carries the exit code that the command line ends with, so that a playbook, a shell script and a
Python caller branch on the same thing.
"""

from __future__ import annotations

from typing import ClassVar


class TokenKeeperError(Exception):
    """Base of every error that Token Keeper raises on purpose.

    Args:
        message: what happened, and to which volume, file or endpoint; never a secret.
        reason: a CamelCase word that a program can branch on, stable across releases.
        remedy: what a person should do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, reason: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).__name__
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def as_dict(self) -> dict[str, str]:
        """Return the error as the ``error`` object of the command line's JSON."""
        return {
            "type": type(self).__name__,
            "reason": self.reason,
            "message": self.message,
            "remedy": self.remedy,
        }


class TokenMissing(TokenKeeperError):
    """There is no token document, or it was taken away on purpose; of one that was revoked ReauthRequired tells."""

    exit_code = 3


class TokenCorrupt(TokenKeeperError):
    """A file is there, but it is not a token document, and no earlier one could be put back."""

    exit_code = 4


class ReauthRequired(TokenKeeperError):
    """The grant is dead, was revoked on purpose, or its fate is unknown: a person has to consent again."""

    exit_code = 5


class ClientRejected(TokenKeeperError):
    """The provider does not accept the client's id or secret (RFC 6749 section 5.2, ``invalid_client``)."""

    exit_code = 6


class PolicyDenied(TokenKeeperError):
    """The provider's administrator or a policy forbids the exchange (such as ``admin_policy_enforced``)."""

    exit_code = 7


class ProviderUnavailable(TokenKeeperError):
    """The provider could not be asked, or did not answer as an OAuth 2.0 server does; try again later.

    Args:
        retry_after: seconds after which the next attempt is allowed, where that is known.
        outcome_known: whether the provider certainly did not carry the exchange out (a refused connection
            or an HTTP reply with an OAuth error), as opposed to a reply that was lost.
    """

    exit_code = 8

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        remedy: str = "",
        retry_after: float | None = None,
        outcome_known: bool = True,
    ) -> None:
        super().__init__(message, reason=reason, remedy=remedy)
        self.retry_after = retry_after
        self.outcome_known = outcome_known


class LockTimeout(TokenKeeperError):
    """Another writer held the volume's lock past the deadline."""

    exit_code = 9


class StorageError(TokenKeeperError):
    """The volume cannot be read or written as it must be: mode, owner, space, or not a directory."""

    exit_code = 10


class Conflict(TokenKeeperError):
    """The volume holds a newer or another document than the caller expected; nothing was changed."""

    exit_code = 11


class ConsentError(TokenKeeperError):
    """Consent was refused, timed out, or came back with less than was asked for."""

    exit_code = 12


class BackupError(TokenKeeperError):
    """A backup can't be made or opened: no password or another one, a torn file, or no backup at all."""

    exit_code = 13
