"""Which redirect a client may use: any loopback port, or, for web clients, a registered one."""

from __future__ import annotations

import dataclasses
import secrets
import urllib.parse
from typing import Final

from token_keeper.consent.address import is_loopback
from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.loopback import HOST
from token_keeper.errors import ConsentError

_DYNAMIC_PORTS: Final = range(49_152, 65_536)
"""Where programs seldom listen (RFC 6335 section 6), so that the answer reaches none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Redirect:
    """Where the receiver listens, on 127.0.0.1.

    Attributes:
        port: the port; 0 is a free one.
        path: the path that the answer comes to.
        registered: what it is called at the provider, to the letter; ``None`` where nothing is registered.
    """

    port: int
    path: str = "/"
    registered: str | None = None

    @classmethod
    def choose(cls, client: ClientSecrets, port: int) -> Redirect:
        """Settle the redirect.

        Args:
            client: the OAuth client; a web client's ``redirect_uris`` bind it (RFC 6749 section 3.1.2.3).
            port: the port the caller wants, 0 for any.

        Raises:
            ConsentError: ``RedirectUriMismatch`` when a web client has no registered loopback redirect that
                fits; found here because the provider would tell it to the browser only.
        """
        if client.kind != "web" or not client.redirect_uris:
            return cls(port)
        for uri in client.redirect_uris:
            redirect = _loopback(uri)
            if redirect is not None and port in {0, redirect.port}:
                return redirect
        raise ConsentError(
            "the web client has no registered redirect to this machine" + (f" with port {port}" if port else ""),
            reason="RedirectUriMismatch",
            remedy=(
                "use a client of type Desktop app, or register "
                f"http://{HOST}:{port or 'PORT'}/ at the provider and download the client's JSON again"
            ),
        )

    def unheard(self) -> str:
        """Return the redirect's address for an answer that is copied from the browser, since nobody listens there."""
        return self.registered or f"http://{HOST}:{self.port or secrets.choice(_DYNAMIC_PORTS)}{self.path}"


def _loopback(uri: str) -> Redirect | None:
    try:
        parts = urllib.parse.urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.query or parts.fragment or not is_loopback(host) or ":" in host or port == 0:
        return None
    # kept to the letter: providers compare redirects as texts (RFC 3986 section 6.2.1)
    return Redirect(80 if port is None else port, parts.path, uri)
