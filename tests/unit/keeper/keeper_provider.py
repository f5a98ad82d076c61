"""A token endpoint of the tests' own: it counts, rotates, revokes families, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import http.server
import json
import secrets
import socket
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Iterator
from typing import Any

from token_keeper import TokenDocument
from token_keeper.document import expiry_after


class Provider:
    """A provider with one client.

    Attributes:
        extra: more fields of each answer, or, by ``said`` in the script, the error itself.
        more_secrets: secrets of the client that are accepted beside its first one.
        gets: path and headers of every GET.
        revoked: refresh tokens that were revoked, in the order in which that was asked for.
        script: what happens to the next requests, one entry each; see :meth:`_Handler.do_POST`.
        forms: every request that came, as it came.
        exchanges: refreshes that were carried out, whether or not the reply arrived.
    """

    def __init__(
        self, *, rotation: bool = False, grace: float = 0.0, latency: float = 0.0, lifetime: float = 3600
    ) -> None:
        self.rotation, self.grace, self.latency, self.lifetime = rotation, grace, latency, lifetime
        self.script: deque[str] = deque()
        self.extra: dict[str, Any] = {}
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.exchanges = 0
        self.live: set[str] = set()
        self.spent: dict[str, float] = {}
        self.access_tokens: set[str] = set()
        self.client = (f"client-{secrets.token_hex(6)}", f"client-secret-{secrets.token_hex(16)}")
        self.more_secrets: set[str] = set()
        self.gets: list[tuple[str, dict[str, str]]] = []
        self.revoked: list[str] = []
        self._mutex = threading.Lock()
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def revocation_uri(self) -> str:
        return f"{self.url}/revoke"

    @property
    def token_uri(self) -> str:
        return f"{self.url}/token"

    def grant(self, *, expires_in: float = 3600) -> TokenDocument:
        """Consent anew: a document as a consent would bring it."""
        refresh, access = f"refresh-{secrets.token_hex(16)}", f"access-{secrets.token_hex(16)}"
        self.live.add(refresh)
        self.access_tokens.add(access)
        return TokenDocument(
            token=access,
            refresh_token=refresh,
            token_uri=self.token_uri,
            client_id=self.client[0],
            client_secret=self.client[1],
            scopes=("https://www.googleapis.com/auth/calendar",),
            expiry=expiry_after(expires_in, time.time()),
            account="person@example.test",
        )

    def renew(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Carry a refresh out, as RFC 6749 and the OAuth 2.0 Security BCP (reuse ends the family) have it."""
        with self._mutex:
            refresh = form.get("refresh_token", "")
            if form.get("client_id") != self.client[0] or form.get("client_secret") not in self._secrets():
                return 401, {"error": "invalid_client", "error_description": "Unauthorized"}
            if refresh in self.spent:
                if time.time() - self.spent[refresh] > self.grace:
                    self.live.clear()
                    return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
            elif refresh not in self.live:
                return 400, {"error": "invalid_grant", "error_description": "Bad Request"}
            self.exchanges += 1
            access = f"access-{secrets.token_hex(16)}"
            self.access_tokens.add(access)
            answer: dict[str, Any] = {"access_token": access, "expires_in": self.lifetime, "token_type": "Bearer"}
            if self.rotation:
                self.live.discard(refresh)
                self.spent.setdefault(refresh, time.time())
                answer["refresh_token"] = f"refresh-{secrets.token_hex(16)}"
                self.live.add(answer["refresh_token"])
            return 200, answer | self.extra

    def _secrets(self) -> set[str]:
        return {self.client[1], *self.more_secrets}

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    provider: Provider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the clients of these tests die, hang up and time out on purpose."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        provider = self.server.provider
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = dict(urllib.parse.parse_qsl(body.decode()))
        provider.forms.append(form)
        provider.headers.append(dict(self.headers))
        kind = provider.script.popleft() if provider.script else "ok"
        if provider.latency:
            time.sleep(provider.latency)
        if kind == "ok" and self.path == "/revoke":
            provider.live.discard(form["token"])
            provider.revoked.append(form["token"])
            self._answer(200, {})
            return
        if kind == "ok" and self.path == "/tokeninfo":
            good = form.get("access_token") in provider.access_tokens
            self._answer(200 if good else 400, {} if good else {"error": "invalid_token"})
            return
        getattr(self, f"_{kind}")(provider, form)

    def do_GET(self) -> None:
        self.server.provider.gets.append((self.path, dict(self.headers)))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        good = token in self.server.provider.access_tokens
        if self.path == "/forbidden":
            error = {"code": 403, "status": "PERMISSION_DENIED", "message": f"the API is off for {token}"}
            self._answer(403, {"error": error})
        elif self.path == "/broken":
            self._answer(500, {})
        else:
            self._answer(200 if good else 401, {"items": []} if good else {"error": {"code": 401, "message": "no"}})

    def _ok(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(*provider.renew(form))

    def _fault(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(500, {"error": "server_error"})

    def _fault_after(self, provider: Provider, form: dict[str, str]) -> None:
        provider.renew(form)
        self._answer(500, {"error": "server_error"})

    def _busy(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(429, {"error": "rate_limit_exceeded"}, {"Retry-After": "120"})

    def _busy_date(self, provider: Provider, form: dict[str, str]) -> None:
        until = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 90))
        self._answer(503, {}, {"Retry-After": until})

    def _busy_junk(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(503, {}, {"Retry-After": "\u00b2 soon"})

    def _stall(self, provider: Provider, form: dict[str, str]) -> None:
        provider.released.wait(30)
        self.close_connection = True

    def _stall_after(self, provider: Provider, form: dict[str, str]) -> None:
        answer = provider.renew(form)
        provider.released.wait(30)
        with contextlib.suppress(OSError):
            self._answer(*answer)

    def _drop(self, provider: Provider, form: dict[str, str]) -> None:
        self._hang_up()

    def _drop_after(self, provider: Provider, form: dict[str, str]) -> None:
        provider.renew(form)
        self._hang_up()

    def _half(self, provider: Provider, form: dict[str, str]) -> None:
        data = json.dumps(provider.renew(form)[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self._hang_up()

    def _trickle(self, provider: Provider, form: dict[str, str]) -> None:
        data = json.dumps(provider.renew(form)[1]).encode().ljust(250)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if provider.released.wait(0.004):
                    break

    def _endless(self, provider: Provider, form: dict[str, str]) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            for _ in range(40):
                self.wfile.write(b" " * 65_536)

    def _html(self, provider: Provider, form: dict[str, str]) -> None:
        self._raw(200, b"<html>welcome to the hotel's network</html>", "text/html")

    def _html_502(self, provider: Provider, form: dict[str, str]) -> None:
        self._raw(502, b"<html>Bad Gateway</html>", "text/html")

    def _bad_json(self, provider: Provider, form: dict[str, str]) -> None:
        self._raw(200, b'{"access_token": "abc', "application/json")

    def _array(self, provider: Provider, form: dict[str, str]) -> None:
        self._raw(200, b"[1, 2]", "application/json")

    def _no_token(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(200, {"expires_in": 3600})

    def _redirect(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(307, {}, {"Location": f"{provider.url}/elsewhere"})

    def _created(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(201, provider.renew(form)[1])

    def _invalid_grant(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})

    def _echo(self, provider: Provider, form: dict[str, str]) -> None:
        said = f"no such token {form['refresh_token']} for {form['client_secret']}"
        self._answer(400, {"error": "invalid_grant", "error_description": said})

    def _policy(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(400, {"error": "admin_policy_enforced"})

    def _rapt(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(400, {"error": "invalid_grant", "error_subtype": "invalid_rapt"})

    def _odd_code(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(400, {"error": "no such/thing!"})

    def _said(self, provider: Provider, form: dict[str, str]) -> None:
        self._answer(400, provider.extra)

    def _answer(self, status: int, fields: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._raw(status, json.dumps(fields).encode(), "application/json", headers)

    def _raw(self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@contextlib.contextmanager
def running_provider(**options: Any) -> Iterator[Provider]:
    provider = Provider(**options)
    try:
        yield provider
    finally:
        provider.close()
