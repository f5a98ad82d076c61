"""The provider of the benchmarks: a token endpoint on loopback, in a process of its own, that answers after a while.

A grant of the rotating kind gives a new refresh token at each exchange, and is ended as a whole when a spent one comes
back (RFC 9700 section 4.14.2): what Auth0, Okta and others do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

LATENCY = 0.25
"""Seconds that an exchange takes, as one with Google does from afar."""

LIFETIME = 3600


class Provider:
    """Grants by refresh token; what is known of them is asked for by HTTP as well."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.current: dict[str, str] = {}
        """Which refresh token of a family is in force, by family; a family that was ended has none."""
        self.family: dict[str, str] = {}
        self.rotating: set[str] = set()

    def grant(self, *, rotating: bool) -> dict[str, Any]:
        family = secrets.token_hex(8)
        if rotating:
            self.rotating.add(family)
        return {"refresh_token": self._issue(family)}

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.exchanges += 1
        token = form.get("refresh_token", "")
        family = self.family.get(token)
        if family is None or not self.is_alive(token):
            if family in self.rotating:
                self.current.pop(family, None)
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        reply = {"access_token": secrets.token_hex(80), "expires_in": LIFETIME, "token_type": "Bearer"}
        if family in self.rotating:
            reply["refresh_token"] = self._issue(family)
        return 200, reply

    def is_alive(self, token: str) -> bool:
        family = self.family.get(token)
        return family is not None and self.current.get(family) == token

    def _issue(self, family: str) -> str:
        token = f"refresh-{secrets.token_hex(40)}"
        self.family[token] = family
        self.current[family] = token
        return token

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; HTTP as far as the benchmarks need it."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                method, target, _ = line.decode().split()
                length = 0
                while (header := await reader.readline()) not in {b"\r\n", b""}:
                    name, _, value = header.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                form = dict(urllib.parse.parse_qsl((await reader.readexactly(length)).decode()))
                if method == "POST":
                    # what comes of it is decided when the request arrives, as with a provider far away
                    status, fields = self.exchange(form)
                    await asyncio.sleep(LATENCY)
                else:
                    status, fields = 200, self.look(target)
                body = json.dumps(fields).encode()
                head = (
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                    "Connection: keep-alive\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    def look(self, target: str) -> dict[str, Any]:
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path == "/grant":
            return self.grant(rotating=query["rotating"] == "True")
        return {"exchanges": self.exchanges, "alive": self.is_alive(query.get("refresh_token", ""))}


class Client:
    """What the benchmark asks the provider beside the exchanges."""

    def __init__(self, address: str) -> None:
        self.address = address

    def grant(self, *, rotating: bool) -> str:
        return str(self._get("grant", rotating=rotating)["refresh_token"])

    def exchanges(self) -> int:
        return int(self._get("counters")["exchanges"])

    def accepts(self, refresh_token: str | None) -> bool:
        return bool(self._get("counters", refresh_token=refresh_token or "")["alive"])

    def _get(self, path: str, **query: Any) -> Any:
        with urllib.request.urlopen(f"{self.address}/{path}?{urllib.parse.urlencode(query)}") as answer:
            return json.load(answer)


@contextlib.contextmanager
def running() -> Iterator[Client]:
    """Run a provider in a process of its own."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    child = os.fork()
    if child == 0:
        asyncio.run(_serve(listening))
        os._exit(0)
    port = listening.getsockname()[1]
    listening.close()
    try:
        yield Client(f"http://127.0.0.1:{port}")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def _serve(listening: socket.socket) -> None:
    server = await asyncio.start_server(Provider().answer, sock=listening)
    await server.serve_forever()
