"""OAuth clients: the demo's own, made at first start, and those that tests register."""

from __future__ import annotations

import dataclasses
import hmac
import json
import re
import sqlite3
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientMixin

from sandbox_provider.database import Database
from sandbox_provider.secret_text import new_client

KINDS: Final = ("installed", "web")
_PRINTABLE: Final = re.compile(r"[!-~]+")


@dataclasses.dataclass(frozen=True)
class Client(ClientMixin):
    """A client (RFC 6749 section 2).

    Attributes:
        client_id: its public name.
        secrets: its valid secrets, newest first; Google gives installed applications one too.
        redirect_uris: the addresses of a web client; empty for an installed one, which may use any loopback
            address (RFC 8252 section 7.3).
    """

    client_id: str
    secrets: tuple[str, ...] = dataclasses.field(repr=False)
    redirect_uris: tuple[str, ...] = ()

    @property
    def client_secret(self) -> str:
        """The secret that its client file shows: the newest valid one, empty if all are disabled."""
        return self.secrets[0] if self.secrets else ""

    @property
    def kind(self) -> str:
        """The type under which a client file has it."""
        return "web" if self.redirect_uris else "installed"

    def get_client_id(self) -> str:
        """Return the client id."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """Return no address: like Google, the provider wants it named in each request."""
        return ""

    def get_allowed_scope(self, scope: Collection[str] | str) -> str:
        """Return the scopes it may have of those it asks for: all."""
        return scope if isinstance(scope, str) else " ".join(scope or ())

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether the answer to a consent may go to ``redirect_uri``."""
        return redirect_uri in self.redirect_uris if self.redirect_uris else is_loopback(redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        """Tell whether that is a valid secret of it, in constant time."""
        # each is compared, so that the time doesn't tell which one it was
        fitting = [secret for secret in self.secrets if hmac.compare_digest(secret.encode(), client_secret.encode())]
        return bool(fitting)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Tell whether it may authenticate that way: by its secret, never without."""
        return method in {"client_secret_post", "client_secret_basic"}

    def check_response_type(self, response_type: str) -> bool:
        """Tell whether it may ask for that at the authorization endpoint."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether it may use that grant type at the token endpoint."""
        return grant_type in {"authorization_code", "refresh_token"}


def is_loopback(redirect_uri: str) -> bool:
    """Tell whether an address leads to the machine the browser runs on, any port (RFC 8252 section 7.3)."""
    if not _PRINTABLE.fullmatch(redirect_uri):
        return False  # urlsplit would overlook line breaks
    try:
        parts = urlsplit(redirect_uri)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme != "http" or not host or parts.fragment or "@" in parts.netloc:
        return False
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class ClientStore:
    """Where clients are kept."""

    def __init__(self, database: Database) -> None:
        """Keep them in ``database``; the demo's client is made if it isn't there yet."""
        self._database = database
        with database.transaction() as connection:
            if connection.execute("SELECT 1 FROM clients WHERE demo").fetchone() is None:
                client_id, client_secret = new_client()
                connection.execute("INSERT INTO clients VALUES (?, '[]', 1)", (client_id,))
                self._replace_secrets(client_id, (client_secret,))

    def demo(self) -> Client:
        """Return the demo's client."""
        with self._database.transaction() as connection:
            return self._client(connection.execute("SELECT * FROM clients WHERE demo").fetchone())

    def find(self, client_id: str) -> Client | None:
        """Return the client of that id, if there is one."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT * FROM clients WHERE client_id = ?", (client_id,)).fetchone()
            return None if row is None else self._client(row)

    def register(self, client: Client) -> bool:
        """Add a client, or give the one of that id other secrets and addresses; tell whether it is new."""
        with self._database.transaction() as connection:
            new = self.find(client.client_id) is None
            connection.execute(
                "INSERT INTO clients VALUES (?, ?, 0) ON CONFLICT (client_id) DO UPDATE SET"
                " redirect_uris = excluded.redirect_uris",
                (client.client_id, json.dumps(client.redirect_uris)),
            )
            self._replace_secrets(client.client_id, client.secrets)
        return new

    def _replace_secrets(self, client_id: str, secrets: tuple[str, ...]) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM client_secrets WHERE client_id = ?", (client_id,))
            connection.executemany(
                "INSERT INTO client_secrets (client_id, client_secret) VALUES (?, ?)",
                [(client_id, secret) for secret in reversed(secrets)],
            )

    def _client(self, row: sqlite3.Row) -> Client:
        with self._database.transaction() as connection:
            secrets = connection.execute(
                "SELECT client_secret FROM client_secrets WHERE client_id = ? AND enabled ORDER BY secret_id DESC",
                (row["client_id"],),
            ).fetchall()
        valid = tuple(secret["client_secret"] for secret in secrets)
        return Client(row["client_id"], valid, tuple(json.loads(row["redirect_uris"])))
