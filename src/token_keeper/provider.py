"""What is known of a provider beforehand, as data: the profiles in ``profiles/``, and those that operators bring.

The profiles that come with the package are read when this module is imported, as if they were part of it: never while
an exchange is under way, where a file that can't be read would stand between a reply and the disk.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from token_keeper.document import TokenDocument
from token_keeper.errors import ConsentError
from token_keeper.state import Rotation, State

Revocation = Literal["token", "grant", "none"]
"""What a revocation (RFC 7009) ends: the token and what was made of it, all that the account has allowed the client, or
nothing, because there is none."""

AccountSource = Literal["id_token", "tokeninfo", "userinfo"]
"""What tells whose tokens they are."""

_ENDPOINTS: Final = ("authorization", "token", "revocation", "tokeninfo", "userinfo")
_LAYOUT: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("name", "issuer", "issuer_aliases", "hosts", "issuer_in_answers"),
    "endpoints": _ENDPOINTS,
    "authorization_parameters": (),
    "refresh_tokens": ("rotation", "reuse_grace", "idle_limit", "testing_limit", "untested_scopes"),
    "revocation": ("ends",),
    "account": ("sources", "scopes"),
}
_FOLDER: Final = Path(__file__).with_name("profiles")
_TEN_YEARS: Final = 315_360_000


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """How a provider behaves; lengths of time in seconds, ``None`` where none is known.

    Attributes:
        name: what it is called.
        issuer: its issuer identifier (RFC 8414 section 2).
        issuer_aliases: other names that it uses for itself in id tokens.
        hosts: hosts of its token endpoint, by which it is known.
        issuer_in_answers: whether each answer at the redirect names the issuer (RFC 9207).
        endpoints: addresses by ``authorization``, ``token``, ``revocation``, ``tokeninfo``, ``userinfo``.
        authorization_parameters: what it has to be asked with, beside what the protocol wants.
        rotation: whether it gives a new refresh token at each exchange.
        reuse_grace: how long it takes a spent one again.
        idle_limit: how long a refresh token lives that is not used.
        testing_limit: how long one lives that an app without published consent screen was given.
        untested_scopes: scopes that do not fall under that limit.
        revocation: what a revocation ends.
        account_sources: what tells the account, the best first.
        account_scopes: scopes without which it tells nobody.
    """

    name: str = "generic"
    issuer: str | None = None
    issuer_aliases: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    issuer_in_answers: bool = False
    endpoints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    authorization_parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rotation: Rotation = "unknown"
    reuse_grace: float | None = None
    idle_limit: float | None = None
    testing_limit: float | None = None
    untested_scopes: frozenset[str] = frozenset()
    revocation: Revocation = "token"
    account_sources: tuple[AccountSource, ...] = ()
    account_scopes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, fields: Mapping[str, Any], where: str) -> Profile:
        """Read a profile in the form of ``profiles/google.toml``; whatever is left out is not known.

        Args:
            fields: the decoded file.
            where: what to call it in a message.

        Raises:
            ConsentError: ``ProfileInvalid``; the message names the key.
        """
        sections = _sections(fields, where)
        top, tokens = _Section("", sections[""], where), _Section("refresh_tokens", sections["refresh_tokens"], where)
        account = _Section("account", sections["account"], where)
        revocation = _Section("revocation", sections["revocation"], where)
        endpoints = _Section("endpoints", sections["endpoints"], where)
        parameters = _Section("authorization_parameters", sections["authorization_parameters"], where)
        return cls(
            name=top.text("name") or "generic",
            issuer=top.text("issuer"),
            issuer_aliases=top.texts("issuer_aliases"),
            hosts=frozenset(top.texts("hosts")),
            issuer_in_answers=top.truth("issuer_in_answers"),
            endpoints=types.MappingProxyType(dict(endpoints.all_texts())),
            authorization_parameters=types.MappingProxyType(dict(parameters.all_texts())),
            rotation=cast(Rotation, tokens.one_of("rotation", ("unknown", "yes", "no"))),
            reuse_grace=tokens.seconds("reuse_grace"),
            idle_limit=tokens.seconds("idle_limit"),
            testing_limit=tokens.seconds("testing_limit"),
            untested_scopes=frozenset(tokens.texts("untested_scopes")),
            revocation=cast(Revocation, revocation.one_of("ends", get_args(Revocation))),
            account_sources=cast("tuple[AccountSource, ...]", account.words("sources", get_args(AccountSource))),
            account_scopes=account.texts("scopes"),
        )

    @classmethod
    def load(cls, provider: str | Mapping[str, Any] | None) -> Profile:
        """Return a profile.

        Args:
            provider: the name of one that comes with the package (``google``, ``generic``), the path of a TOML file
                (with a slash or ``.toml`` in it), or the decoded form of one; ``None`` is ``generic``.

        Raises:
            ConsentError: ``ProfileUnknown``, ``ProfileUnreadable``, or ``ProfileInvalid``.
        """
        if provider is None:
            return _PROFILES["generic"]
        if not isinstance(provider, str):
            return cls.parse(provider, "the provider's profile")
        if provider in _PROFILES:
            return _PROFILES[provider]
        if "/" not in provider and not provider.endswith(".toml"):
            raise ConsentError(
                f"there is no provider profile {provider!r}",
                reason="ProfileUnknown",
                remedy=f"name one of {', '.join(sorted(_PROFILES))}, or a TOML file of that form by its path",
            )
        return _from_file(Path(provider))

    def is_at(self, token_uri: str) -> bool:
        """Tell whether a token endpoint is this provider's own, and not another server's that behaves like it."""
        try:
            host = urllib.parse.urlsplit(token_uri).hostname
        except ValueError:
            return False
        return token_uri == self.endpoints.get("token") or host in self.hosts


def profile_of(document: TokenDocument) -> Profile:
    """Return what is known of the document's provider."""
    return profile_at(document.token_uri)


