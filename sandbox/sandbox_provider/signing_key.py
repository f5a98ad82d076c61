"""The key that id tokens are signed with, and the set in which clients find its public half (RFC 7517)."""

from __future__ import annotations

import json
from typing import Any

from joserfc.jwk import KeySet, RSAKey

from sandbox_provider.database import Database


class SigningKey:
    """An RSA key; it is made when it is first needed, and the same after a restart."""

    def __init__(self, database: Database) -> None:
        """Keep it in ``database``."""
        self._database = database
        self._read: RSAKey | None = None

    def read(self) -> RSAKey:
        """Return the key, private half included."""
        if self._read is not None:
            return self._read  # taking it out of the storage costs 30 ms
        with self._database.transaction() as connection:
            row = connection.execute("SELECT private_key FROM signing_keys").fetchone()
            if row is not None:
                self._read = RSAKey.import_key(json.loads(row["private_key"]))
                return self._read
            # not remembered yet: the transaction around this one may still be rolled back
            key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
            connection.execute(
                "INSERT INTO signing_keys VALUES (?, ?)", (key.kid, json.dumps(key.as_dict(private=True)))
            )
        return key

    def public_set(self) -> dict[str, Any]:
        """Return the key set without anything private."""
        return dict(KeySet([self.read()]).as_dict(private=False))
