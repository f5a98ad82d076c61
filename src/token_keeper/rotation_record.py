"""What is known of the last rotation of a grant or a client: how far it has come, and what there was before."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal, get_args

from token_keeper.clock import EARLIEST, LATEST

Mode = Literal["reconsent", "client"]
Phase = Literal["staged", "checked", "promoted", "converged", "retired", "rolled_back"]
_MODES: Final = get_args(Mode)
_PHASES: Final = get_args(Phase)

GONE_LIVE: Final = frozenset({"promoted", "converged", "retired"})
"""Phases in which what the rotation brought is the document."""


@dataclasses.dataclass(frozen=True, slots=True)
class RotationRecord:
    """One rotation. While its document is staged it stands in the staged file, from its promotion on in the state.

    Attributes:
        id: names it.
        mode: ``reconsent`` for a new grant, ``client`` for a new secret or a new client.
        phase: how far it has come.
        started: when (Unix time).
        by: the service that began it.
        grant_before: name of the grant that was current, ``None`` where there was none.
        grant_after: name of the grant that it brings; the same one where only the client's secret is new.
        generation: the generation that it was promoted as.
        refresh_token_before: fingerprint of the refresh token that was current when it was promoted.
        client_before: fingerprint of the client that was current when it was promoted.
        client_after: fingerprint of the client that it brings.
    """

    id: str
    mode: Mode
    phase: Phase
    started: float
    by: str
    grant_before: str | None
    grant_after: str
    generation: int | None = None
    refresh_token_before: str | None = None
    client_before: str | None = None
    client_after: str | None = None

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> RotationRecord | None:
        """Read one; ``None`` where it can't be trusted, or where a newer release has other phases."""
        try:
            known = {name: fields[name] for name in _FIELDS if name in fields}
            record = cls(**known)
        except (TypeError, KeyError):
            return None
        return record if record.is_sane() else None

    def is_sane(self) -> bool:
        """Tell whether every value is of its kind; the grant's name becomes part of a file's name."""
        optional = (self.grant_before, self.refresh_token_before, self.client_before, self.client_after)
        return (
            isinstance(self.id, str)
            and self.mode in _MODES
            and self.phase in _PHASES
            and isinstance(self.started, (int, float))
            and EARLIEST <= self.started <= LATEST
            and isinstance(self.by, str)
            and isinstance(self.grant_after, str)
            and self.grant_after.isalnum()
            and all(text is None or isinstance(text, str) for text in optional)
            and (self.generation is None or isinstance(self.generation, int))
        )

    @property
    def client_change(self) -> tuple[str | None, str | None]:
        """The client before, and the one after."""
        return self.client_before, self.client_after

    def at(self, phase: Phase) -> RotationRecord:
        """Return it in another phase."""
        return dataclasses.replace(self, phase=phase)

    def as_dict(self) -> dict[str, Any]:
        """Return its fields."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS: Final = tuple(field.name for field in dataclasses.fields(RotationRecord))
