"""A sandbox provider for tests: a process of its own on a free loopback port, gone when the test is over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from sandbox_provider.server import listen

CALENDAR_SCOPES: Final = ("https://www.googleapis.com/auth/calendar",)

_START_TIMEOUT: Final = 30.0
_STOP_TIMEOUT: Final = 10.0
_PACKAGE_PARENT: Final = Path(__file__).resolve().parents[1]


class SandboxClient(NamedTuple):
    """The demo's OAuth client."""

    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        """Return a text without the secret, because test runners print arguments."""
        return f"SandboxClient(client_id={self.client_id!r})"


class Sandbox:
    """A running sandbox provider.

    Attributes:
        url: its address, the same after a restart.
        data: the directory of its storage.
    """

    def __init__(self, data: Path) -> None:
        """Start it with its storage in ``data``."""
        self.data = data
        self._log = data.parent / f"{data.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def token_uri(self) -> str:
        """Its token endpoint."""
        return f"{self.url}/token"

    @property
    def revocation_uri(self) -> str:
        """Its revocation endpoint."""
        return f"{self.url}/revoke"

    @property
    def calendar_endpoint(self) -> str:
        """What ``build("calendar", "v3", client_options={"api_endpoint": ...})`` wants."""
        return f"{self.url}/calendar/v3/"

    @property
    def pid(self) -> int:
        """The process, for tests that stop or kill it."""
        if self._process is None:
            raise RuntimeError("the sandbox is not running")
        return self._process.pid

    @property
    def client(self) -> SandboxClient:
        """The demo's client."""
        installed = self.client_secrets()["installed"]
        return SandboxClient(installed["client_id"], installed["client_secret"])

    def client_secrets(self) -> dict[str, Any]:
        """Return the client file that the console offers, as google-auth-oauthlib reads it."""
        return self.call("GET", "/console/client_secret.json")

    def counters(self) -> dict[str, Any]:
        """Return what has been counted."""
        return self.call("GET", "/admin/counters")

    def settings(self, **changes: object) -> dict[str, Any]:
        """Change settings, if any are given, and return those in force."""
        return self.call("PUT", "/admin/settings", changes)

    def fault(self, endpoint: str, kind: str, **parts: object) -> None:
        """Let the next request to ``endpoint`` fail; ``parts``: when, count, retry_after, error, ..."""
        self.call("POST", "/admin/faults", {"endpoint": endpoint, "kind": kind, **parts})

    def clear_faults(self) -> None:
        """Forget all faults and let go of stalled requests."""
        self.call("DELETE", "/admin/faults")

    def register_client(self, client_id: str, client_secret: str, **parts: object) -> None:
        """Add a client, or change the secret of the one of that id."""
        self.call("POST", "/admin/clients", {"client_id": client_id, "client_secret": client_secret, **parts})

    def add_secret(self, client_id: str | None = None, client_secret: str | None = None) -> dict[str, Any]:
        """Give a client, by default the demo's, a second secret; return ``secret_id`` and ``client_secret``."""
        return self.call(
            "POST", self._secrets_of(client_id), {} if client_secret is None else {"client_secret": client_secret}
        )

    def secrets(self, client_id: str | None = None) -> list[dict[str, Any]]:
        """Return ``secret_id`` and ``enabled`` of each secret of a client, by default the demo's; oldest first."""
        found: list[dict[str, Any]] = self.call("GET", self._secrets_of(client_id))["secrets"]
        return found

    def enable_secret(self, secret_id: int, enabled: bool = True, client_id: str | None = None) -> None:
        """Let a secret be valid, or not any more."""
        self.call("PATCH", f"{self._secrets_of(client_id)}/{secret_id}", {"enabled": enabled})

    def remove_secret(self, secret_id: int, client_id: str | None = None) -> None:
        """Forget a secret."""
        self.call("DELETE", f"{self._secrets_of(client_id)}/{secret_id}")

    def advance(self, seconds: float) -> None:
        """Move the provider's time forward, so that what ends by itself need not be waited for."""
        self.call("POST", "/admin/clock", {"advance": seconds})

    def now(self) -> float:
        """Return the Unix time as the provider believes it to be."""
        return float(self.call("GET", "/admin/clock")["now"])

    def revoke_grants(self) -> int:
        """End every grant, as a person who withdraws the access; return how many there were."""
        return int(self.call("DELETE", "/admin/grants")["revoked"])

    def issue_token(
        self,
        scopes: Iterable[str] = CALENDAR_SCOPES,
        *,
        account: str | None = None,
        client_id: str | None = None,
        expires_in: float | None = None,
    ) -> dict[str, Any]:
        """Make a grant and return its document, in the form google-auth writes for an authorized user.

        Args:
            scopes: the granted scopes.
            account: the person; by default the demo's.
            client_id: a registered client; by default the demo's.
            expires_in: seconds until the document calls its access token expired; by default the truth. The
                provider goes on accepting the access token either way.
        """
        asked: dict[str, object] = {"scopes": list(scopes)}
        if account is not None:
            asked["account"] = account
        if client_id is not None:
            asked["client_id"] = client_id
        made = self.call("POST", "/admin/grants", asked)
        life = made["expires_in"] if expires_in is None else expires_in
        expiry = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(seconds=life)
        return {
            "token": made["access_token"],
            "refresh_token": made["refresh_token"],
            "token_uri": self.token_uri,
            "client_id": made["client_id"],
            "client_secret": made["client_secret"],
            "scopes": made["scope"].split(),
            "universe_domain": "googleapis.com",
            "account": made["account"],
            "expiry": f"{expiry.isoformat()}Z",
        }

    def accepts(self, access_token: str) -> bool:
        """Tell whether an access token is valid here."""
        try:
            self.call("GET", "/calendar/v3/users/me/calendarList", token=access_token)
        except HTTPError as error:
            if error.code == 401:
                return False
            raise
        return True

    def events(self, access_token: str) -> list[dict[str, Any]]:
        """Return the events of the calendar that an access token opens."""
        found = self.call("GET", "/calendar/v3/calendars/primary/events?maxResults=2500", token=access_token)
        items: list[dict[str, Any]] = found["items"]
        return items

    def log(self) -> str:
        """Return what it has written to its log so far."""
        return self._log.read_text(encoding="utf-8")

    def start(self) -> None:
        """Start it, on the address it had before if it had one; returns when it answers."""
        listener = listen("127.0.0.1", self._port)
        self._port = listener.getsockname()[1]
        try:
            self._process = self._spawn(listener)
        finally:
            listener.close()
        self._await_health(self._process)

    def stop(self) -> None:
        """Stop it by SIGTERM; its storage stays, its address refuses connections."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it by SIGKILL."""
        self._end(signal.SIGKILL)

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> dict[str, Any]:
        """Send a request and return the JSON of the answer.

        Raises:
            HTTPError: the answer has an error status.
        """
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, headers, method=method)  # noqa: S310 - our own address
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            content = answer.read()
        result: dict[str, Any] = json.loads(content) if content else {}
        return result

    def _secrets_of(self, client_id: str | None) -> str:
        return f"/admin/clients/{quote(client_id or self.client.client_id, safe='')}/secrets"

    def _spawn(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sandbox_provider", "--until-eof"]
        command += ["--fd", str(listener.fileno()), "--data", str(self.data)]
        environment = os.environ | {"PYTHONPATH": str(_PACKAGE_PARENT), "SANDBOX_PUBLIC_URL": self.url}
        with self._log.open("ab") as log:
            # the socket listens already: what is sent before the process is ready waits for it
            return subprocess.Popen(  # noqa: S603 - our own module
                command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log,
                pass_fds=[listener.fileno()],
            )  # fmt: skip

    def _await_health(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self.call("GET", "/healthz")
            except (URLError, OSError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the sandbox did not start: {self.log()}") from error
                time.sleep(0.02)
            else:
                return

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # leaving the block closes its standard input and waits for it
        with process:
            process.send_signal(number)
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextmanager
def running_sandbox(**settings: object) -> Iterator[Sandbox]:
    """Run a sandbox provider with the given settings and a storage of its own.

    Example::

        with running_sandbox(rotation=True, reuse_grace=5) as sandbox:
            document = sandbox.issue_token()
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-") as directory:
        sandbox = Sandbox(Path(directory) / "data")
        try:
            if settings:
                sandbox.settings(**settings)
            yield sandbox
        finally:
            sandbox.stop()
