"""The OAuth client, read from the JSON file that a provider's console offers for download."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from token_keeper.errors import ConsentError

Kind = Literal["installed", "web"]

_WHERE_TO_GET_ONE: Final = (
    "download the OAuth client's JSON from the provider's console (Google: APIs & Services, Credentials, "
    "an OAuth client ID of type Desktop app)"
)
_OTHER_KINDS: Final = {
    "service_account": "a service account's key, which has no person to consent",
    "authorized_user": "a token document, which is the result of a consent and not its client",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ClientSecrets:
    """An OAuth client (RFC 6749 section 2.3.1) and where its provider is.

    Attributes:
        client_id: OAuth client id.
        client_secret: OAuth client secret.
        auth_uri: authorization endpoint, or ``None`` where the file does not name one.
        token_uri: token endpoint, or ``None`` where the file does not name one.
        kind: ``installed`` may use any loopback port (RFC 8252 section 7.3), ``web`` only what is registered.
        redirect_uris: the redirects registered for the client, as far as the file names them.
        issuer: the provider's issuer identifier (RFC 8414), where the file names one.
    """

    client_id: str
    client_secret: str = dataclasses.field(repr=False)
    auth_uri: str | None = None
    token_uri: str | None = None
    kind: Kind = "installed"
    redirect_uris: tuple[str, ...] = ()
    issuer: str | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any] | str | bytes | None, where: str) -> ClientSecrets:
        """Read Google's ``client_secret.json``: wrapped in ``installed`` or ``web``, or the bare fields.

        Args:
            data: the JSON text, or what it decodes to.
            where: what to call it in a message, such as its path or the variable's name.

        Raises:
            ConsentError: ``ClientSecretsMissing`` when there is nothing, ``ClientSecretsMalformed`` when it is
                something else. The message names fields and never their values.
        """
        if not data or (isinstance(data, (str, bytes)) and not data.strip()):
            raise ConsentError(
                f"{where}: there are no client secrets",
                reason="ClientSecretsMissing",
                remedy=f"{_WHERE_TO_GET_ONE}, and keep it encrypted with ansible-vault",
            )
        return _from_fields(*_unwrapped(_decoded(data, where), where), where)


def _decoded(data: Mapping[str, Any] | str | bytes, where: str) -> Mapping[str, Any]:
    fields: Any = data
    if isinstance(data, (str, bytes)):
        text = (data if isinstance(data, str) else _text(data, where)).removeprefix("\ufeff")
        if text.startswith("$ANSIBLE_VAULT;"):
            raise _malformed(where, "are still encrypted", "give the vault password")
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            # the decoder's exception holds the whole text, secret included
            raise _malformed(where, "are not JSON") from None
    if not isinstance(fields, Mapping):
        raise _malformed(where, "are not a JSON object")
    return fields


def _text(data: bytes, where: str) -> str:
    """Decode JSON as editors write it: UTF-8, -16 or -32, with a byte order mark or without."""
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeError:
        # the decoder's exception holds the bytes, secret included
        raise _malformed(where, "are not text", f"save the file as JSON in UTF-8, or {_WHERE_TO_GET_ONE}") from None


def _unwrapped(fields: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], Kind]:
    other = _OTHER_KINDS.get(fields["type"]) if isinstance(fields.get("type"), str) else None
    if other:
        raise _malformed(where, f"are {other}")
    kinds: tuple[Kind, ...] = ("installed", "web")
    for kind in kinds:
        if kind in fields:
            inner = fields[kind]
            if not isinstance(inner, Mapping):
                raise _malformed(where, f"have a field {kind} that is not an object")
            return inner, kind
    return fields, "installed"


def _from_fields(fields: Mapping[str, Any], kind: Kind, where: str) -> ClientSecrets:
    missing = [name for name in ("client_id", "client_secret") if not fields.get(name)]
    if missing:
        raise _malformed(where, f"lack {' and '.join(missing)}")
    for name in ("client_id", "client_secret", "auth_uri", "token_uri", "issuer"):
        value = fields.get(name)
        if value is not None and not (isinstance(value, str) and value.isprintable() and value == value.strip()):
            raise _malformed(where, f"have a {name} that is not one line of text without spaces around it")
    redirects = fields.get("redirect_uris") or ()
    if not isinstance(redirects, (list, tuple)) or not all(isinstance(uri, str) for uri in redirects):
        raise _malformed(where, "have redirect_uris that are not a list of addresses")
    return ClientSecrets(
        client_id=fields["client_id"],
        client_secret=fields["client_secret"],
        auth_uri=fields.get("auth_uri") or None,
        token_uri=fields.get("token_uri") or None,
        kind=kind,
        redirect_uris=tuple(redirects),
        issuer=fields.get("issuer") or None,
    )


def _malformed(where: str, what: str, remedy: str = _WHERE_TO_GET_ONE) -> ConsentError:
    return ConsentError(f"{where}: the client secrets {what}", reason="ClientSecretsMalformed", remedy=remedy)
