"""A look at a token volume that changes nothing and needs no lock."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import time
from typing import Any, Final, NamedTuple

from token_keeper import report
from token_keeper.clock import LATEST
from token_keeper.deadlines import deadlines_of
from token_keeper.document import TokenDocument
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.events import Events
from token_keeper.filesystem import filesystem_of
from token_keeper.fingerprint import fingerprint
from token_keeper.history import History
from token_keeper.reading import Reader, Timing
from token_keeper.staging import Staged
from token_keeper.state import State, timestamp
from token_keeper.volume import Volume

_EVENT: Final = ("time", "event", "service", "container", "pid")
_LONGEST_TEXT: Final = 100
_RENEWALS: Final = frozenset({"Refreshed", "RolledForward", "ClientChanged", "ClientRolledBack"})
"""Events of an exchange that has brought a new access token, told by whoever has put it into the volume."""


class Status(NamedTuple):
    """What a look at a volume found; the attributes are JSON objects without secrets.

    Attributes:
        path: the document's path.
        volume: owner, mode, file system of the directory, and whether this process may write to it.
        document: ``state`` is sound, missing or corrupt; with facts, or with a ``reason`` and a ``message``. Its
            ``expires_in`` is told by the boot clock where the state knows the document, its ``expiry`` is the file's.
        generation: current generation, 0 where there never was a document.
        grant: name of the current grant.
        conditions: Ready, Refreshing and ReauthRequired, as far as they were ever set.
        deadlines: when the grant will die by itself, the first date first (:mod:`token_keeper.deadlines`).
        last_event: what the event log says last: ``time``, ``event``, ``service``, ``container`` and ``pid``; ``None``
            where it says nothing.
        last_refresh: the same of the last exchange that brought a new access token.
        healthy: whether consumers can work: a sound document whose token is valid, or renewed by the next who asks.
        staged: a document that waits for its promotion (:class:`token_keeper.staging.Staged`); ``state`` is then
            ``sound``, else ``corrupt``.
        rotation_record: the last rotation of grant or client (:mod:`token_keeper.rotation_record`).
        lineage: by which two hosts are compared: ``superseded``, fingerprints of refresh tokens that must not come
            back, oldest first; ``grants``, those of the history with the fingerprints of refresh token and client.
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
    last_event: dict[str, Any] | None
    healthy: bool
    staged: dict[str, Any] | None = None
    rotation_record: dict[str, Any] | None = None
    lineage: dict[str, Any] | None = None
    last_refresh: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the status as the command line's JSON."""
        return self._asdict()


def look(volume: Volume, *, patient: bool = False) -> Status:
    """Look at a volume.

    Args:
        volume: the document's files.
        patient: take a file that can't be read for what it is, and look at the rest: the document's ``state`` is then
            ``unreadable``.

    Raises:
        StorageError: the directory can't be looked at, or a file in it can't be read.
    """
    directory = _directory(volume)
    state = _state(volume, patient=patient) or State()
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
    except StorageError as problem:
        if not patient:
            raise
        document = {"state": "unreadable", "reason": problem.reason, "message": problem.message}
    now = time.time()
    taken_away = sound is not None and _is_taken_away(state, sound)
    settled = sound is not None and state.identity is not None and state.identity.document == sound.fingerprint
    settled = settled and state.tombstone is None
    dead = sound is not None and (state.dead_grant == sound.grant_fingerprint or _is_lost(state, sound))
    left = float("-inf")
    if sound is not None:
        left = Timing.of(sound, now, state.token_life if settled else None).left
        document["expires_in"] = int(min(left, LATEST)) if math.isfinite(left) else None
    usable = left > 0
    conditions = {entry["type"]: entry for entry in state.conditions_list()}
    if "Ready" in conditions:
        conditions["Ready"] |= _ready(sound, usable=usable, dead=dead, recorded=conditions["Ready"])
    if conditions.get("ReauthRequired", {}).get("status") == "True" and sound is not None and not dead:
        changed = {"status": "False", "reason": "GrantChanged", "message": "another grant stands there by now"}
        conditions["ReauthRequired"] |= changed
    refreshing = conditions.get("Refreshing", {})
    if refreshing.get("status") == "True":
        refreshing["message"] += f", under way since {refreshing['last_transition_time']}"
    staged, record = _rotation(volume, state)
    last_event, last_refresh = _last_events(volume)
    return Status(
        path=str(volume.path),
        volume=directory,
        document={**document, "settled": settled},
        generation=state.generation,
        grant=state.grant,
        exchanges=state.exchanges,
        failures=state.failures,
        # whoever wrote the state: a date that no calendar has must not end the look
        cooldown_until=timestamp(min(now + state.cooldown_left(), LATEST)) if state.cooldown_left() > 0 else None,
        rotation=state.rotation,
        reuse_grace=state.reuse_grace,
        clock_skew=state.clock_skew,
        grant_expiry=timestamp(state.grant_expiry) if state.grant_expiry else None,
        conditions=list(conditions.values()),
        deadlines=[deadline.as_dict() for deadline in deadlines_of(state, sound)] if sound is not None else [],
        last_event=last_event,
        healthy=sound is not None and not dead and not taken_away and (usable or state.failures == 0),
        staged=staged,
        rotation_record=record,
        lineage=_lineage(volume, state),
        last_refresh=last_refresh,
    )


def _rotation(volume: Volume, state: State) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return what is staged, and the rotation that it belongs to or else the last one that went live."""
    live = report.describe_rotation(state.rotation_record) if state.rotation_record is not None else None
    try:
        staged = Staged.read(volume)
    except (TokenCorrupt, StorageError) as problem:
        return {"state": "corrupt", "reason": problem.reason, "message": problem.message}, live
    if staged is None:
        return None, live
    record = staged.record
    if record.grant_after == state.grant:
        # its promotion was cut short after the swap, and the next step notes it
        return None, report.describe_rotation(record.at("promoted")) if live is None or live[
            "id"
        ] != record.id else live
    return staged.describe(), report.describe_rotation(record)


def _lineage(volume: Volume, state: State) -> dict[str, Any]:
    grants: list[dict[str, Any]] = []
    with contextlib.suppress(StorageError):  # told by the doctor, and no reason not to look at the rest
        grants = [
            {
                "grant": entry.grant,
                "generation": entry.generation,
                "refresh_token_fingerprint": fingerprint(entry.document.refresh_token),
                "client_fingerprint": entry.document.client_fingerprint,
                "current": entry.grant == state.grant,
                "maybe_spent": entry.maybe_spent,
            }
            for entry in History(volume).entries()
        ]
    return {"superseded": state.superseded, "grants": grants}


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


def _state(volume: Volume, *, patient: bool) -> State | None:
    try:
        return Reader(volume).state()
    except StorageError:
        if not patient:
            raise
        return None


def _last_events(volume: Volume) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return who was the last to note something, and to renew the token: anybody may have written into the log."""
    with contextlib.suppress(TokenCorrupt, StorageError):
        newest, renewal = Events(volume, "").lasts(_RENEWALS)
        return _event(newest), _event(renewal)
    return None, None


def _event(event: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an event as one-line texts."""
    return None if event is None else {name: _told(event.get(name)) for name in _EVENT}


def _told(value: object) -> str | int | None:
    if isinstance(value, str) and value.isprintable():
        return value[:_LONGEST_TEXT]
    return value if isinstance(value, int) and abs(value) <= LATEST else None
