"""Settings: how the provider shall behave; changed over HTTP, kept over a restart."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any, Final

from sandbox_provider.bad_input import BadInputError, number, one_of, reject_unknown, texts, whole_number, yes_or_no
from sandbox_provider.database import Database

ACCOUNT: Final = "demo@sandbox.invalid"
"""The demo's account: who consents, unless the settings or a request name others."""

CONSENTS: Final = ("grant", "page", "deny", "silent", "wrong_state")
PUBLISHING: Final = ("production", "testing")
MAIL_ADDRESS: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,250}")
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
        consent: what the person at the consent page does; ``page`` shows it and leaves the answer to them.
        accounts: whom the consent page offers; the first is who consents when nobody is asked.
        omit_refresh_token: the code exchange never gives a refresh token.
        granted_scopes: what the person grants whatever was asked; ``None`` for all that was asked.
        latency: seconds that each answer of the endpoints that can fail takes longer.
        strict_rfc7009: revocation of an unknown token is answered with 200 (RFC 7009 section 2.2) where Google
            says ``invalid_token`` with 400.
        revoke_whole_grant: revoking a token ends everything that its account allowed its client, as at Google;
            otherwise the one consent that the token came from.
        refresh_token_cap: how many grants of one account to one client may have a live refresh token; the next one
            silently ends the oldest. ``None`` for any number.
        unused_lifetime: seconds after which a refresh token that nobody used is dead, or ``None``.
        publishing: status of the consent screen; in ``testing`` new grants live seven days.
        clock_skew: seconds by which the provider's clock is ahead of the machine's, or behind if negative.
    """

    access_token_lifetime: int = 3600
    refresh_token_lifetime: int | None = None
    rotation: bool = False
    reuse_grace: float = 0
    consent: str = "grant"
    accounts: tuple[str, ...] = (ACCOUNT,)
    omit_refresh_token: bool = False
    granted_scopes: tuple[str, ...] | None = None
    latency: float = 0.0
    strict_rfc7009: bool = False
    revoke_whole_grant: bool = True
    refresh_token_cap: int | None = 100
    unused_lifetime: int | None = 15_724_800
    publishing: str = "production"
    clock_skew: float = 0

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


def _mail_addresses(value: object, name: str) -> tuple[str, ...]:
    addresses = texts(value, name)
    if not all(MAIL_ADDRESS.fullmatch(address) for address in addresses):
        raise BadInputError(f"each of {name} must be a mail address")
    return addresses


def _whole_or_none(most: int) -> Callable[[object, str], int | None]:
    return lambda value, name: None if value is None else whole_number(value, name, 1, most)


_CHECKS: Final[dict[str, Callable[[object, str], object]]] = {
    "access_token_lifetime": lambda value, name: whole_number(value, name, 1, _YEAR),
    "refresh_token_lifetime": _whole_or_none(_YEAR),
    "rotation": yes_or_no,
    "reuse_grace": lambda value, name: number(value, name, 0, 86_400),
    "consent": lambda value, name: one_of(value, name, CONSENTS),
    "accounts": _mail_addresses,
    "omit_refresh_token": yes_or_no,
    "granted_scopes": lambda value, name: None if value is None else texts(value, name),
    "latency": lambda value, name: number(value, name, 0, 60),
    "strict_rfc7009": yes_or_no,
    "revoke_whole_grant": yes_or_no,
    "refresh_token_cap": _whole_or_none(100_000),
    "unused_lifetime": _whole_or_none(10 * _YEAR),
    "publishing": lambda value, name: one_of(value, name, PUBLISHING),
    "clock_skew": lambda value, name: number(value, name, -_YEAR, _YEAR),
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
