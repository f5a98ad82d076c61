"""What may be told of a document: fingerprints, times, scopes, owner and mode, never a secret."""

from __future__ import annotations

import os
import stat
import time
from typing import Any, NamedTuple

from token_keeper.address import where
from token_keeper.document import TokenDocument
from token_keeper.fingerprint import fingerprint
from token_keeper.rotation_record import RotationRecord
from token_keeper.state import timestamp


def describe(document: TokenDocument) -> dict[str, Any]:
    """Return a document's facts as a JSON object."""
    left = document.expires_in(time.time())
    return {
        "state": "sound",
        "fingerprint": document.fingerprint,
        "access_token_fingerprint": fingerprint(document.token) if document.token else None,
        "refresh_token_fingerprint": fingerprint(document.refresh_token),
        "client_fingerprint": document.client_fingerprint,
        "client_id_fingerprint": fingerprint(document.client_id),
        "token_uri": where(document.token_uri),
        "scopes": list(document.scopes),
        "account": document.account,
        "expiry": timestamp(document.expiry.timestamp()) if document.expiry else None,
        "expires_in": None if left == float("-inf") else int(left),
    }


def describe_rotation(record: RotationRecord) -> dict[str, Any]:
    """Return a rotation's record as a JSON object."""
    return {**record.as_dict(), "started": timestamp(record.started)}


def describe_file(data: bytes, status: os.stat_result) -> dict[str, Any]:
    """Return the facts of the file that holds a document, sound or not."""
    return {
        "content_fingerprint": fingerprint(data),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
    }


class RefreshOutcome(NamedTuple):
    """What a refresh came to.

    Attributes:
        exchanged: whether this call asked the provider; false when the token was fresh, or somebody else was faster.
        generation: the generation that is current now.
        exchanges: exchanges that this volume has seen in all.
        before: facts of the document before, ``None`` if there was none.
        after: facts of the document now.
    """

    exchanged: bool
    generation: int
    exchanges: int
    before: dict[str, Any] | None
    after: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        return {"changed": self.exchanged, **self._asdict()}


class ReplaceOutcome(NamedTuple):
    """What a push came to: ``reason`` is Created, Replaced, Unchanged, or NewerThere (a newer token of the grant)."""

    changed: bool
    reason: str
    generation: int
    before: dict[str, Any] | None
    after: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        return self._asdict()


class PolicyOutcome(NamedTuple):
    """What is declared of the provider before and after: ``rotation``, ``reuse_grace`` in seconds, ``publishing``."""

    changed: bool
    before: dict[str, Any]
    after: dict[str, Any]
    generation: int

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        return self._asdict()


class RevokeOutcome(NamedTuple):
    """What a revocation came to.

    Attributes:
        changed: whether a document was taken away.
        at_provider: whether this call has ended the grant at the provider too.
        generation: the generation that was current.
        before: facts of the document that was there, ``None`` where it had been revoked before.
    """

    changed: bool
    at_provider: bool
    generation: int
    before: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        answer = self._asdict()
        if self.changed and not self.at_provider:
            answer["warning"] = (
                "nobody has told the provider: its grant lives on there until it is withdrawn in the account's settings"
            )
        return answer


class ClearOutcome(NamedTuple):
    """What taking the document away came to."""

    changed: bool
    generation: int
    before: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as the command line's JSON."""
        return self._asdict()
