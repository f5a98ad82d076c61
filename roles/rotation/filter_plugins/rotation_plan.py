"""What is to be done, by what the volume says of an earlier rotation; and which hosts share one grant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Status = Mapping[str, Any]

_LIVE: Final = ("promoted", "converged")
"""Phases in which a rotation has gone live and is not finished."""

_HOPELESS: Final = ("StagedExpired", "StagedCorrupt", "GrantChanged", "Superseded")
"""Why a staged document will never go live; a later check or promotion would end the same way."""


def plan(status: Status | None, mode: str) -> dict[str, Any]:
    """Decide what a run has to do; an interrupted one is finished by nothing but its record.

    Arguments:
        status: the volume's, as ``token_volume_info`` returns it.
        mode: ``refresh``, ``reconsent`` or ``client``.

    Returns:
        finish: ``reconsent`` or ``client``, where one has gone live and still has to be watched, or retired.
        watched: whether its consumers have been seen to follow, so that only its end is left.
        waits: whether a document is staged.
        begin: whether the mode itself has to be done: a new grant that is finished, or waits, needs no other one.
        stage: whether a document has to be obtained first.
    """
    found = status or {}
    waits = found.get("staged") is not None
    live = None if waits else unfinished(found)
    kind = kind_of(live) if live is not None else None
    return {
        "finish": kind,
        "watched": live is not None and live["phase"] == "converged",
        "waits": waits,
        "begin": not (mode == "reconsent" and kind == "reconsent"),
        "stage": mode == "reconsent" and not waits,
    }


def unfinished(status: Status) -> Mapping[str, Any] | None:
    """Return the record of a rotation that is live and not finished, ``None`` where there is none."""
    record: Mapping[str, Any] | None = status.get("rotation_record")
    if record is None or record["phase"] not in _LIVE or record["grant_after"] != status.get("grant"):
        return None
    return record


def kind_of(record: Mapping[str, Any]) -> str:
    """Tell what a rotation replaces: ``client`` where the grant stays and its client's secret is new."""
    return "client" if record["grant_before"] == record["grant_after"] else "reconsent"


def way_back(status: Status | None, reason: str) -> str:
    """Say what to do after a failure, by the phase alone.

    Arguments:
        status: the volume's after the failure.
        reason: the failure's.

    Returns:
        ``grant``: back to the earlier grant. ``client``: back to the secret before. ``unstage``: what is staged will
        never go live. ``none``: what is live stays, and the next run goes on from here.
    """
    found = status or {}
    staged = found.get("staged")
    if staged is not None:
        return "unstage" if staged.get("refusal") or staged["state"] != "sound" or reason in _HOPELESS else "none"
    live = unfinished(found)
    if live is None or live["phase"] != "promoted":
        return "none"
    if kind_of(live) == "client":
        return "client"
    return "grant" if live["grant_before"] else "none"


def shared(statuses: Mapping[str, Status | None]) -> list[list[str]]:
    """Find hosts that hold one grant of a provider that may rotate: whoever refreshes there ends the others' token.

    Arguments:
        statuses: of each host's volume, by the host's name.

    Returns:
        Groups of two hosts and more, in the order of their names.
    """
    groups: list[set[str]] = []
    names = sorted(statuses)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            if _same(statuses[one], statuses[other]) or _same(statuses[other], statuses[one]):
                joined = [group for group in groups if group & {one, other}]
                groups = [group for group in groups if group not in joined]
                groups.append(set().union({one, other}, *joined))
    return sorted(sorted(group) for group in groups)


def _same(one: Status | None, other: Status | None) -> bool:
    """Tell whether the current refresh token of one is the other's, or was before that went on."""
    mine = _current(one)
    if mine is None or other is None or "no" in {str((one or {}).get("rotation")), str(other.get("rotation"))}:
        return False
    return mine == _current(other) or mine in ((other.get("lineage") or {}).get("superseded") or [])


def held_elsewhere(statuses: Mapping[str, Status | None], host: str) -> bool:
    """Tell whether another host may use a grant that this one has or has had: it must not be ended for that.

    Whether the provider rotates makes no difference here.
    """
    status = statuses.get(host)
    lineage = (status or {}).get("lineage") or {}
    mine = {_current(status), *(entry.get("refresh_token_fingerprint") for entry in lineage.get("grants") or [])} - {
        None
    }
    left = mine | set(lineage.get("superseded") or [])
    for name, other in statuses.items():
        gone_on = ((other or {}).get("lineage") or {}).get("superseded") or []
        if name != host and (_current(other) in left or not mine.isdisjoint(gone_on)):
            return True
    return False


def _current(status: Status | None) -> str | None:
    document = (status or {}).get("document") or {}
    return document.get("refresh_token_fingerprint") if document.get("state") == "sound" else None


def tokens_of(tokens: Sequence[Mapping[str, Any]], volume: str, file: str) -> list[Mapping[str, Any]]:
    """Return those of a host's tokens that are this one: what an entry doesn't say is as the rotation's."""
    return [entry for entry in tokens if (entry.get("volume") or volume, entry.get("file") or file) == (volume, file)]


def containers(consumers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the containers of each service whose processes have reported: they are to be there at the end, too.

    Others may be somebody's command that has ended by then.
    """
    services = [str(consumer["service"]) for consumer in consumers if consumer.get("processes")]
    return {service: services.count(service) for service in sorted(set(services))}


def names(groups: Sequence[Sequence[str]]) -> str:
    """Return groups of hosts as a part of a sentence."""
    return "; ".join(" and ".join([", ".join(group[:-1]), group[-1]]) for group in groups)


class FilterModule:
    """The filters by the names that the role's templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {
            "rotation_plan": plan,
            "rotation_unfinished": unfinished,
            "rotation_kind": kind_of,
            "rotation_way_back": way_back,
            "rotation_shared": shared,
            "rotation_held_elsewhere": held_elsewhere,
            "rotation_names": names,
            "rotation_tokens": tokens_of,
            "rotation_containers": containers,
        }
