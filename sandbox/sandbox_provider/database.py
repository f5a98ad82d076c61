"""The one SQLite file that holds everything a restart must keep."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FILE_NAME: Final = "sandbox.sqlite3"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS clients (
    client_id TEXT PRIMARY KEY,
    redirect_uris TEXT NOT NULL,
    demo INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS client_secrets (
    secret_id INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id TEXT NOT NULL REFERENCES clients,
    client_secret TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS grants (
    grant_id INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id TEXT NOT NULL,
    account TEXT NOT NULL,
    scope TEXT NOT NULL,
    offline INTEGER NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    sequence INTEGER NOT NULL DEFAULT 0,
    advanced_at REAL,
    revoked_at REAL,
    revoked_because TEXT,
    refreshed_at REAL,
    displaced_at REAL
);
CREATE TABLE IF NOT EXISTS codes (
    digest TEXT PRIMARY KEY,
    grant_id INTEGER NOT NULL REFERENCES grants,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    code_challenge_method TEXT,
    expires_at REAL NOT NULL,
    used_at REAL,
    nonce TEXT
);
CREATE TABLE IF NOT EXISTS refresh_tokens (
    digest TEXT PRIMARY KEY,
    grant_id INTEGER NOT NULL REFERENCES grants,
    sequence INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS access_tokens (
    digest TEXT PRIMARY KEY,
    grant_id INTEGER NOT NULL REFERENCES grants,
    scope TEXT NOT NULL,
    issued_at REAL NOT NULL,
    expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    event_id TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    starts_at REAL NOT NULL,
    ends_at REAL NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (account, event_id)
);
CREATE TABLE IF NOT EXISTS advances (seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS signing_keys (key_id TEXT PRIMARY KEY, private_key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS faults (
    fault_id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint TEXT NOT NULL,
    body TEXT NOT NULL,
    remaining INTEGER NOT NULL
);
"""

_LATER_COLUMNS: Final = (("grants", "refreshed_at REAL"), ("grants", "displaced_at REAL"), ("codes", "nonce TEXT"))


class Database:
    """One connection, shared by every thread, one transaction at a time.

    A refresh with rotation reads, judges and writes; two of them at the same moment must not both see the old
    state. A sandbox has no load that would want more than one writer, so that is simply serialized.
    """

    def __init__(self, directory: Path) -> None:
        """Open the storage in ``directory``, which is made if it is missing.

        Raises:
            OSError: the directory can't be made.
            sqlite3.OperationalError: the directory can't be written to.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / FILE_NAME
        # secrets of clients are in it: nobody else on the machine has business there
        path.touch(mode=0o600)
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.executescript(_SCHEMA)
        self._bring_up_to_date()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the storage for one piece of work; nested calls join the outermost one.

        It is committed when the block ends and rolled back when it raises.
        """
        with self._lock:
            if self._depth:
                self._depth += 1
                try:
                    yield self._connection
                finally:
                    self._depth -= 1
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth = 0

    def _bring_up_to_date(self) -> None:
        """Give storage that an earlier release made what has been added since."""
        with self.transaction() as connection:
            for table, column in _LATER_COLUMNS:
                if column.split()[0] not in self._columns(table):
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            if "client_secret" in self._columns("clients"):
                connection.execute(
                    "INSERT INTO client_secrets (client_id, client_secret) SELECT client_id, client_secret FROM clients"
                )
                connection.execute("ALTER TABLE clients DROP COLUMN client_secret")

    def _columns(self, table: str) -> set[str]:
        return {row["name"] for row in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}

    def close(self) -> None:
        """Close the file; what was committed is kept."""
        with self._lock:
            self._connection.close()
