"""The ways of sharing one token among processes: this store, and what others do.

Each way keeps the same document in a file, is used by long-lived processes, and is written as its own documentation
or the code found most often has it. Where the way brings no HTTP client of its own, google-auth makes the exchange.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Document = dict[str, Any]
"""A document as google-auth writes it."""

SCOPE = "https://www.googleapis.com/auth/calendar"
_SOON = 60.0


class Way:
    """A way of sharing.

    Attributes:
        name: what the way is called on the command line and in the results.
        label: what it is called in the table.
    """

    name: str
    label: str

    def load(self) -> None:
        """Import what the way needs; raises ``ImportError`` where it is not installed."""

    def put(self, path: Path, document: Document, *, rotating: bool) -> None:
        """Put a document there, while nobody uses it."""
        del rotating
        temporary = path.with_name("put")
        temporary.write_text(json.dumps(document))
        temporary.replace(path)

    def worker(self, path: Path) -> Callable[[], str]:
        """Return what a process calls whenever it needs an access token."""
        raise NotImplementedError

    def refresh_token(self, path: Path) -> str | None:
        """Return the refresh token on disk; ``None`` where there is none that can be read."""
        try:
            return str(self.decode(path.read_bytes())["refresh_token"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def decode(self, data: bytes) -> Document:
        """Return the document that the file's bytes are; raises ``ValueError`` or ``KeyError`` where they are none."""
        document: Document = json.loads(data)
        for name in ("token", "refresh_token", "token_uri", "client_id", "client_secret"):
            if not document[name]:
                raise ValueError(name)
        return document


class Store(Way):
    name = "store"
    label = "token-keeper"

    def load(self) -> None:
        from token_keeper import exchange, writer  # noqa: F401 - all a worker needs, as after its first renewal

        exchange.prepare()

    def put(self, path: Path, document: Document, *, rotating: bool) -> None:
        from token_keeper import TokenDocument, TokenStore

        TokenStore(path).replace(
            TokenDocument.parse(json.dumps(document)), force=True, rotation="yes" if rotating else "no"
        )

    def worker(self, path: Path) -> Callable[[], str]:
        from token_keeper import TokenStore

        return TokenStore(path).access_token


class _GoogleAuth(Way):
    """What has google-auth make the exchange."""

    def load(self) -> None:
        import google.auth.transport.requests
        import google.oauth2.credentials  # noqa: F401

    @staticmethod
    def credentials(path: Path) -> Any:
        """Read the file. ``from_authorized_user_file`` would put Google's address in the place of the provider's."""
        import google.oauth2.credentials

        fields = json.loads(path.read_text())
        return google.oauth2.credentials.Credentials(
            token=fields["token"],
            refresh_token=fields["refresh_token"],
            token_uri=fields["token_uri"],
            client_id=fields["client_id"],
            client_secret=fields["client_secret"],
            scopes=fields["scopes"],
            expiry=datetime.fromisoformat(fields["expiry"]).replace(tzinfo=None),
        )

    @staticmethod
    def renew(credentials: Any) -> None:
        from google.auth.transport.requests import Request

        credentials.refresh(Request())


class Quickstart(_GoogleAuth):
    """As in Google's quickstart for Python: no lock, the file is written in place."""

    name = "google-auth"
    label = "google-auth"

    def worker(self, path: Path) -> Callable[[], str]:
        def token() -> str:
            credentials = self.credentials(path)
            if not credentials.valid:
                self.renew(credentials)
                path.write_text(credentials.to_json())
            return str(credentials.token)

        return token


class FixedName(_GoogleAuth):
    """A temporary file of one name, renamed onto the document; no lock."""

    name = "fixed-name"
    label = "fixed temp name"

    def worker(self, path: Path) -> Callable[[], str]:
        def token() -> str:
            credentials = self.credentials(path)
            if not credentials.valid:
                self.renew(credentials)
                temporary = path.with_suffix(".tmp")
                temporary.write_text(credentials.to_json())
                temporary.replace(path)
            return str(credentials.token)

        return token


