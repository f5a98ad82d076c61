"""The token document: the JSON that google-auth writes for an authorized user, and nothing else.

The format is that of ``google.oauth2.credentials.Credentials.to_json()``, so that unmodified google-auth code
reads and rewrites it. Anything that does not fit into those fields belongs into a side file: google-auth would
erase it on its next rewrite.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import urllib.parse
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from token_keeper.errors import TokenCorrupt
from token_keeper.fingerprint import fingerprint

MAX_BYTES: Final = 65_536
"""More than this is no token document; real ones are about one kilobyte."""

REQUIRED: Final = ("refresh_token", "token_uri", "client_id", "client_secret")
"""Fields without which nobody could renew it."""

_OPTIONAL: Final = ("token", "account", "universe_domain", "rapt_token")
_DEFAULT_UNIVERSE: Final = "googleapis.com"
_REMEDY: Final = "obtain a new one with site.yml, or push a sound one with `token-keeper push`"


@dataclasses.dataclass(frozen=True, slots=True)
class TokenDocument:
    """One authorized user's credentials.

    Attributes:
        token: access token; ``None`` counts as expired.
        refresh_token: refresh token (RFC 6749 section 1.5).
        token_uri: the provider's token endpoint, as the consumers reach it.
        client_id: OAuth client id.
        client_secret: OAuth client secret.
        scopes: scopes that were granted; empty where the document names none.
        expiry: when the access token ends, in UTC; ``None`` counts as expired, as in google-auth.
        account: the account's name, empty where it is not known.
        universe_domain: Google's universe, ``googleapis.com`` by default.
        rapt_token: Google's reauthentication proof token, where one was issued.
    """

    token: str | None = dataclasses.field(repr=False)
    refresh_token: str = dataclasses.field(repr=False)
    token_uri: str
    client_id: str = dataclasses.field(repr=False)
    client_secret: str = dataclasses.field(repr=False)
    scopes: tuple[str, ...] = ()
    expiry: datetime | None = None
    account: str = ""
    universe_domain: str = _DEFAULT_UNIVERSE
    rapt_token: str | None = dataclasses.field(default=None, repr=False)
    # asked for again and again while a writer holds the lock
    _fingerprint: str | None = dataclasses.field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, data: bytes | str, where: str = "the document") -> TokenDocument:
        """Read a document.

        Args:
            data: JSON text; keys that google-auth does not write are ignored.
            where: what to call the document in a message, such as its path.

        Raises:
            TokenCorrupt: it is not JSON, not an object, too large, or a field is missing or of the wrong kind.
                The message names the field and never its value.
        """
        if len(data) > MAX_BYTES:
            raise _corrupt(where, "TooLarge", f"is larger than {MAX_BYTES} bytes")
        if not data.strip():
            raise _corrupt(where, "Empty", "is empty")
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            # the decoder's own message quotes nothing, but its exception holds the whole document
            raise _corrupt(where, "NotJSON", "is not JSON") from None
        if not isinstance(fields, dict):
            raise _corrupt(where, "NotAnObject", "is JSON, but not an object")
        return cls.from_mapping(fields, where)

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any], where: str = "the document") -> TokenDocument:
        """Read a document from decoded JSON; see :meth:`parse`."""
        missing = [name for name in REQUIRED if not fields.get(name)]
        if missing:
            raise _corrupt(where, "FieldMissing", f"lacks {', '.join(missing)}")
        texts: dict[str, str] = {}
        for name in (*REQUIRED, *_OPTIONAL):
            value = fields.get(name)
            if value is None:
                value = ""
            if not (isinstance(value, str) and value.isprintable()):
                raise _corrupt(where, "FieldInvalid", f"has a {name} that is not a line of text")
            texts[name] = value
        fault = _fault_of_address(texts["token_uri"])
        if fault is not None:
            raise _corrupt(where, "FieldInvalid", fault)
        return cls(
            token=texts["token"] or None,
            refresh_token=texts["refresh_token"],
            token_uri=texts["token_uri"],
            client_id=texts["client_id"],
            client_secret=texts["client_secret"],
            scopes=_scopes(fields.get("scopes"), where),
            expiry=_expiry(fields.get("expiry"), where),
            account=texts["account"],
            universe_domain=texts["universe_domain"] or _DEFAULT_UNIVERSE,
            rapt_token=texts["rapt_token"] or None,
        )

    def to_json(self) -> str:
        """Return the document as google-auth writes it: fields without a value are left out."""
        fields: dict[str, object] = {
            "token": self.token,
            "refresh_token": self.refresh_token,
            "token_uri": self.token_uri,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scopes": list(self.scopes) or None,
            "rapt_token": self.rapt_token,
            "universe_domain": self.universe_domain,
            "account": self.account,
        }
        if self.expiry is not None:
            fields["expiry"] = self.expiry.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        return json.dumps({name: value for name, value in fields.items() if value is not None})

    def expires_in(self, now: float) -> float:
        """Return the seconds of life the access token has left at ``now`` (Unix time); negative when it is over."""
        if self.token is None or self.expiry is None:
            return float("-inf")
        return self.expiry.timestamp() - now

    def with_expires_in(self, seconds: float, now: float) -> TokenDocument:
        """Return the document with its expiry told by the receiver's clock, ``seconds`` after ``now`` (Unix time)."""
        return dataclasses.replace(self, expiry=expiry_after(seconds, now))

    def with_secret(self, client_secret: str) -> TokenDocument:
        """Return the document with another secret of its client."""
        return dataclasses.replace(self, client_secret=client_secret)

    def renewed(
        self, *, token: str | None, refresh_token: str | None, scopes: Iterable[str] | None, expiry: datetime | None
    ) -> TokenDocument:
        """Return the document after a refresh; what the provider left out stays (RFC 6749 section 6)."""
        return dataclasses.replace(
            self,
            token=token,
            refresh_token=refresh_token or self.refresh_token,
            scopes=self.scopes if scopes is None else tuple(scopes),
            expiry=expiry,
        )

    @property
    def fingerprint(self) -> str:
        """Fingerprint over the canonical fields: the same for two spellings of one document.

        The expiry counts to the second, because google-auth drops the fraction when it rewrites a document.
        """
        if self._fingerprint is None:
            object.__setattr__(self, "_fingerprint", self._over_canonical_fields())
        return self._fingerprint or ""

    def _over_canonical_fields(self) -> str:
        canonical = [
            self.token,
            self.refresh_token,
            self.token_uri,
            self.client_id,
            self.client_secret,
            sorted(self.scopes),
            int(self.expiry.timestamp()) if self.expiry else None,
            self.account,
            self.universe_domain,
            self.rapt_token,
        ]
        return fingerprint(json.dumps(canonical))

    @property
    def grant_fingerprint(self) -> str:
        """Fingerprint of what the provider judges in a refresh: the client and the refresh token."""
        return fingerprint(json.dumps([self.client_id, self.client_secret, self.refresh_token]))

    @property
    def client_fingerprint(self) -> str:
        """Fingerprint of the client id and secret."""
        return fingerprint(json.dumps([self.client_id, self.client_secret]))


