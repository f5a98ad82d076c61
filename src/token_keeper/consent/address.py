"""Addresses that secrets may travel to."""

from __future__ import annotations

import ipaddress
import urllib.parse

from token_keeper.errors import ConsentError


def require_sound(name: str, uri: str, *, allow_http: bool) -> None:
    """Refuse what RFC 6749 sections 3.1 and 3.2 refuse: a fragment, and http, save to this machine itself.

    Args:
        name: what to call the address in a message.
        uri: the address.
        allow_http: allow http to other machines as well.

    Raises:
        ConsentError: ``EndpointMalformed`` or ``EndpointInsecure``.
    """
    try:
        parts = urllib.parse.urlsplit(uri)
        host, _ = parts.hostname, parts.port  # both are parsed, and may fail, only when asked for
    except ValueError:
        host = None
    if (
        not host
        or parts.scheme not in {"http", "https"}
        or parts.fragment
        or "@" in parts.netloc
        or not (uri.isascii() and uri.isprintable())
        or " " in uri
    ):
        raise ConsentError(
            f"{name} is not an address that can be used",
            reason="EndpointMalformed",
            remedy="give an https:// address with a host and without user, password or fragment",
        )
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConsentError(
            f"{name} is http://{host}, where a code, a token and the client secret would be sent unencrypted "
            "(RFC 6749 section 3.2)",
            reason="EndpointInsecure",
            remedy="use https://; only for a provider on a network that nobody else can read, set allow_http",
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine; names below localhost may be asked of a name server."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