class _DoubleCheck(_GoogleAuth):
    """A lock, and a second look under it."""

    def locked(self, path: Path) -> Any:
        """Return the lock, a context manager."""
        raise NotImplementedError

    def write(self, path: Path, text: str) -> None:
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        temporary.write_text(text)
        temporary.replace(path)

    def worker(self, path: Path) -> Callable[[], str]:
        lock = self.locked(path)

        def token() -> str:
            credentials = self.credentials(path)
            if credentials.valid:
                return str(credentials.token)
            with lock:
                credentials = self.credentials(path)
                if not credentials.valid:
                    self.renew(credentials)
                    self.write(path, credentials.to_json())
            return str(credentials.token)

        return token


class FileLock(_DoubleCheck):
    name = "filelock"
    label = "filelock"

    def load(self) -> None:
        super().load()
        import filelock  # noqa: F401

    def locked(self, path: Path) -> Any:
        import filelock

        return filelock.FileLock(f"{path}.lock")


class MsalExtensions(_DoubleCheck):
    """The persistence and the lock that msal's token cache is made of, with our document in them."""

    name = "msal-extensions"
    label = "msal-extensions"

    def load(self) -> None:
        super().load()
        import msal_extensions  # noqa: F401

    def locked(self, path: Path) -> Any:
        import msal_extensions

        return msal_extensions.CrossPlatLock(f"{path}.lockfile")

    def write(self, path: Path, text: str) -> None:
        import msal_extensions

        msal_extensions.FilePersistence(str(path)).save(text)


class RedisLock(_DoubleCheck):
    name = "redis-lock"
    label = "Redis lock"

    def load(self) -> None:
        super().load()
        import redis

        redis.Redis(unix_socket_path=os.environ["BENCH_REDIS"]).ping()

    def locked(self, path: Path) -> Any:
        import redis

        return redis.Redis(unix_socket_path=os.environ["BENCH_REDIS"]).lock(f"lock:{path}", timeout=60)


class MultiprocessFile(Way):
    """oauth2client's own storage for several processes, which exchanges by itself and with httplib2."""

    name = "oauth2client"
    label = "oauth2client"

    _KEY = "shared"

    def load(self) -> None:
        import httplib2  # noqa: F401
        from oauth2client.contrib import multiprocess_file_storage  # noqa: F401

        logging.getLogger("oauth2client").setLevel(logging.ERROR)

    def put(self, path: Path, document: Document, *, rotating: bool) -> None:
        from oauth2client.client import OAuth2Credentials

        expiry = datetime.fromisoformat(document["expiry"]).replace(tzinfo=None)
        credentials = OAuth2Credentials(
            document["token"],
            document["client_id"],
            document["client_secret"],
            document["refresh_token"],
            expiry,
            document["token_uri"],
            "bench",
            scopes=document["scopes"],
        )
        self._storage(path).put(credentials)

    def worker(self, path: Path) -> Callable[[], str]:
        import httplib2

        storage = self._storage(path)

        def token() -> str:
            return str(storage.get().get_access_token(httplib2.Http()).access_token)

        return token

    def decode(self, data: bytes) -> Document:
        document = json.loads(base64.b64decode(json.loads(data)["credentials"][self._KEY]))
        return {**document, "token": document["access_token"]}

    def _storage(self, path: Path) -> Any:
        from oauth2client.contrib.multiprocess_file_storage import MultiprocessFileStorage

        return MultiprocessFileStorage(str(path), self._KEY)


WAYS: dict[str, Way] = {
    way.name: way
    for way in (
        Store(),
        Quickstart(),
        FixedName(),
        MsalExtensions(),
        MultiprocessFile(),
        FileLock(),
        RedisLock(),
    )
}


def expired_document(address: str, refresh_token: str) -> Document:
    """Return a document whose access token is over."""
    return {
        "token": f"access-{secrets.token_hex(80)}",
        "refresh_token": refresh_token,
        "token_uri": f"{address}/token",
        "client_id": "client-1234567890.apps.example.test",
        "client_secret": secrets.token_hex(12),
        "scopes": [SCOPE],
        "universe_domain": "googleapis.com",
        "account": "",
        "expiry": datetime.fromtimestamp(int(time.time() - _SOON), UTC).replace(tzinfo=None).isoformat() + "Z",
    }
