"""What went wrong, in the form that every token module fails with."""

from __future__ import annotations

from typing import Any


class ModuleFailure(Exception):
    """A failure that a person can act on.

    Args:
        kind: the error's type: one of the ``token_keeper`` package's (``Conflict``, ``StorageError`` and so on),
            or ``EngineError``, ``ImageError``, ``NetworkError``, ``VolumeError`` or ``HelperError`` for what
            happened around it.
        reason: a CamelCase word that a playbook can branch on.
        message: what happened, and where; never a secret.
        remedy: what to do next.
    """

    def __init__(self, kind: str, reason: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.reason = reason
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def as_result(self) -> dict[str, Any]:
        """Return the fields that a failed result carries."""
        return {
            "msg": str(self),
            "error": {
                "type": self.kind,
                "reason": self.reason,
                "message": self.message,
                "remedy": self.remedy,
            },
        }
