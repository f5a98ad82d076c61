"""The history: the current document, and for each earlier grant its last one.

It is written before the document itself is replaced, so that a foreign writer who spoils the document can be mended
from it, and an earlier grant that is still alive can be gone back to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from token_keeper.document import TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.volume import Volume

_KEPT: Final = 10
_NAME: Final = re.compile(r"[0-9a-f]{16}\.json")
_BROKEN: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """The last document of one grant.

    Attributes:
        grant: the grant's name in this volume.
        generation: the generation that the document had.
        document: the document.
        granted_at: when (Unix time) the grant came into the volume.
        grant_expiry: when it ends, where the provider said so.
        maybe_spent: a program without the lock has put another refresh token in its place, and whether by a new consent
            or by renewing this very grant can't be told: to send this one might end the grant that is in use.
    """

    grant: str
    generation: int
    document: TokenDocument
    granted_at: float | None = None
    grant_expiry: float | None = None
    maybe_spent: bool = False


class History:
    """The folder of a document's earlier grants."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def record(self, directory: int, entry: Entry) -> None:
        """Keep a document as the newest of its grant, durably; the caller holds the lock."""
        with self.drafted(directory, entry) as publish:
            publish()

    @contextlib.contextmanager
    def drafted(self, directory: int, entry: Entry) -> Iterator[Callable[[], None]]:
        """Write an entry beside what is there of its grant; what is yielded puts it in place, durably."""
        document = json.loads(entry.document.to_json())
        fields = {name: getattr(entry, name) for name in ("generation", "granted_at", "grant_expiry", "maybe_spent")}
        text = json.dumps({**fields, "document": document})
        with (
            self._volume.folder(directory, self._volume.history_name) as folder,
            self._volume.drafted(folder, f"{entry.grant}.json", text.encode()) as draft,
        ):

            def publish() -> None:
                draft.publish(flush_directory=True)
                self._prune(folder, entry.grant)

            yield publish

    def entries(self) -> list[Entry]:
        """Return all sound entries, the newest generation first."""
        found = []
        for name in self._names():
            try:
                read = self._volume.read(f"{self._volume.history_name}/{name}")
                if read is None:
                    continue
                fields = json.loads(read[0])
                document = TokenDocument.from_mapping(fields["document"], name)
                granted_at, expiry = _time(fields.get("granted_at")), _time(fields.get("grant_expiry"))
                doubtful = bool(fields.get("maybe_spent"))
                grant, generation = name.removesuffix(".json"), int(fields["generation"])
                found.append(Entry(grant, generation, document, granted_at, expiry, doubtful))
            except (*_BROKEN, TokenCorrupt, StorageError):
                continue  # one broken entry must not hide the others
        return sorted(found, key=lambda entry: entry.generation, reverse=True)

    def forget(self, directory: int, grant: str) -> None:
        """Remove a grant's document, because the grant was revoked."""
        if f"{grant}.json" in self._names():
            with self._volume.folder(directory, self._volume.history_name) as folder:
                self._volume.remove(folder, f"{grant}.json")

    def _names(self) -> list[str]:
        try:
            names = os.listdir(self._volume.directory / self._volume.history_name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(
                f"cannot read {self._volume.directory / self._volume.history_name}: {error.strerror}",
                reason="WrongOwner",
            ) from error
        return [name for name in names if _NAME.fullmatch(name)]

    def _prune(self, folder: int, current: str) -> None:
        if len(self._names()) <= _KEPT:
            return
        for entry in self.entries()[_KEPT:]:
            if entry.grant != current:
                with contextlib.suppress(StorageError):  # one grant too many is no reason to fail
                    self._volume.remove(folder, f"{entry.grant}.json")


def _time(value: Any) -> float | None:
    return float(value) if value is not None else None
