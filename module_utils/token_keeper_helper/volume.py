"""What is done to a token volume: each function brings it into one state, or says what that would change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from . import rendering
from .engine import Engine
from .engine_errors import no_volume
from .failure import ModuleFailure
from .helper import Helper, Outward
from .outcome import Outcome


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A volume that consumers and helpers can use, or in check mode would be able to.

    Attributes:
        changed: whether it had to be initialised.
        status: its status; ``None`` if it could not be looked at yet, which happens in check mode only.
        owner_before: owner and mode before.
        owner_after: owner and mode after.
    """

    changed: bool
    status: dict[str, Any] | None
    owner_before: Mapping[str, Any] | None
    owner_after: Mapping[str, Any]


def prepare(
    helper: Helper, mode: str, *, force: bool = False, check_mode: bool, seen: Mapping[str, Any] | None = None
) -> Prepared:
    """Give the volume its owner and mode, if it hasn't them.

    Usually one helper without any capability: it looks, and finds nothing to do.

    Args:
        helper: reaches the volume.
        mode: the mode of the volume's directory.
        force: take over a volume with other things in it, or from another user whose containers run.
        check_mode: change nothing.
        seen: the volume's status as somebody has just seen it, who need not be asked again.

    Raises:
        ModuleFailure: there is no volume, it can't be looked at or initialised, it is somebody else's
            (``ForeignContent``), or running containers would lose it (``VolumeInUse``).
    """
    wanted = {"uid": helper.uid, "gid": helper.gid, "mode": mode.rjust(4, "0")}
    if seen and rendering.owner_part(seen["volume"]) == wanted and _is_ours(seen):
        return Prepared(False, dict(seen), wanted, wanted)
    if helper.engine.volume(helper.volume) is None:
        if check_mode:
            return Prepared(True, None, None, wanted)
        raise no_volume(helper.volume)
    status, obstacle = _look(helper)
    if status is not None and rendering.owner_part(status["volume"]) == wanted and _is_ours(status):
        return Prepared(False, status, wanted, wanted)
    if not force:
        _spare_users(helper, mode, status)
    initialised = helper.initialise(mode, force=force, dry_run=check_mode)
    if not initialised["changed"] and obstacle is not None:
        raise obstacle
    if initialised["changed"] and not check_mode:
        status = helper.run("status")
    return Prepared(initialised["changed"], status, initialised["before"], initialised["after"])


def _is_ours(status: Mapping[str, Any]) -> bool:
    """Tell whether a token was ever here; if not, owner and mode may be right by chance, such as a database's."""
    return bool(status["document"]["state"] != "missing" or status["generation"])


def _spare_users(helper: Helper, mode: str, status: Mapping[str, Any] | None) -> None:
    """Refuse to give the volume to another user while containers work with it.

    A volume that is still root's and has no token is what Docker makes, and nobody loses anything by its new owner.

    Raises:
        ModuleFailure: ``VolumeInUse``, with the containers' names.
    """
    users = helper.engine.users_of(helper.volume, running=True)
    if not users:
        return
    owner = status["volume"] if status else helper.initialise(mode, force=True, dry_run=True)["before"]
    if (owner["uid"], owner["gid"]) == (helper.uid, helper.gid):
        return
    if owner["uid"] == 0 and status is not None and not _is_ours(status):
        return
    raise ModuleFailure(
        "VolumeError",
        "VolumeInUse",
        f"the volume {helper.volume} belongs to {owner['uid']}:{owner['gid']} and is used by "
        f"{', '.join(sorted(users))}, which would lose its token if it were given to {helper.uid}:{helper.gid}",
        "correct uid and gid, or stop these containers first; force changes the owner under them",
    )


def _look(helper: Helper) -> tuple[dict[str, Any] | None, ModuleFailure | None]:
    """Return the status, or why the consumers' user can't see it."""
    try:
        return helper.run("status"), None
    except ModuleFailure as failure:
        if failure.kind != "StorageError":
            raise
        return None, failure


def present(
    helper: Helper, mode: str, *, force: bool = False, check_mode: bool, seen: Mapping[str, Any] | None = None
) -> Outcome:
    """Bring about an initialised volume, with whatever document is in it; the arguments are those of :func:`prepare`.

    Raises:
        ModuleFailure: as :func:`prepare`.
    """
    volume = prepare(helper, mode, force=force, check_mode=check_mode, seen=seen)
    document = volume.status["document"] if volume.status else None
    return Outcome(
        changed=volume.changed,
        reason="Initialised" if volume.changed else "Unchanged",
        header=_header(helper),
        before=document,
        after=document,
        generation=volume.status["generation"] if volume.status else None,
        owner_before=volume.owner_before,
        owner_after=volume.owner_after,
    )


