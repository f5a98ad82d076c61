"""The provider, as far as a consent needs it: its endpoints, its names, and how it has to be asked."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from token_keeper.address import DEADLINE
from token_keeper.consent.address import require_sound
from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.discovery import Metadata, discover
from token_keeper.errors import ConsentError
from token_keeper.provider import AccountSource, Profile, profile_at

_OPENID: Final = ("openid", "email")
_TELL_OF_ACCOUNTS: Final[tuple[AccountSource, ...]] = ("id_token", "userinfo")


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoints:
    """Where to consent and where to exchange.

    Attributes:
        auth_uri: authorization endpoint, as the person's browser reaches it.
        token_uri: token endpoint, as this process reaches it.
        document_token_uri: token endpoint, as the consumers of the document reach it.
        issuer: what ``iss`` must say in the answer when it is there (RFC 9207); ``None`` when nobody knows.
        issuer_aliases: other names of the issuer in id tokens.
        issuer_in_answers: whether an answer without ``iss`` is refused (RFC 9207 section 2.4).
        parameters: what the provider has to be asked with, beside what the protocol wants.
        account_sources: what tells the account, the best first.
        account_scopes: scopes to ask for so that it does; none where the provider is not known to have them.
        userinfo_uri: OpenID Connect's user information, ``None`` where it is not known.
        tokeninfo_uri: Google's token information, ``None`` likewise.
        revocation_uri: revocation endpoint, ``None`` likewise.
    """

    auth_uri: str
    token_uri: str
    document_token_uri: str
    issuer: str | None
    issuer_aliases: tuple[str, ...] = ()
    issuer_in_answers: bool = False
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    account_sources: tuple[AccountSource, ...] = ()
    account_scopes: tuple[str, ...] = ()
    userinfo_uri: str | None = None
    tokeninfo_uri: str | None = None
    revocation_uri: str | None = None

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
        profile: Profile | None = None,
        metadata: Metadata | None = None,
    ) -> Endpoints:
        """Settle the endpoints, without asking anybody.

        The two endpoints are what the caller says, else what the provider's metadata say, else what the client's file
        says, else the profile's; without a profile Google's.

        Args:
            client: the OAuth client.
            auth_uri: authorization endpoint.
            token_uri: token endpoint.
            document_token_uri: token endpoint for the document, if consumers reach it by another address.
            issuer: the provider's issuer identifier.
            allow_http: allow endpoints without TLS on other hosts than this one.
            profile: how the provider behaves; by default what is known of the token endpoint's host.
            metadata: what the provider says of itself.

        Raises:
            ConsentError: ``EndpointMissing`` when only one of the two is known (the other is then hardly
                Google's), ``EndpointMalformed``, or ``EndpointInsecure``: the profile's others are judged as well.
        """
        auth = auth_uri or (metadata.auth_uri if metadata else None) or client.auth_uri
        token = token_uri or (metadata.token_uri if metadata else None) or client.token_uri
        fallback = profile
        if profile is None and auth is None and token is None:
            fallback = Profile.load("google")
        if fallback is not None:
            auth = auth or fallback.endpoints.get("authorization")
            token = token or fallback.endpoints.get("token")
        if auth is None or token is None:
            missing = [name for name, uri in (("auth_uri", auth), ("token_uri", token)) if uri is None]
            raise ConsentError(
                f"the provider's {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not known",
                reason="EndpointMissing",
                remedy="name both auth_uri and token_uri, which belong to one provider, or that provider's issuer",
            )
        document = document_token_uri or token
        for name, uri in (("auth_uri", auth), ("token_uri", token), ("the consumers' token_uri", document)):
            require_sound(name, uri, allow_http=allow_http)
        if issuer:
            require_sound("issuer", issuer, allow_http=True)
        known = profile or profile_at(token)
        # a server that only behaves as the profile says is not asked at the profile's addresses: they get the token
        there = known.endpoints if known.is_at(token) else {}
        for key in ("userinfo", "tokeninfo", "revocation"):
            if key in there:
                require_sound(f"endpoints.{key} of the profile", there[key], allow_http=allow_http)
        return cls(
            auth,
            token,
            document,
            issuer or (metadata.issuer if metadata else None) or client.issuer or _issuer_of(known, auth),
            issuer_aliases=known.issuer_aliases,
            issuer_in_answers=metadata.issuer_in_answers if metadata else known.issuer_in_answers,
            parameters=dict(known.authorization_parameters),
            account_sources=known.account_sources or (_TELL_OF_ACCOUNTS if metadata and metadata.is_openid else ()),
            account_scopes=known.account_scopes or (_OPENID if metadata and metadata.is_openid else ()),
            userinfo_uri=(metadata.userinfo_uri if metadata else None) or there.get("userinfo"),
            tokeninfo_uri=there.get("tokeninfo"),
            revocation_uri=(metadata.revocation_uri if metadata else None) or there.get("revocation"),
        )

    @classmethod
    def find(
        cls,
        client: ClientSecrets,
        *,
        provider: str | Mapping[str, Any] | None = None,
        auth_uri: str | None = None,
        token_uri: str | None = None,
        document_token_uri: str | None = None,
        issuer: str | None = None,
        allow_http: bool = False,
        deadline: float = DEADLINE,
    ) -> Endpoints:
        """Settle the endpoints as :meth:`choose` does, and ask the provider for what nobody has named.

        It is asked if its issuer is known and an endpoint is not named by the caller, and either ``provider`` is a
        profile without endpoints (``generic``), or there is neither a profile nor an endpoint in the client's file.

        Args:
            client: the OAuth client.
            provider: a profile, see :meth:`token_keeper.provider.Profile.load`; ``None`` tells it by the endpoints.
            auth_uri: see :meth:`choose`, and so on.
            token_uri: likewise.
            document_token_uri: likewise.
            issuer: likewise.
            allow_http: likewise.
            deadline: seconds for the question.

        Raises:
            ConsentError: as :meth:`choose`, :meth:`Profile.load` and :func:`token_keeper.consent.discovery.discover`.
        """
        profile = None if provider is None else Profile.load(provider)
        named = issuer or client.issuer or (profile.issuer if profile else None)
        if profile is None:
            unknown = issuer is not None and not (client.auth_uri or client.token_uri or auth_uri or token_uri)
        else:
            unknown = not {"authorization", "token"} <= profile.endpoints.keys() and not (auth_uri and token_uri)
        metadata = None
        if unknown and named:
            metadata = discover(named, allow_http=allow_http, deadline=deadline)
            if profile is None and not profile_at(metadata.token_uri).hosts:
                profile = Profile.load("generic")
        return cls.choose(
            client,
            auth_uri=auth_uri,
            token_uri=token_uri,
            document_token_uri=document_token_uri,
            issuer=issuer,
            allow_http=allow_http,
            profile=profile,
            metadata=metadata,
        )


def _issuer_of(profile: Profile, auth_uri: str) -> str | None:
    """Return the profile's issuer, unless the endpoint is another server's that only behaves as the profile says."""
    own = profile.endpoints.get("authorization")
    hosts = {urllib.parse.urlsplit(uri).hostname for uri in (own, auth_uri) if uri}
    return profile.issuer if len(hosts) == 1 else None
