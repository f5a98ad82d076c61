"""A backup: the document, and what has to be known of it to put it back safely. It is JSON, and encrypted at rest.

A token document alone says nothing of its lineage. With a backup comes which grant it belongs to, at which generation
it was, and which refresh tokens it has superseded: so a restore can tell whether it would go forward or back.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from datetime import datetime
from typing import Any, Final, cast, get_args

from token_keeper.clock import EARLIEST, LATEST
from token_keeper.document import TokenDocument
from token_keeper.errors import BackupError, TokenKeeperError
from token_keeper.fingerprint import fingerprint
from token_keeper.ledger import Ledger
from token_keeper.state import Publishing, Rotation, timestamp

FORMAT: Final = "token-keeper-backup"
VERSION: Final = 1
MAX_BYTES: Final = 1_048_576
"""More than this is no backup, encrypted or not; real ones have some 10 kilobytes."""

_GRANT: Final = re.compile(r"[0-9a-f]{16}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")
_BROKEN: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclasses.dataclass(frozen=True, slots=True)
class Backup:
    """A document as it was at one moment; times are Unix seconds.

    Attributes:
        document: the document.
        taken_at: when.
        host: the host it was on, as Ansible names it; empty where nobody said so.
        volume: name of the volume; empty likewise.
        file: file name of the document.
        generation: its generation.
        grant: name of its grant in that volume.
        granted_at: when the grant came into that volume.
        grant_expiry: when it ends, where the provider said so.
        superseded: fingerprints of refresh tokens that must not come back, oldest first.
        rotation: whether the provider gives a new refresh token at each exchange.
        reuse_grace: seconds for which it accepts a spent one.
        publishing: whether the app's consent screen is published.
    """

    document: TokenDocument
    taken_at: float
    host: str
    volume: str
    file: str
    generation: int
    grant: str | None
    granted_at: float | None
    grant_expiry: float | None
    superseded: tuple[str, ...]
    rotation: Rotation
    reuse_grace: float
    publishing: Publishing

    @classmethod
    def of(cls, ledger: Ledger, document: TokenDocument, *, host: str, volume: str) -> Backup:
        """Take a backup of what a ledger holds: the document, and the state that goes with it."""
        state = ledger.state
        return cls(
            document=document,
            taken_at=time.time(),
            host=host,
            volume=volume,
            file=ledger.volume.name,
            generation=state.generation,
            grant=state.grant,
            granted_at=state.granted_at,
            grant_expiry=state.grant_expiry,
            superseded=tuple(state.superseded),
            rotation=state.rotation,
            reuse_grace=state.reuse_grace,
            publishing=state.publishing,
        )

    @classmethod
    def parse(cls, data: bytes, where: str = "the backup") -> Backup:
        """Read a backup's JSON.

        Args:
            data: what was encrypted.
            where: what to call it in a message.

        Raises:
            BackupError: it is something else (``NotABackup``), of a newer release (``NewerFormat``), or its document is
                not the one that it tells the fingerprint of (``Altered``). The message quotes nothing of it.
        """
        try:
            fields = json.loads(data)
            version = fields["version"] if fields["format"] == FORMAT else None
        except _BROKEN:
            version = None
        if not isinstance(version, int) or version < 1:
            raise _not_a_backup(where)
        if version > VERSION:
            raise BackupError(
                f"{where} has format {version} of a newer release; this one reads {VERSION}",
                reason="NewerFormat",
                remedy="restore it with the release that made it, or a newer one",
            )
        try:
            backup = cls._read(fields)
        except (*_BROKEN, TokenKeeperError):
            raise _not_a_backup(where) from None
        if fields["fingerprints"].get("document") != backup.document.fingerprint:
            raise BackupError(
                f"{where} holds another document than it says: it was altered after it was taken",
                reason="Altered",
                remedy="restore an unaltered one; to push a document of your own, see replace_token.yml",
            )
        return backup

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Backup:
        of, grant, provider = fields["of"], fields["grant"], fields["provider"]
        backup = cls(
            document=TokenDocument.from_mapping(fields["document"], "the backup"),
            taken_at=datetime.fromisoformat(fields["taken_at"]).timestamp(),
            host=of["host"],
            volume=of["volume"],
            file=of["file"],
            generation=fields["generation"],
            grant=grant["name"],
            granted_at=grant["granted_at"],
            grant_expiry=grant["expiry"],
            superseded=tuple(fields["superseded"]),
            rotation=cast("Rotation", provider["rotation"]),
            reuse_grace=provider["reuse_grace"],
            publishing=cast("Publishing", provider["publishing"]),
        )
        if not (backup._is_sane() and isinstance(fields["fingerprints"], dict)):
            raise ValueError
        return backup

    def _is_sane(self) -> bool:
        """Tell whether every value is of its kind: they go into the state, which would be lost with one that isn't."""
        grace, generation = self.reuse_grace, self.generation
        return (
            all(isinstance(text, str) and text.isprintable() for text in (self.host, self.volume, self.file))
            and isinstance(generation, int)
            and not isinstance(generation, bool)
            and 0 <= generation <= LATEST
            and (self.grant is None or bool(_GRANT.fullmatch(self.grant)))
            and all(_is_time(value) for value in (self.granted_at, self.grant_expiry))
            and all(_FINGERPRINT.fullmatch(token) for token in self.superseded)
            and self.rotation in get_args(Rotation)
            and self.publishing in get_args(Publishing)
            and isinstance(grace, (int, float))
            and not isinstance(grace, bool)
            and math.isfinite(grace)
            and grace >= 0
        )

    def to_json(self) -> str:
        """Return what is to be encrypted."""
        document = self.document
        return json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "taken_at": timestamp(self.taken_at),
                "of": {"host": self.host, "volume": self.volume, "file": self.file},
                "generation": self.generation,
                "grant": {"name": self.grant, "granted_at": self.granted_at, "expiry": self.grant_expiry},
                "fingerprints": {
                    "document": document.fingerprint,
                    "access_token": fingerprint(document.token) if document.token else None,
                    "refresh_token": fingerprint(document.refresh_token),
                    "client": document.client_fingerprint,
                },
                "superseded": list(self.superseded),
                "provider": {
                    "rotation": self.rotation,
                    "reuse_grace": self.reuse_grace,
                    "publishing": self.publishing,
                },
                "document": json.loads(document.to_json()),
            },
            indent=1,
        )

    def facts(self) -> dict[str, Any]:
        """Return what may be told of it besides its document."""
        return {
            "taken_at": timestamp(self.taken_at),
            "host": self.host,
            "volume": self.volume,
            "file": self.file,
            "generation": self.generation,
            "grant": self.grant,
        }


def _not_a_backup(where: str) -> BackupError:
    return BackupError(
        f"{where} is no backup of a token",
        reason="NotABackup",
        remedy="name a file that backup_token.yml or `token-keeper backup` has made; "
        "a bare document is for replace_token.yml",
    )


def _is_time(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and EARLIEST <= value <= LATEST