def pushed(
    helper: Helper,
    mode: str,
    document: bytes,
    fingerprint: str,
    options: Sequence[str],
    *,
    force: bool = False,
    check_mode: bool,
) -> Outcome:
    """Bring about an initialised volume with this document in it.

    Args:
        helper: reaches the volume.
        mode: the volume's mode.
        document: the document's JSON.
        fingerprint: its fingerprint, by which it is known without being sent.
        options: options of ``push``.
        force: replace whatever is there, and take the volume over as :func:`prepare` does.
        check_mode: change nothing.

    Raises:
        ModuleFailure: as :func:`prepare`, and ``Conflict`` if what is there is newer.
    """
    volume = prepare(helper, mode, force=force, check_mode=check_mode)
    options = ["--force", *options] if force else options
    status = volume.status
    same_owner: dict[str, Any] = {"owner_before": volume.owner_before, "owner_after": volume.owner_after}
    if status is None or (check_mode and volume.changed):
        # nobody can write there before the volume is initialised, not even to try
        there = status["document"] if status else None
        return Outcome(
            True, "Created", _header(helper), there, {"state": "sound", "fingerprint": fingerprint}, None, **same_owner
        )
    current = status["document"]
    if (
        not options
        and current["state"] == "sound"
        and current["fingerprint"] == fingerprint
        and current.get("settled", True)
    ):
        return Outcome(
            volume.changed, "Unchanged", _header(helper), current, current, status["generation"], **same_owner
        )
    reply = helper.run("push", *options, *(["--dry-run"] if check_mode else []), stdin=document)
    return Outcome(
        volume.changed or reply["changed"],
        reply["reason"],
        _header(helper),
        reply["before"],
        reply["after"],
        reply["generation"],
        **same_owner,
    )


def refreshed(helper: Helper, outward: Outward, *, force: bool, check_mode: bool) -> Outcome:
    """Bring about a fresh access token by an exchange in the volume, under its lock.

    Raises:
        ModuleFailure: there is no volume or document, or the provider gave no token.
    """
    _require_volume(helper)
    if check_mode:
        return _would_refresh(helper, force=force)
    reply = helper.run("refresh", *(["--force"] if force else []), outward=outward)
    return Outcome(
        reply["changed"],
        "Refreshed" if reply["exchanged"] else "StillFresh",
        _header(helper),
        reply["before"],
        reply["after"],
        reply["generation"],
        more={"exchanged": reply["exchanged"], "exchanges": reply["exchanges"]},
    )


def _would_refresh(helper: Helper, *, force: bool) -> Outcome:
    reply = helper.run("refresh", "--dry-run", *(["--force"] if force else []))
    document, stale = reply["before"], reply["exchanged"]
    after = {**document, "access_token_fingerprint": None, "expiry": None, "fingerprint": None} if stale else document
    return Outcome(
        stale,
        "Refreshed" if stale else "StillFresh",
        _header(helper),
        document,
        after,
        reply["generation"],
        more={"exchanged": stale, "exchanges": reply["exchanges"]},
    )


def cleared(helper: Helper, reason: str, *, check_mode: bool) -> Outcome:
    """Take the document away on purpose and leave a tombstone that consumers understand.

    Raises:
        ModuleFailure: there is no volume, or it can't be written to.
    """
    _require_volume(helper)
    reply = helper.run("clear", "--reason", reason, *(["--dry-run"] if check_mode else []))
    return Outcome(
        reply["changed"],
        "Cleared" if reply["changed"] else "Unchanged",
        _header(helper),
        reply["before"],
        None,
        reply.get("generation"),
    )


def absent(engine: Engine, volume: str, *, check_mode: bool) -> Outcome:
    """Remove the volume, unless a container has it.

    Raises:
        ModuleFailure: ``VolumeInUse``, with the containers' names.
    """
    found = engine.volume(volume)
    if found is None:
        return Outcome(False, "Unchanged", f"volume {volume}")
    users = engine.users_of(volume)
    if users:
        raise ModuleFailure(
            "VolumeError",
            "VolumeInUse",
            f"the volume {volume} is used by {', '.join(sorted(users))}",
            "remove these containers first, with playbooks/teardown.yml or docker rm",
        )
    if not check_mode:
        engine.remove_volume(volume)
    return Outcome(True, "Removed", f"volume {volume}")


def _require_volume(helper: Helper) -> None:
    if helper.engine.volume(helper.volume) is None:
        raise no_volume(helper.volume)


def _header(helper: Helper) -> str:
    return f"{helper.file} in volume {helper.volume}"
