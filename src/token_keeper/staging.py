"""A document that waits beside the current one until it is promoted, and the client that a way back may need.

Each is one side file, replaced whole: after a kill it is there or it is not. Nothing but the verbs of a rotation reads
them, so that no recovery, adoption or way back can take what waits for what is
(docs/decisions/0007-staged-document.md).
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final

from token_keeper import report
from token_keeper.clock import EARLIEST, LATEST
from token_keeper.document import TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.fingerprint import fingerprint
from token_keeper.rotation_record import RotationRecord
from token_keeper.state import timestamp
from token_keeper.volume import Volume

if TYPE_CHECKING:
    from token_keeper.ledger import Ledger

_VERSION: Final = 1
_BROKEN: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclasses.dataclass(frozen=True, slots=True)
class Staged:
    """A staged document.

    Attributes:
        record: the rotation, in phase ``staged`` or ``checked``.
        document: the document.
        generation: the generation that was current when it was staged.
        tombstone: why there was no document then, where it had been taken away.
        checked_at: when (Unix time) a server of the provider last accepted its access token.
        refusal: what the last check was answered, where the token was refused.
    """

    record: RotationRecord
    document: TokenDocument
    generation: int
    tombstone: str | None = None
    checked_at: float | None = None
    refusal: str | None = None

    @classmethod
    def read(cls, volume: Volume) -> Staged | None:
        """Return what is staged.

        Raises:
            TokenCorrupt: what stands there is no staged document.
            StorageError: it can't be read.
        """
        found = volume.read(volume.staged_name)
        if found is None:
            return None
        try:
            fields = json.loads(found[0])
            record = RotationRecord.parse(fields["record"])
            if fields["version"] != _VERSION or record is None:
                raise ValueError
            return cls(
                record,
                TokenDocument.from_mapping(fields["document"], volume.staged_name),
                int(fields["generation"]),
                _text(fields["tombstone"]),
                _time(fields["checked_at"]),
                _text(fields["refusal"]),
            )
        except (*_BROKEN, TokenCorrupt):
            raise TokenCorrupt(
                f"{volume.directory / volume.staged_name} is no staged document",
                reason="StagedCorrupt",
                remedy="forget it with `token-keeper unstage`, then stage again",
            ) from None

    @classmethod
    def peek(cls, volume: Volume) -> Staged | None:
        """Return what is staged, ``None`` where that can't be told."""
        try:
            return cls.read(volume)
        except (TokenCorrupt, StorageError):
            return None

    def write(self, volume: Volume, directory: int) -> None:
        """Keep it, durably, in the place of whatever was staged; the caller holds the lock."""
        fields = {
            "version": _VERSION,
            "record": self.record.as_dict(),
            "generation": self.generation,
            "tombstone": self.tombstone,
            "checked_at": self.checked_at,
            "refusal": self.refusal,
            "document": json.loads(self.document.to_json()),
        }
        volume.replace(directory, volume.staged_name, json.dumps(fields).encode())

    def describe(self) -> dict[str, Any]:
        """Return what may be told of it as a JSON object."""
        return {
            "state": "sound",
            "reason": self.record.mode,
            "since": timestamp(self.record.started),
            "by": self.record.by,
            "grant": self.record.grant_after,
            "against": {"generation": self.generation, "grant": self.record.grant_before},
            "checked_at": timestamp(self.checked_at) if self.checked_at is not None else None,
            "refusal": self.refusal,
            "document": report.describe(self.document),
        }


def settle(ledger: Ledger) -> Staged | None:
    """Finish a promotion that was cut short after its swap; returns what is still staged.

    The name of the grant that it brings was chosen when it was staged, and stands in the history before the document is
    replaced: whoever rolled the swap forward has made it the current one.

    Raises:
        TokenCorrupt: what stands there is no staged document.
        StorageError: nothing was changed.
    """
    staged = Staged.read(ledger.volume)
    if staged is None or staged.record.grant_after != ledger.state.grant:
        return staged
    record = ledger.state.rotation_record
    if record is None or record.id != staged.record.id:
        ledger.state.rotation_record = promoted(staged, ledger)
        ledger.save()
    ledger.volume.remove(ledger.directory, ledger.volume.staged_name)
    return None


def promoted(staged: Staged, ledger: Ledger) -> RotationRecord:
    """Return the record of a staged document that goes live, or has just gone live; see :func:`settle`."""
    before = next((e for e in ledger.history.entries() if e.grant == staged.record.grant_before), None)
    live = staged.record.grant_after == ledger.state.grant
    return dataclasses.replace(
        staged.record,
        phase="promoted",
        generation=ledger.state.generation if live else ledger.next_generation(),
        refresh_token_before=fingerprint(before.document.refresh_token) if before is not None else None,
        client_before=before.document.client_fingerprint if before is not None else None,
        client_after=staged.document.client_fingerprint,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class EarlierClient:
    """The client whose secret was replaced, for a way back to it."""

    client_id: str = dataclasses.field(repr=False)
    client_secret: str = dataclasses.field(repr=False)

    @classmethod
    def read(cls, volume: Volume) -> EarlierClient | None:
        """Return the one that is kept, ``None`` where there is none to be trusted.

        Raises:
            StorageError: it can't be read.
        """
        try:
            found = volume.read(volume.client_name)
            fields = json.loads(found[0]) if found is not None else {}
            client = cls(fields.get("client_id", ""), fields.get("client_secret", ""))
        except (*_BROKEN, TokenCorrupt):
            return None
        texts = (client.client_id, client.client_secret)
        return client if all(isinstance(text, str) and text for text in texts) else None

    def write(self, volume: Volume, directory: int) -> None:
        """Keep it, durably; the caller holds the lock."""
        volume.replace(directory, volume.client_name, json.dumps(dataclasses.asdict(self)).encode())


def _time(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not EARLIEST <= value <= LATEST:
        raise ValueError
    return float(value)


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value
