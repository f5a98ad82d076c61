"""The secrets of clients: two at a time, so that a new one can take over while the old one still works."""

from __future__ import annotations

from typing import Any, Final

from sandbox_provider.bad_input import BadInputError
from sandbox_provider.database import Database

MOST: Final = 2
"""Secrets that a client may have, as in Google's console."""


class ClientSecrets:
    """Where they are kept, in plain: the client file shows the newest that is enabled."""

    def __init__(self, database: Database) -> None:
        """Keep them in ``database``."""
        self._database = database

    def as_list(self, client_id: str) -> list[dict[str, Any]]:
        """Return number and state of each secret of a client, oldest first, without their texts."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT secret_id, enabled FROM client_secrets WHERE client_id = ? ORDER BY secret_id", (client_id,)
            ).fetchall()
        return [{"secret_id": row["secret_id"], "enabled": bool(row["enabled"])} for row in rows]

    def add(self, client_id: str, client_secret: str) -> int:
        """Give a client one more secret and return its number.

        Raises:
            BadInputError: it has two already.
        """
        with self._database.transaction() as connection:
            if len(self.as_list(client_id)) >= MOST:
                raise BadInputError(f"a client has at most {MOST} secrets; remove one first")
            row = connection.execute(
                "INSERT INTO client_secrets (client_id, client_secret) VALUES (?, ?) RETURNING secret_id",
                (client_id, client_secret),
            ).fetchone()
        return int(row["secret_id"])

    def enable(self, client_id: str, secret_id: int, enabled: bool) -> None:
        """Let a secret be valid, or not any more.

        Raises:
            BadInputError: the client has no secret of that number.
        """
        with self._database.transaction() as connection:
            self._check(client_id, secret_id)
            connection.execute("UPDATE client_secrets SET enabled = ? WHERE secret_id = ?", (enabled, secret_id))

    def remove(self, client_id: str, secret_id: int) -> None:
        """Forget a secret.

        Raises:
            BadInputError: the client has no secret of that number, or no other one.
        """
        with self._database.transaction() as connection:
            self._check(client_id, secret_id)
            if len(self.as_list(client_id)) == 1:
                raise BadInputError("a client keeps its last secret; add another first")
            connection.execute("DELETE FROM client_secrets WHERE secret_id = ?", (secret_id,))

    def _check(self, client_id: str, secret_id: int) -> None:
        if secret_id not in [secret["secret_id"] for secret in self.as_list(client_id)]:
            raise BadInputError("the client has no secret of that number; GET lists those it has")
