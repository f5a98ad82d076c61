"""Grants: what a person allowed a client, and the codes and tokens that stand for it.

A grant is one consent. Its refresh tokens are a family: with rotation each exchange moves the family's sequence
number on by one, and only a token of the current number is live. That makes a reuse visible by comparing two
numbers, however many tokens the family has had.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin

from sandbox_provider.database import Database
from sandbox_provider.secret_text import digest

CODE_LIFETIME: Final = 600
"""Seconds: the most that RFC 6749 section 4.1.2 recommends."""

_KEPT_AFTER_EXPIRY: Final = 86_400


@dataclasses.dataclass(frozen=True)
class Grant:
    """One consent of one account to one client.

    Attributes:
        sequence: the number of the family's live refresh tokens.
        advanced_at: Unix time at which the family last moved on.
        expires_at: Unix time at which the grant ends by itself.
        used_at: Unix time at which it was last refreshed, or made.
        displaced: newer grants of the same account and client have taken the place of its refresh tokens.
        live: it is neither revoked nor expired.
    """

    grant_id: int
    client_id: str
    account: str
    scope: str
    offline: bool
    sequence: int
    advanced_at: float | None
    expires_at: float | None
    used_at: float
    displaced: bool
    live: bool


@dataclasses.dataclass(frozen=True)
class Code(AuthorizationCodeMixin):
    """An authorization code.

    Attributes:
        code_challenge: with its method what Authlib's PKCE extension looks for.
        nonce: what the client wants to find in the id token again.
    """

    digest: str
    grant: Grant
    redirect_uri: str
    code_challenge: str | None
    code_challenge_method: str | None
    nonce: str | None
    used: bool
    expired: bool

    def get_redirect_uri(self) -> str:
        """Return the address the code was sent to."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the granted scopes."""
        return self.grant.scope

    def get_nonce(self) -> str | None:
        """Return the nonce of the authorization request."""
        return self.nonce

    def get_auth_time(self) -> None:
        """Return nothing: as at Google, an id token doesn't say when a person signed in ..."""

    def get_acr(self) -> None:
        """... or how strictly ..."""

    def get_amr(self) -> None:
        """... or by what means."""


@dataclasses.dataclass(frozen=True)
class RefreshToken(TokenMixin):
    """A refresh token as the storage knows it: without its text."""

    grant: Grant
    sequence: int

    @property
    def superseded(self) -> bool:
        """A later refresh token of its family has taken its place."""
        return self.sequence < self.grant.sequence

    def check_client(self, client: ClientMixin) -> bool:
        """Tell whether it was issued to that client."""
        return bool(self.grant.client_id == client.get_client_id())

    def get_scope(self) -> str:
        """Return the granted scopes."""
        return self.grant.scope


@dataclasses.dataclass(frozen=True)
class AccessToken(TokenMixin):
    """An access token as the storage knows it: without its text."""

    grant: Grant
    scope: str
    expires_in: float

    def check_client(self, client: ClientMixin) -> bool:
        """Tell whether it was issued to that client."""
        return bool(self.grant.client_id == client.get_client_id())

    def get_scope(self) -> str:
        """Return its scopes, which may be fewer than the grant's."""
        return self.scope

    def get_expires_in(self) -> int:
        """Return the seconds of life it has left."""
        return int(self.expires_in)

    def is_expired(self) -> bool:
        """Tell whether its time is over."""
        return self.expires_in <= 0

    def is_revoked(self) -> bool:
        """Tell whether its grant is dead."""
        return not self.grant.live


