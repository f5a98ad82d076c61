"""What a provider tells of itself: OpenID Connect Discovery 1.0, or the metadata of RFC 8414."""

from __future__ import annotations

import dataclasses
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from token_keeper.address import DEADLINE
from token_keeper.consent.address import require_sound
from token_keeper.consent.fetching import FetchFailed, fetch_json
from token_keeper.errors import ConsentError

_OPENID: Final = "/.well-known/openid-configuration"
_OAUTH: Final = "/.well-known/oauth-authorization-server"
_BY_HAND: Final = "or name auth_uri and token_uri instead"


@dataclasses.dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says of itself.

    Attributes:
        issuer: its issuer identifier.
        auth_uri: authorization endpoint.
        token_uri: token endpoint.
        revocation_uri: revocation endpoint (RFC 7009), if it has one.
        userinfo_uri: OpenID Connect's user information, if it has that.
        issuer_in_answers: whether each answer at the redirect names the issuer (RFC 9207 section 3).
        is_openid: whether it is an OpenID Connect provider, which knows the scope ``openid``.
        scopes: the scopes that it names; a provider need not name any.
    """

    issuer: str
    auth_uri: str
    token_uri: str
    revocation_uri: str | None = None
    userinfo_uri: str | None = None
    issuer_in_answers: bool = False
    is_openid: bool = False
    scopes: tuple[str, ...] = ()


def discover(issuer: str, *, allow_http: bool = False, deadline: float = DEADLINE) -> Metadata:
    """Ask a provider for its endpoints.

    The OpenID Connect document is asked for first, then that of RFC 8414; a provider that has either will do.

    Args:
        issuer: the issuer identifier; https, unless it is this machine.
        allow_http: allow http to other machines.
        deadline: seconds for all of it.

    Raises:
        ConsentError: ``EndpointMalformed`` or ``EndpointInsecure`` (the issuer or an endpoint), ``DiscoveryFailed``
            (there is no document), ``DiscoveryMalformed``, ``IssuerMismatch`` (the document is another issuer's).
    """
    require_sound("issuer", issuer, allow_http=allow_http)
    if urllib.parse.urlsplit(issuer).query:
        raise ConsentError(
            "issuer has a query, which an issuer identifier never has (RFC 8414 section 2)",
            reason="EndpointMalformed",
            remedy="give the issuer as the provider writes it, such as https://login.example.com",
        )
    end, tried = time.monotonic() + deadline, []
    for address in well_known(issuer):
        try:
            status, fields = fetch_json(address, deadline=max(end - time.monotonic(), 0.0))
        except FetchFailed as error:
            tried.append(f"{address} {error}")
            break
        if status == 200:
            return _judged(fields, issuer, address, allow_http=allow_http)
        tried.append(f"{address} answered {status}")
    raise ConsentError(
        f"the issuer tells nobody its endpoints: {'; '.join(tried)}",
        reason="DiscoveryFailed",
        remedy=f"check the issuer, to the letter, and this machine's way to it (DNS, proxy, certificates), {_BY_HAND}",
    )


def well_known(issuer: str) -> list[str]:
    """Return where an issuer's documents may be, the likeliest first.

    OpenID Connect Discovery section 4 puts its path behind the issuer's, RFC 8414 section 3.1 between host and path;
    and section 5 has the first document at a place of the second kind too.
    """
    parts = urllib.parse.urlsplit(issuer)
    path = parts.path.rstrip("/")
    places = [path + _OPENID, _OAUTH + path, _OPENID + path]
    return [urllib.parse.urlunsplit((parts.scheme, parts.netloc, place, "", "")) for place in dict.fromkeys(places)]


def _judged(fields: Any, issuer: str, address: str, *, allow_http: bool) -> Metadata:
    if not isinstance(fields, Mapping):
        raise _malformed(address, "is not a JSON object")
    named = fields.get("issuer")
    if not isinstance(named, str):
        raise _malformed(address, "has no issuer")
    if named != issuer:
        # RFC 8414 section 3.3: else anybody who can put a file on a host could speak for another one
        shown = named if named.isascii() and named.isprintable() and len(named) <= 200 else "another one"
        raise ConsentError(
            f"issuer mismatch: {address} speaks for {shown}, not for {issuer}",
            reason="IssuerMismatch",
            remedy=f"give the issuer of the provider you mean to the letter (a slash at the end counts), {_BY_HAND}",
        )
    found: dict[str, str | None] = {}
    for key, required in (
        ("authorization_endpoint", True),
        ("token_endpoint", True),
        ("revocation_endpoint", False),
        ("userinfo_endpoint", False),
    ):
        value = fields.get(key)
        if value is not None and not isinstance(value, str):
            raise _malformed(address, f"has a {key} that is not a text")
        if value:
            require_sound(f"{key} of {address}", value, allow_http=allow_http)
        elif required:
            raise _malformed(address, f"has no {key}")
        found[key] = value or None
    scopes = fields.get("scopes_supported")
    return Metadata(
        issuer=issuer,
        auth_uri=str(found["authorization_endpoint"]),
        token_uri=str(found["token_endpoint"]),
        revocation_uri=found["revocation_endpoint"],
        userinfo_uri=found["userinfo_endpoint"],
        issuer_in_answers=fields.get("authorization_response_iss_parameter_supported") is True,
        is_openid=_OPENID in address or bool(found["userinfo_endpoint"]),
        scopes=tuple(scope for scope in scopes if isinstance(scope, str)) if isinstance(scopes, list) else (),
    )


def _malformed(address: str, what: str) -> ConsentError:
    return ConsentError(
        f"the provider's metadata at {address} {what}",
        reason="DiscoveryMalformed",
        remedy=f"check that the issuer is an OAuth 2.0 or OpenID Connect provider, {_BY_HAND}",
    )
