"""Counters: what was asked of the provider, and what it did."""

from __future__ import annotations

from typing import Final

from sandbox_provider.database import Database

_NAMES: Final = (
    "exchanges.authorization_code",
    "exchanges.refresh_token",
    "exchanges.refused",
    "calendar.inserts",
    "calendar.deletes",
    "calendar.unauthorized",
    "requests.auth",
    "requests.token",
    "requests.revoke",
    "requests.tokeninfo",
    "requests.calendar",
    "rotation.reuse_detected",
    "rotation.replayed_in_grace",
    "revocations.asked",
    "faults.fired",
)


class Counters:
    """Counters that survive a restart."""

    def __init__(self, database: Database) -> None:
        """Count in ``database``."""
        self._database = database

    def add(self, name: str) -> None:
        """Count one more ``name``, in the transaction that is under way."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", (name,)
            )

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return every counter, grouped by the word before the dot."""
        with self._database.transaction() as connection:
            stored = dict(connection.execute("SELECT name, value FROM counters").fetchall())
        grouped: dict[str, dict[str, int]] = {}
        for name in _NAMES:
            group, _, member = name.partition(".")
            grouped.setdefault(group, {})[member] = stored.get(name, 0)
        return grouped
