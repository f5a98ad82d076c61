"""The state side file: what is known about the document besides its text.

It holds fingerprints and never a secret. A missing or broken state means an unknown lineage, not a fresh start.
"""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

from token_keeper.clock import EARLIEST, LATEST, Instant, Span
from token_keeper.document import TokenDocument
from token_keeper.errors import TokenKeeperError
from token_keeper.fingerprint import fingerprint
from token_keeper.rotation_record import RotationRecord

VERSION: Final = 1
MAX_BYTES: Final = 262_144
_REMEMBERED: Final = 500
"""How many superseded refresh tokens are remembered: at one rotation an hour, three weeks."""

REVOKED: Final = "Revoked"
"""The tombstone of a grant that was revoked: consumers say ReauthRequired, of any other one TokenMissing."""

LONGEST_COOLDOWN: Final = 3600.0
"""Seconds: whatever a provider asks for, once an hour it is asked."""

Rotation = Literal["yes", "no", "unknown"]
ConditionStatus = Literal["True", "False", "Unknown"]
Publishing = Literal["testing", "production", "unknown"]
Outcome = Literal["open", "no_reply", "server_error"]
_ROTATIONS: Final = get_args(Rotation)
_STATUSES: Final = get_args(ConditionStatus)
_OUTCOMES: Final = get_args(Outcome)


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Fingerprints of a document, to compare one with another without its secrets."""

    document: str
    access_token: str | None
    refresh_token: str
    grant: str
    expiry: float | None

    def is_sane(self) -> bool:
        """Tell whether every value is of its kind."""
        texts = (self.document, self.refresh_token, self.grant)
        return all(isinstance(text, str) for text in texts) and _is_text(self.access_token) and _is_time(self.expiry)

    @classmethod
    def of(cls, document: TokenDocument) -> Identity:
        """Take the fingerprints of a document."""
        return cls(
            document=document.fingerprint,
            access_token=fingerprint(document.token) if document.token else None,
            refresh_token=fingerprint(document.refresh_token),
            grant=document.grant_fingerprint,
            expiry=document.expiry.timestamp() if document.expiry else None,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """One exchange that was begun: enough to finish it, or to know that its outcome is not known.

    Attributes:
        id: names the pending file.
        started: when.
        document: fingerprint of the document it began with.
        refresh_token: fingerprint of the refresh token that was sent.
        generation: what the new document's generation will be.
        outcome: ``open`` while it runs; ``no_reply`` when the reply was lost; ``server_error`` when the provider
            answered with a fault after which it may or may not have carried the exchange out.
        replayed: whether it is itself the one replay that a reuse grace allows.
        grant: name of an earlier grant that the exchange was to go back to.
    """

    id: str
    started: Instant
    document: str
    refresh_token: str
    generation: int
    outcome: Outcome = "open"
    replayed: bool = False
    grant: str | None = None

    def is_sane(self) -> bool:
        """Tell whether every value is of its kind; the id becomes part of a file's name."""
        return (
            isinstance(self.id, str)
            and self.id.isalnum()
            and self.started.is_sane()
            and isinstance(self.document, str)
            and isinstance(self.refresh_token, str)
            and _is_count(self.generation)
            and self.outcome in _OUTCOMES
            and isinstance(self.replayed, bool)
            and (self.grant is None or (isinstance(self.grant, str) and self.grant.isalnum()))
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One of Ready, Refreshing, ReauthRequired, as Kubernetes writes conditions."""

    status: ConditionStatus
    reason: str
    message: str
    last_transition_time: str

    def is_sane(self) -> bool:
        """Tell whether every value is of its kind."""
        texts = (self.reason, self.message, self.last_transition_time)
        return self.status in _STATUSES and all(isinstance(text, str) for text in texts)


class Glimpse(NamedTuple):
    """What a reader needs of the state: so little that dozens of waiters can look at once when a new token is there.

    Attributes:
        generation: as in :class:`State`.
        document: fingerprint of the document of this generation, ``None`` where it was taken away.
        token_life: as in :class:`State`.
    """

    generation: int
    document: str | None
    token_life: Span | None

    @classmethod
    def parse(cls, data: bytes) -> Glimpse | None:
        """Read it from a state's text; ``None`` where that can't be trusted."""
        try:
            fields = json.loads(data)
            identity, life, generation = fields["identity"], fields.get("token_life"), fields["generation"]
            document = identity["document"] if identity and fields["tombstone"] is None else None
            span = Span.parse(life) if life else None
            sane = fields["version"] == VERSION and _is_count(generation) and _is_text(document)
            return cls(generation, document, span) if sane and (span is None or span.is_sane()) else None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None


@dataclasses.dataclass(slots=True)
class State:
    """What the side file holds; times are Unix seconds.

    Attributes:
        generation: counts every accepted change of the document; 0 before the first.
        identity: fingerprints of the document of this generation.
        grant: name of the grant the document belongs to; a new consent begins a new one.
        superseded: fingerprints of refresh tokens that must not come back, oldest first.
        journal: an exchange that was begun and not finished.
        tombstone: why the document was taken away on purpose, such as ``Revoked``.
        dead_grant: fingerprint of client and refresh token that the provider has declared dead.
        dead_reason: the reason of the ReauthRequired that goes with it.
        conditions: by type.
        exchanges: exchanges that brought a new access token.
        failures: exchanges in a row that did not.
        cooldown: the back-off that runs; no exchange before its end.
        token_life: the access token's life as this host saw it begin, whatever the wall clock has done since.
        given: fingerprint of the access token that the last exchange brought.
        rotation: whether the provider gives a new refresh token at each exchange.
        reuse_grace: seconds for which the provider accepts a spent refresh token again.
        granted_at: when the grant came into the volume.
        renewed_at: when its refresh token was used last.
        lifetime: seconds of life that the provider gave the last access token.
        publishing: whether the app's consent screen is published, as declared.
        grant_expiry: when a time-limited grant ends, where the provider said so.
        clock_skew: the provider's clock less ours at the last exchange, in seconds; reported, not applied.
        rotation_record: the last rotation of grant or client that has gone live.
        rotation_begun: a change of the client whose exchange has begun: it bears the journal's id, and goes live with
            the reply, which carries the new secret. Not in the journal, which older releases must be able to read.
        unknown: what a newer release has noted; kept, because containers of a host are not upgraded all at once.
    """

    generation: int = 0
    identity: Identity | None = None
    grant: str | None = None
    superseded: list[str] = dataclasses.field(default_factory=list)
    journal: Journal | None = None
    tombstone: str | None = None
    dead_grant: str | None = None
    dead_reason: str | None = None
    conditions: dict[str, Condition] = dataclasses.field(default_factory=dict)
    exchanges: int = 0
    failures: int = 0
    cooldown: Span | None = None
    token_life: Span | None = None
    given: str | None = None
    rotation: Rotation = "unknown"
    reuse_grace: float = 0.0
    granted_at: float | None = None
    renewed_at: float | None = None
    lifetime: float | None = None
    publishing: Publishing = "unknown"
    grant_expiry: float | None = None
    clock_skew: float | None = None
    rotation_record: RotationRecord | None = None
    rotation_begun: RotationRecord | None = None
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> State | None:
        """Read a state; ``None`` where it can't be trusted."""
        try:
            fields = json.loads(data)
            if fields.pop("version") != VERSION:
                return None
            fields["identity"] = Identity(**fields["identity"]) if fields["identity"] else None
            fields["journal"] = _journal(fields["journal"]) if fields["journal"] else None
            for name in ("cooldown", "token_life"):
                fields[name] = Span.parse(fields[name]) if fields.get(name) else None
            for name in ("rotation_record", "rotation_begun"):
                fields[name] = RotationRecord.parse(fields[name]) if fields.get(name) else None
            fields["conditions"] = {name: Condition(**value) for name, value in fields["conditions"].items()}
            unknown = {name: fields.pop(name) for name in set(fields) - _KNOWN}
            state = cls(**fields, unknown=unknown)
            return state if state.is_sane() else None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None

    def is_sane(self) -> bool:
        """Tell whether every value is of its kind: what others write here must not end in an error far from here."""
        identity, journal = self.identity, self.journal
        return (
            all(_is_count(value) for value in (self.generation, self.exchanges, self.failures))
            and all(
                _is_text(value) for value in (self.grant, self.tombstone, self.dead_grant, self.dead_reason, self.given)
            )
            and all(_is_time(value) for value in (self.granted_at, self.renewed_at, self.grant_expiry))
            and (self.lifetime is None or _is_number(self.lifetime))
            and self.publishing in get_args(Publishing)
            and all(span is None or span.is_sane() for span in (self.cooldown, self.token_life))
            and (self.clock_skew is None or _is_number(self.clock_skew))
            and _is_number(self.reuse_grace)
            and self.rotation in _ROTATIONS
            and isinstance(self.superseded, list)
            and all(isinstance(token, str) for token in self.superseded)
            and all(condition.is_sane() for condition in self.conditions.values())
            and (identity is None or identity.is_sane())
            and (journal is None or journal.is_sane())
        )

    def to_json(self) -> str:
        """Return the side file's text."""
        fields: dict[str, Any] = {**self.unknown, "version": VERSION}
        for name in _FIELDS:
            fields[name] = getattr(self, name)
        # one line, and no copies of lists that only grow: every writer does this while the others wait for it
        return json.dumps(fields, default=_fields_of)

    def declare(
        self, rotation: Rotation | None, reuse_grace: float | None, publishing: Publishing | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Note what is declared of the provider (``None``: it stays); returns what was, and what is declared now.

        Raises:
            TokenKeeperError: a value makes no sense. The state could not be read back with it, and all lineage be lost.
        """
        if (
            rotation not in {None, *_ROTATIONS}
            or publishing not in {None, *get_args(Publishing)}
            or not (reuse_grace is None or (_is_number(reuse_grace) and reuse_grace >= 0))
        ):
            raise TokenKeeperError(
                "what is declared of the provider makes no sense, and nothing was changed",
                reason="InvalidValue",
                remedy="rotation is yes, no or unknown; reuse_grace seconds; publishing testing, production or unknown",
            )
        before = {"rotation": self.rotation, "reuse_grace": self.reuse_grace, "publishing": self.publishing}
        self.rotation = rotation if rotation is not None else self.rotation
        self.reuse_grace = reuse_grace if reuse_grace is not None else self.reuse_grace
        self.publishing = publishing if publishing is not None else self.publishing
        return before, {"rotation": self.rotation, "reuse_grace": self.reuse_grace, "publishing": self.publishing}

    def supersede(self, refresh_token: str) -> None:
        """Remember the fingerprint of a refresh token that must not come back."""
        if refresh_token not in self.superseded:
            self.superseded.append(refresh_token)
            del self.superseded[:-_REMEMBERED]

    def begin_cooldown(self, seconds: float) -> None:
        """Let no exchange begin for that many seconds, an hour at most."""
        self.cooldown = Span(Instant.now(), min(seconds, LONGEST_COOLDOWN))

    def end_cooldown(self) -> None:
        """Forget failures and the back-off that followed them."""
        self.failures, self.cooldown = 0, None

    def cooldown_left(self) -> float:
        """Return the seconds for which no exchange may begin."""
        return min(max(self.cooldown.left(), 0.0), LONGEST_COOLDOWN) if self.cooldown is not None else 0.0

    def copy(self) -> State:
        """Return a state of its own with the same values, to be changed first and written later."""
        return dataclasses.replace(self, superseded=list(self.superseded), conditions=dict(self.conditions))

    def become(self, other: State) -> None:
        """Take another state's values, which are written by now."""
        for name in (*_FIELDS, "unknown"):
            setattr(self, name, getattr(other, name))

    def set_condition(self, name: str, status: ConditionStatus, reason: str, message: str, now: float) -> None:
        """Set a condition; its transition time changes only when its status does."""
        before = self.conditions.get(name)
        since = before.last_transition_time if before and before.status == status else timestamp(now)
        self.conditions[name] = Condition(status, reason, message, since)

    def conditions_list(self) -> list[dict[str, Any]]:
        """Return the conditions as a list of objects with a ``type``."""
        return [{"type": name, **dataclasses.asdict(condition)} for name, condition in sorted(self.conditions.items())]


_FIELDS: Final = tuple(field.name for field in dataclasses.fields(State) if field.name != "unknown")
_KNOWN: Final = frozenset(_FIELDS)


def _fields_of(part: Identity | Journal | Condition | Span | Instant | RotationRecord) -> dict[str, Any]:
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}


def _journal(fields: dict[str, Any]) -> Journal:
    return Journal(**{**fields, "started": Instant(**fields["started"])})


def timestamp(now: float) -> str:
    """Return a Unix time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_time(value: object) -> bool:
    return value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and EARLIEST <= value <= LATEST
    )
