"""A look at a token volume that changes nothing and needs no lock."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Any, NamedTuple

from token_keeper import report
from token_keeper.deadlines import deadlines_of
from token_keeper.document import TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.filesystem import filesystem_of
from token_keeper.fingerprint import fingerprint
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import State, timestamp
from token_keeper.volume import Volume


class Status(NamedTuple):
    """What a look at a volume found; the attributes are JSON objects without secrets.

    Attributes:
        path: the document's path.
        volume: owner, mode, file system of the directory, and whether this process may write to it.
        document: ``state`` is sound, missing or corrupt; with facts, or with a ``reason`` and a ``message``.
        generation: current generation, 0 where there never was a document.
        grant: name of the current grant.
        conditions: Ready, Refreshing and ReauthRequired, as far as they were ever set.
        deadlines: when the grant will die by itself, the first date first (:mod:`token_keeper.deadlines`).
        healthy: whether consumers can work: a sound document whose token is valid, or renewed by the next who asks.
    """

    path: str
    volume: dict[str, Any]
    document: dict[str, Any]
    generation: int
    grant: str | None
    exchanges: int
    failures: int
    cooldown_until: str | None
    rotation: str
    reuse_grace: float
    clock_skew: float | None
    grant_expiry: str | None
    conditions: list[dict[str, Any]]
    deadlines: list[dict[str, Any]]
    healthy: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the status as the command line's JSON."""
        return self._asdict()


def look(volume: Volume) -> Status:
    """Look at a volume.

    Raises:
        StorageError: the directory can't be looked at.
    """
    directory = _directory(volume)
    state = _state(volume) or State()
    document: dict[str, Any] = {}
    sound: TokenDocument | None = None
    try:
        found = volume.read(volume.name)
        if found is None:
            reason = state.tombstone or "NoDocument"
            document = {"state": "missing", "reason": reason, "message": f"there is no token in {volume.path}"}
        else:
            data, file = found
            document = {"state": "corrupt", **report.describe_file(data, file)}
            sound = TokenDocument.parse(data, str(volume.path))
            document |= report.describe(sound)
    except TokenCorrupt as problem:
        document = {**document, "state": "corrupt", "reason": problem.reason, "message": problem.message}
    now = time.time()
    taken_away = sound is not None and _is_taken_away(state, sound)
    settled = sound is not None and state.identity is not None and state.identity.document == sound.fingerprint
    settled = settled and state.tombstone is None
    dead = sound is not None and (state.dead_grant == sound.grant_fingerprint or _is_lost(state, sound))
    usable = sound is not None and sound.expires_in(now) > 0
    conditions = {entry["type"]: entry for entry in state.conditions_list()}
    if "Ready" in conditions:
        conditions["Ready"] |= _ready(sound, usable=usable, dead=dead, recorded=conditions["Ready"])
    if conditions.get("ReauthRequired", {}).get("status") == "True" and sound is not None and not dead:
        changed = {"status": "False", "reason": "GrantChanged", "message": "another grant stands there by now"}
        conditions["ReauthRequired"] |= changed
    return Status(
        path=str(volume.path),
        volume=directory,
        document={**document, "settled": settled},
        generation=state.generation,
        grant=state.grant,
        exchanges=state.exchanges,
        failures=state.failures,
        cooldown_until=timestamp(now + state.cooldown_left()) if state.cooldown_left() > 0 else None,
        rotation=state.rotation,
        reuse_grace=state.reuse_grace,
        clock_skew=state.clock_skew,
        grant_expiry=timestamp(state.grant_expiry) if state.grant_expiry else None,
        conditions=list(conditions.values()),
        deadlines=[deadline.as_dict() for deadline in deadlines_of(state, sound)] if sound is not None else [],
        healthy=sound is not None and not dead and not taken_away and (usable or state.failures == 0),
    )


def _is_taken_away(state: State, sound: TokenDocument) -> bool:
    """Tell whether the document was cleared or revoked, and somebody wrote back what he had in memory."""
    identity = state.identity
    return (
        state.tombstone is not None
        and identity is not None
        and identity.refresh_token == fingerprint(sound.refresh_token)
    )


def _is_lost(state: State, sound: TokenDocument) -> bool:
    """Tell whether the refresh token may be spent and was declared so: the reply to its exchange never came."""
    condition, journal = state.conditions.get("ReauthRequired"), state.journal
    declared = condition is not None and condition.status == "True"
    return declared and journal is not None and journal.refresh_token == fingerprint(sound.refresh_token)


def _ready(sound: TokenDocument | None, *, usable: bool, dead: bool, recorded: dict[str, Any]) -> dict[str, str]:
    """Say what Ready is now: time passes and foreign hands write without a word in the state."""
    if sound is None:
        return {"status": "False", "reason": "NoSoundDocument", "message": "there is no sound document"}
    if dead and not usable:
        return {"status": "False", "reason": "ReauthRequired", "message": "the grant is dead and the token is over"}
    if not usable:
        return {"status": "Unknown", "reason": "TokenExpired", "message": "the next consumer renews the token"}
    return {"status": recorded["status"], "reason": recorded["reason"], "message": recorded["message"]}


def _directory(volume: Volume) -> dict[str, Any]:
    try:
        status = volume.directory.stat()
    except FileNotFoundError as error:
        raise StorageError(
            f"the directory {volume.directory} does not exist", reason="NoVolume", remedy="mount the token volume there"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot look at {volume.directory}: {error.strerror}", reason="WrongOwner") from error
    if not stat.S_ISDIR(status.st_mode):
        raise StorageError(
            f"{volume.directory} is a file, not a directory",
            reason="NotADirectory",
            remedy="mount the volume's directory (token_data:/app/tokens), never the file alone",
        )
    return {
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "writable": os.access(volume.directory, os.W_OK | os.X_OK),
        "readable": os.access(volume.directory, os.R_OK | os.X_OK),
        "filesystem": filesystem_of(volume.directory),
    }


def _state(volume: Volume) -> State | None:
    with contextlib.suppress(TokenCorrupt):  # a directory in its place is as good as none
        found = volume.read(volume.state_name, limit=STATE_MAX_BYTES)
        return State.parse(found[0]) if found is not None else None
    return None
