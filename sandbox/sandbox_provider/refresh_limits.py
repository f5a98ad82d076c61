"""How refresh tokens end by themselves at Google: in testing, unused, or pushed out by newer ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sandbox_provider.database import Database
from sandbox_provider.grants import Grant
from sandbox_provider.people import SIGN_IN_SCOPES
from sandbox_provider.settings import SettingsStore

TESTING_LIFETIME: Final = 604_800
"""Seconds, seven days: what a grant lives while the consent screen is in testing."""


class RefreshLimits:
    """The rules, as the settings have them."""

    def __init__(self, database: Database, settings: SettingsStore, clock: Callable[[], float]) -> None:
        """Apply them to the grants in ``database``, by ``clock`` (Unix time)."""
        self._database = database
        self._settings = settings
        self._clock = clock

    def lifetime(self, scope: str) -> int | None:
        """Return the seconds after which a new grant of ``scope`` ends by itself, or ``None``.

        A lifetime in the settings comes before the seven days of an app in testing, which Google spares grants that
        have nothing but the scopes of a sign-in.
        """
        settings = self._settings.read()
        if settings.refresh_token_lifetime is not None:
            return settings.refresh_token_lifetime
        if settings.publishing == "testing" and not set(scope.split()) <= SIGN_IN_SCOPES:
            return TESTING_LIFETIME
        return None

    def ended(self, grant: Grant) -> bool:
        """Tell whether the refresh tokens of a grant are dead: with it, for want of use, or because of newer ones."""
        return not grant.live or grant.displaced or grant.used_at <= self._unused_since()

    def make_room(self, client_id: str, account: str) -> None:
        """End the refresh tokens of the oldest grants beyond the cap; their access tokens live on."""
        cap = self._settings.read().refresh_token_cap
        if cap is None:
            return
        now = self._clock()
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE grants SET displaced_at = ? WHERE grant_id IN ("
                "SELECT grant_id FROM grants WHERE client_id = ? AND account = ?"
                " AND revoked_at IS NULL AND displaced_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"
                " AND coalesce(refreshed_at, created_at) > ?"
                " AND EXISTS (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.grant_id = grants.grant_id)"
                " ORDER BY grant_id DESC LIMIT -1 OFFSET ?)",
                (now, client_id, account, now, self._unused_since(), cap),
            )

    def _unused_since(self) -> float:
        """Return the Unix time since which a live refresh token must have been issued or used."""
        lifetime = self._settings.read().unused_lifetime
        return 0.0 if lifetime is None else self._clock() - lifetime
