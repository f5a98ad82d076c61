"""What is in the volume: owner, mode, kind and content of each file."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Final

from token_keeper.doctor.finding import Finding
from token_keeper.errors import StorageError, TokenCorrupt
from token_keeper.history import History
from token_keeper.state import MAX_BYTES as STATE_MAX_BYTES
from token_keeper.state import State
from token_keeper.status import Status
from token_keeper.volume import Volume

_STALE: Final = 3600.0
_OWNER_REMEDY: Final = "run site.yml, which sets token_volume_uid and token_volume_gid"
_SKEW: Final = 30.0
_SOON: Final = 7


def examine_directory(directory: Path) -> Finding:
    """Judge the directory's owner and whether this process can write to it."""
    status, me = directory.stat(), os.geteuid()
    owner = f"{status.st_uid}:{status.st_gid}, mode {stat.S_IMODE(status.st_mode):04o}"
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        remedy = "mount the volume read-write in every container that may refresh" if read_only else _OWNER_REMEDY
        return Finding("Directory", "problem", f"uid {me} can't write to {directory} ({owner})", remedy)
    if me not in {0, status.st_uid}:
        return Finding(
            "Directory", "warning", f"{directory} belongs to {owner}, and this process is uid {me}", _OWNER_REMEDY
        )
    return Finding("Directory", "ok", f"{directory} belongs to {owner}")


def examine_document(status: Status) -> Finding:
    """Judge the document, by what a look at the volume has found."""
    document = status.document
    if document["state"] != "sound":
        where = document.get("message", f"there is no sound document in {status.path}")
        remedy = "run site.yml to obtain one"
        if document.get("reason") == "NotAFile":
            remedy = "move it away, then run site.yml; Docker makes a directory when a bind mount's source is missing"
        elif status.generation:
            remedy = "`token-keeper verify` puts the last sound document back; if there is none, run site.yml"
        return Finding("Document", "problem", where, remedy)
    if not status.healthy:
        return Finding(
            "Document", "problem", f"the document in {status.path} is sound, but it can't be renewed", "see Conditions"
        )
    wrong = document["mode"] != "0600" or (document["uid"], document["gid"]) != (
        status.volume["uid"],
        status.volume["gid"],
    )
    if wrong:
        owner = f"{document['uid']}:{document['gid']}, mode {document['mode']}"
        return Finding(
            "Document",
            "warning",
            f"{status.path} belongs to {owner}",
            "`token-keeper verify` or the next writer mends it",
        )
    return Finding("Document", "ok", f"{status.path} is sound, generation {status.generation}")


def examine_state(volume: Volume) -> list[Finding]:
    """Judge the side files: state, journal, pending replies, history and what writers that died have left."""
    found = []
    try:
        text = volume.read(volume.state_name, limit=STATE_MAX_BYTES)
        state = State.parse(text[0]) if text is not None else None
        if state is None:
            missing = "is missing" if text is None else "can't be trusted"
            found.append(
                Finding("State", "warning", f"{volume.state_name} {missing}", "nothing: the next writer seeds it anew")
            )
        else:
            found.append(_journal(state))
    except (TokenCorrupt, StorageError) as error:
        found.append(Finding("State", "problem", error.message, error.remedy))
    found += _leftovers(volume)
    try:
        grants = len(History(volume).entries())
        found.append(Finding("History", "ok" if grants else "warning", f"{grants} grants in the history"))
    except StorageError as error:
        found.append(Finding("History", "problem", error.message, error.remedy))
    return found


def examine_conditions(status: Status) -> list[Finding]:
    """Judge what the last writers have noted, the clock and the deadlines."""
    found = []
    for condition in status.conditions:
        if condition["type"] == "ReauthRequired" and condition["status"] == "True":
            found.append(
                Finding(
                    "Conditions", "problem", f"{condition['reason']}: {condition['message']}", "consent again: site.yml"
                )
            )
    if status.failures:
        found.append(
            Finding("Conditions", "warning", f"the last {status.failures} exchanges failed", "see token-keeper status")
        )
    if status.clock_skew is not None and abs(status.clock_skew) > _SKEW:
        found.append(
            Finding(
                "Clock",
                "warning",
                f"the provider's clock is {status.clock_skew:+g} s off ours",
                "set up NTP on this host",
            )
        )
    found += [
        Finding("Deadline", "warning", f"{d['reason']} in {d['days_left']} days ({d['at']})", d["remedy"])
        for d in status.deadlines
        if d["days_left"] < _SOON
    ]
    return found or [Finding("Conditions", "ok", "nothing is in the way of the next renewal")]


def _journal(state: State) -> Finding:
    journal = state.journal
    if journal is None:
        return Finding("State", "ok", f"generation {state.generation}, no exchange is open")
    return Finding(
        "State",
        "warning",
        f"an exchange that began {journal.started.age():.0f} s ago has not come to its end ({journal.outcome})",
        "nothing: it is under way, or the next writer finishes what can be finished",
    )


def _leftovers(volume: Volume) -> list[Finding]:
    stale, pending = [], 0
    for path in volume.directory.iterdir():
        if ".tmp-" in path.name and time.time() - path.lstat().st_mtime > _STALE:
            stale.append(path.name)
        pending += path.name.startswith(f".{volume.name}.pending.")
    if stale:
        names = ", ".join(sorted(stale)[:3])
        return [
            Finding(
                "Leftovers", "warning", f"{len(stale)} stale temporary files: {names}", "the next exchange sweeps them"
            )
        ]
    if pending:
        return [Finding("Leftovers", "ok", f"{pending} replies wait in pending files for the next writer")]
    return [Finding("Leftovers", "ok", "no temporary files")]