class GrantStore:
    """Where grants, codes and tokens are kept; tokens only as digests."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """Keep them in ``database``, by ``clock`` (Unix time)."""
        self._database = database
        self._clock = clock
        with database.transaction() as connection:
            long_gone = clock() - _KEPT_AFTER_EXPIRY
            connection.execute("DELETE FROM access_tokens WHERE expires_at < ?", (long_gone,))
            connection.execute("DELETE FROM codes WHERE expires_at < ?", (long_gone,))

    def consented(self, client_id: str, account: str, scopes: set[str]) -> bool:
        """Tell whether a live grant already covers ``scopes``, so that a person would not be asked again."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT scope FROM grants WHERE client_id = ? AND account = ? AND revoked_at IS NULL"
                " AND (expires_at IS NULL OR expires_at > ?)",
                (client_id, account, self._clock()),
            ).fetchall()
        return any(scopes <= set(row["scope"].split()) for row in rows)

    def create(self, client_id: str, account: str, scope: str, *, offline: bool, lifetime: float | None) -> int:
        """Record a consent and return its number.

        Args:
            offline: the code exchange gives a refresh token.
            lifetime: seconds until the grant ends by itself, or ``None``.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            row = connection.execute(
                "INSERT INTO grants (client_id, account, scope, offline, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?) RETURNING grant_id",
                (client_id, account, scope, offline, now, None if lifetime is None else now + lifetime),
            ).fetchone()
        return int(row["grant_id"])

    def revoke(self, grant_id: int, because: str) -> None:
        """End a grant with all its tokens."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE grants SET revoked_at = ?, revoked_because = ? WHERE grant_id = ? AND revoked_at IS NULL",
                (self._clock(), because, grant_id),
            )

    def revoke_account(self, client_id: str, account: str, because: str) -> None:
        """End every grant of an account to a client."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE grants SET revoked_at = ?, revoked_because = ?"
                " WHERE client_id = ? AND account = ? AND revoked_at IS NULL",
                (self._clock(), because, client_id, account),
            )

    def revoke_all(self, because: str) -> int:
        """End every live grant, as a person does who withdraws an app's access; return how many there were."""
        with self._database.transaction() as connection:
            return connection.execute(
                "UPDATE grants SET revoked_at = ?, revoked_because = ? WHERE revoked_at IS NULL",
                (self._clock(), because),
            ).rowcount

    def add_code(
        self,
        code: str,
        grant_id: int,
        redirect_uri: str,
        *,
        challenge: str | None,
        challenge_method: str | None,
        nonce: str | None,
    ) -> None:
        """Record an authorization code, the PKCE challenge it is bound to (RFC 7636), and the nonce it came with."""
        expires_at = self._clock() + CODE_LIFETIME
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, NULL, ?)",
                (digest(code), grant_id, redirect_uri, challenge, challenge_method, expires_at, nonce),
            )

    def find_code(self, code: str) -> Code | None:
        """Return an authorization code, used and expired ones too."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT * FROM codes WHERE digest = ?", (digest(code),)).fetchone()
            if row is None:
                return None
            return Code(
                digest=row["digest"],
                grant=self.find(row["grant_id"]),
                redirect_uri=row["redirect_uri"],
                code_challenge=row["code_challenge"],
                code_challenge_method=row["code_challenge_method"],
                nonce=row["nonce"],
                used=row["used_at"] is not None,
                expired=row["expires_at"] <= self._clock(),
            )

    def use_code(self, code: Code) -> None:
        """Mark a code as used: it works once (RFC 6749 section 4.1.2)."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE codes SET used_at = ? WHERE digest = ?", (self._clock(), code.digest))

    def add_access_token(self, token: str, grant_id: int, scope: str, lifetime: float) -> None:
        """Record an access token that lives ``lifetime`` seconds."""
        now = self._clock()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO access_tokens VALUES (?, ?, ?, ?, ?)",
                (digest(token), grant_id, scope, now, now + lifetime),
            )

    def find_access_token(self, token: str) -> AccessToken | None:
        """Return an access token, expired and revoked ones too."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT * FROM access_tokens WHERE digest = ?", (digest(token),)).fetchone()
            if row is None:
                return None
            return AccessToken(self.find(row["grant_id"]), row["scope"], row["expires_at"] - self._clock())

    def add_refresh_token(self, token: str, grant_id: int) -> None:
        """Record a refresh token as a live member of its family."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO refresh_tokens SELECT ?, grant_id, sequence FROM grants WHERE grant_id = ?",
                (digest(token), grant_id),
            )

    def find_refresh_token(self, token: str) -> RefreshToken | None:
        """Return a refresh token, superseded and revoked ones too."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT * FROM refresh_tokens WHERE digest = ?", (digest(token),)).fetchone()
            if row is None:
                return None
            return RefreshToken(self.find(row["grant_id"]), row["sequence"])

    def use(self, grant_id: int) -> None:
        """Record that a grant was refreshed now: one that nobody uses for long ends by itself."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE grants SET refreshed_at = ? WHERE grant_id = ?", (self._clock(), grant_id))

    def advance(self, grant_id: int) -> None:
        """Move a family on: all refresh tokens it has so far are superseded."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE grants SET sequence = sequence + 1, advanced_at = ? WHERE grant_id = ?",
                (self._clock(), grant_id),
            )

    def replayable(self, token: RefreshToken, grace: float) -> bool:
        """Tell whether a superseded refresh token is the last one spent, and that within ``grace`` seconds."""
        grant = token.grant
        return (
            grant.advanced_at is not None
            and token.sequence == grant.sequence - 1
            and self._clock() - grant.advanced_at < grace
        )

    def expires_in(self, grant: Grant) -> int | None:
        """Return the seconds until a grant ends by itself, or ``None``."""
        return None if grant.expires_at is None else max(0, int(grant.expires_at - self._clock()))

    def find(self, grant_id: int) -> Grant:
        """Return the grant of that number, which exists."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT * FROM grants WHERE grant_id = ?", (grant_id,)).fetchone()
        return self._grant(row)

    def _grant(self, row: sqlite3.Row) -> Grant:
        return Grant(
            grant_id=row["grant_id"],
            client_id=row["client_id"],
            account=row["account"],
            scope=row["scope"],
            offline=bool(row["offline"]),
            sequence=row["sequence"],
            advanced_at=row["advanced_at"],
            expires_at=row["expires_at"],
            used_at=row["created_at"] if row["refreshed_at"] is None else row["refreshed_at"],
            displaced=row["displaced_at"] is not None,
            live=row["revoked_at"] is None and (row["expires_at"] is None or row["expires_at"] > self._clock()),
        )
