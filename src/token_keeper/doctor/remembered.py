"""Whether the history has the document that should stand in the volume."""

from __future__ import annotations

import contextlib

from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.history import History
from token_keeper.reading import Reader
from token_keeper.volume import Volume


def can_be_restored(volume: Volume) -> bool:
    """Tell whether a writer can put the last sound document back: it is remembered, and was not taken away on purpose.

    One whose grant the provider has refused is not worth it: it would stop no app from asking again.
    """
    with contextlib.suppress(StorageError, TokenCorrupt):
        entries = History(volume).entries()
        state = None
        with contextlib.suppress(StorageError):  # which the check of the state tells
            state = Reader(volume).state()
        if state is None or state.identity is None:
            return bool(entries) and (state is None or state.tombstone is None)
        remembered = any(entry.document.fingerprint == state.identity.document for entry in entries)
        return remembered and state.tombstone is None and state.dead_grant != state.identity.grant
    return False