def expiry_after(seconds: float, now: float) -> datetime:
    """Return the UTC time ``seconds`` after ``now`` (Unix time), to the second as google-auth keeps it."""
    return datetime.fromtimestamp(int(now), UTC) + timedelta(seconds=int(seconds))


def _corrupt(where: str, reason: str, what: str) -> TokenCorrupt:
    return TokenCorrupt(f"{where} {what}", reason=reason, remedy=_REMEDY)


@functools.lru_cache(maxsize=32)
def _fault_of_address(token_uri: str) -> str | None:
    """Return what is wrong with an address; a process meets few of them, and each at every reading of its document."""
    try:
        parts = urllib.parse.urlsplit(token_uri)
        named = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket that is not closed, a port that is no number
        named = False
    if not named or " " in token_uri:
        return "has a token_uri that is not an http(s) address"
    if parts.username is not None or parts.password is not None:
        # the address is shown as it is, in status and in messages
        return "has a token_uri with a user name or a password in it"
    return None


def _scopes(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list) or not all(isinstance(s, str) and s and s.isprintable() for s in value):
        raise _corrupt(where, "FieldInvalid", "has scopes that are not a list of texts")
    return tuple(value)


def parse_expiry(text: str) -> datetime:
    """Read an expiry as google-auth and other tools write it, to the second.

    google-auth writes naive UTC with a Z behind it; some tools leave the Z out. It drops the fraction itself when it
    reads a document.

    Raises:
        ValueError, TypeError, OverflowError: it is not an ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(microsecond=0)


def _expiry(value: object, where: str) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_expiry(value if isinstance(value, str) else "")
    except (ValueError, OverflowError):
        raise _corrupt(where, "FieldInvalid", "has an expiry that is not an ISO 8601 time") from None
