"""Settings: how the provider shall behave; changed over HTTP, kept over a restart."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Final

from sandbox_provider.bad_input import number, one_of, reject_unknown, texts, whole_number, yes_or_no
from sandbox_provider.database import Database

CONSENTS: Final = ("grant", "deny", "silent", "wrong_state")
_YEAR: Final = 31_536_000


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The provider's behaviour.

    Attributes:
        access_token_lifetime: seconds that a new access token lives.
        refresh_token_lifetime: seconds that a new grant lives, told to clients as ``refresh_token_expires_in``;
            ``None`` for no limit.
        rotation: a refresh gives a new refresh token and spends the old one (RFC 9700 section 4.14.2).
        reuse_grace: seconds in which the refresh token that was spent last may be replayed; after that, or with
            an older one, its whole family is revoked.
        consent: what the person at the consent page does.
        omit_refresh_token: the code exchange never gives a refresh token.
        granted_scopes: what the person grants whatever was asked; ``None`` for all that was asked.
        latency: seconds that each answer of the auth, token, revoke and calendar endpoints takes longer.
        strict_rfc7009: revocation of an unknown token is answered with 200 (RFC 7009 section 2.2) where Google
            says ``invalid_token`` with 400.
    """

    access_token_lifetime: int = 3600
    refresh_token_lifetime: int | None = None
    rotation: bool = False
    reuse_grace: float = 0
    consent: str = "grant"
    omit_refresh_token: bool = False
    granted_scopes: tuple[str, ...] | None = None
    latency: float = 0.0
    strict_rfc7009: bool = False

    def changed(self, changes: dict[str, Any]) -> Settings:
        """Return these settings with ``changes`` applied.

        Raises:
            BadInputError: a name is unknown or a value is out of range.
        """
        reject_unknown(changes, _CHECKS, "setting")
        checked: dict[str, Any] = {name: _CHECKS[name](value, name) for name, value in changes.items()}
        return dataclasses.replace(self, **checked)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return dataclasses.asdict(self)


_CHECKS: Final[dict[str, Callable[[object, str], object]]] = {
    "access_token_lifetime": lambda value, name: whole_number(value, name, 1, _YEAR),
    "refresh_token_lifetime": lambda value, name: None if value is None else whole_number(value, name, 1, _YEAR),
    "rotation": yes_or_no,
    "reuse_grace": lambda value, name: number(value, name, 0, 86_400),
    "consent": lambda value, name: one_of(value, name, CONSENTS),
    "omit_refresh_token": yes_or_no,
    "granted_scopes": lambda value, name: None if value is None else texts(value, name),
    "latency": lambda value, name: number(value, name, 0, 60),
    "strict_rfc7009": yes_or_no,
}


class SettingsStore:
    """Where the settings are kept."""

    def __init__(self, database: Database) -> None:
        """Keep them in ``database``."""
        self._database = database

    def read(self) -> Settings:
        """Return the settings in force."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT name, value FROM settings").fetchall()
        return Settings().changed({name: json.loads(value) for name, value in rows})

    def change(self, changes: dict[str, Any]) -> Settings:
        """Apply ``changes`` and return the settings now in force.

        Raises:
            BadInputError: a change makes no sense; none of them is applied then.
        """
        with self._database.transaction() as connection:
            after = self.read().changed(changes)
            connection.executemany(
                "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [(name, json.dumps(getattr(after, name))) for name in changes],
            )
        return after