def profile_at(token_uri: str) -> Profile:
    """Return what is known of the provider with this token endpoint, ``generic`` where that is nothing."""
    host = urllib.parse.urlsplit(token_uri).hostname or ""
    return _BY_HOST.get(host, _PROFILES["generic"])


def rotation_of(state: State, document: TokenDocument) -> Rotation:
    """Tell whether the document's provider gives a new refresh token at each exchange.

    What was declared or observed counts; else what is known of the provider's host.
    """
    return state.rotation if state.rotation != "unknown" else profile_of(document).rotation


class _Section:
    """A table of a profile, whose values are asked for by their kind."""

    def __init__(self, name: str, fields: Mapping[str, Any], where: str) -> None:
        self._fields = fields
        self._name = name
        self._where = where

    def text(self, key: str) -> str | None:
        value = self._fields.get(key)
        if value is None or (isinstance(value, str) and value and value.isprintable()):
            return value
        raise self._invalid(key, "a line of text")

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._fields.get(key, ())
        if isinstance(value, (list, tuple)) and all(isinstance(v, str) and v and v.isprintable() for v in value):
            return tuple(value)
        raise self._invalid(key, "a list of texts")

    def all_texts(self) -> Iterator[tuple[str, str]]:
        for key in self._fields:
            text = self.text(key)
            if text is not None:
                yield key, text

    def words(self, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        value = self.texts(key)
        if set(value) <= set(known):
            return value
        raise self._invalid(key, f"a list of {', '.join(known)}")

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        """Return a word; the first one where none is given."""
        value = self._fields.get(key, known[0])
        if isinstance(value, str) and value in known:
            return value
        raise self._invalid(key, f"one of {', '.join(known)} (in quotation marks)")

    def truth(self, key: str) -> bool:
        value = self._fields.get(key, False)
        if isinstance(value, bool):
            return value
        raise self._invalid(key, "true or false")

    def seconds(self, key: str) -> float | None:
        value = self._fields.get(key)
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _TEN_YEARS:
            return float(value) if math.isfinite(value) else None
        raise self._invalid(key, f"a number of seconds from 0 to {_TEN_YEARS}")

    def _invalid(self, key: str, kind: str) -> ConsentError:
        return _invalid(self._where, f"{self._name}.{key}" if self._name else key, f"is not {kind}")


def _sections(fields: Mapping[str, Any], where: str) -> dict[str, Mapping[str, Any]]:
    sections: dict[str, Mapping[str, Any]] = {name: {} for name in _LAYOUT}
    sections[""] = {key: value for key, value in fields.items() if key not in _LAYOUT or not key}
    for name in _LAYOUT:
        section = fields.get(name, {}) if name else sections[""]
        if not isinstance(section, Mapping):
            raise _invalid(where, name, "is not a table")
        sections[name] = section
        for key in section:
            # a parameter may have any name; a key that is misspelt elsewhere would silently mean nothing
            if name != "authorization_parameters" and key not in _LAYOUT[name]:
                raise _invalid(where, f"{name}.{key}" if name else str(key), "is not a key of a profile")
    return sections


def _from_file(path: Path) -> Profile:
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConsentError(
            f"{path}: the provider's profile can't be read: {error.strerror}",
            reason="ProfileUnreadable",
            remedy="correct the path, or name a profile that comes with Token Keeper: google or generic",
        ) from None
    except ValueError as error:
        # not only the decoder's: bytes that are no text are a ValueError too
        raise ConsentError(
            f"{path}: the provider's profile is not TOML: {error}",
            reason="ProfileInvalid",
            remedy="write it in the form of profiles/google.toml in the package",
        ) from None
    return Profile.parse(fields, str(path))


def _invalid(where: str, key: str, what: str) -> ConsentError:
    return ConsentError(
        f"{where}: {key} {what}",
        reason="ProfileInvalid",
        remedy="correct that key; docs/consent.md lists them, and profiles/google.toml in the package is an example",
    )


_PROFILES: Final = {path.stem: _from_file(path) for path in sorted(_FOLDER.glob("*.toml"))}
_BY_HOST: Final = {host: profile for profile in _PROFILES.values() for host in profile.hosts}
