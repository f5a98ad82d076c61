"""The provider's two endpoints: which they are, and that no secret travels to them in the clear."""

from __future__ import annotations

import dataclasses
import ipaddress
import urllib.parse
from typing import Final

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.errors import ConsentError

GOOGLE_AUTH_URI: Final = "https://accounts.google.com/o/oauth2/v2/auth"
GOOGLE_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
_GOOGLE_ISSUER: Final = "https://accounts.google.com"


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoints:
    """Where to consent and where to exchange.

    Attributes:
        auth_uri: authorization endpoint, as the person's browser reaches it.
        token_uri: token endpoint, as this process reaches it.
        document_token_uri: token endpoint, as the consumers of the document reach it.
        issuer: what ``iss`` must say in the answer when it is there (RFC 9207); ``None`` when nobody knows.
    """

    auth_uri: str
    token_uri: str
    document_token_uri: str
    issuer: str | None

    @classmethod
    def choose(
        cls,
        client: ClientSecrets,
        *,
        auth_uri: str | None = None,
        token_uri: str | None = None,
        document_token_uri: str | None = None,
        issuer: str | None = None,
        allow_http: bool = False,
    ) -> Endpoints:
        """Settle the endpoints: what the caller says, else what the client's file says, else Google's.

        Raises:
            ConsentError: ``EndpointMissing`` when only one of the two is known (the other is then hardly
                Google's), ``EndpointMalformed``, or ``EndpointInsecure``.
        """
        auth = auth_uri or client.auth_uri
        token = token_uri or client.token_uri
        if auth is None and token is None:
            auth, token = GOOGLE_AUTH_URI, GOOGLE_TOKEN_URI
        if auth is None or token is None:
            raise ConsentError(
                f"the provider's {'auth_uri' if auth is None else 'token_uri'} is not known",
                reason="EndpointMissing",
                remedy="name both auth_uri and token_uri; they belong to one provider",
            )
        document = document_token_uri or token
        for name, uri in (("auth_uri", auth), ("token_uri", token), ("the consumers' token_uri", document)):
            _require_sound(name, uri, allow_http=allow_http)
        if issuer:
            _require_sound("issuer", issuer, allow_http=True)
        host = urllib.parse.urlsplit(auth).hostname
        known = _GOOGLE_ISSUER if host == "accounts.google.com" else None
        return cls(auth, token, document, issuer or client.issuer or known)


def _require_sound(name: str, uri: str, *, allow_http: bool) -> None:
    """Refuse what RFC 6749 sections 3.1 and 3.2 refuse: a fragment, and http, save to this machine itself."""
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
