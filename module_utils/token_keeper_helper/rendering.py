"""What a result may say: an allow-list, so that nothing new in an answer of the helper gets into Ansible's output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_DOCUMENT: Final = (
    "state",
    "reason",
    "message",
    "settled",
    "fingerprint",
    "content_fingerprint",
    "access_token_fingerprint",
    "refresh_token_fingerprint",
    "client_fingerprint",
    "client_id_fingerprint",
    "token_uri",
    "scopes",
    "account",
    "expiry",
    "expires_in",
    "uid",
    "gid",
    "mode",
)
_UNSTEADY: Final = frozenset({"expires_in", "content_fingerprint", "settled", "message"})
"""Says nothing in a diff: it changes by itself, or says again what another field says."""
_STATUS: Final = (
    "path",
    "volume",
    "generation",
    "grant",
    "exchanges",
    "failures",
    "cooldown_until",
    "rotation",
    "reuse_grace",
    "clock_skew",
    "grant_expiry",
    "conditions",
    "healthy",
)
_DEADLINE: Final = ("reason", "at", "days_left", "remedy")
_EVENT: Final = ("time", "event", "service", "container", "pid")
_STAGED: Final = ("state", "reason", "message", "since", "by", "grant", "against", "checked_at", "refusal")
_ROTATION: Final = (
    "id",
    "mode",
    "phase",
    "started",
    "by",
    "grant_before",
    "grant_after",
    "generation",
    "refresh_token_before",
    "client_before",
    "client_after",
)
_GRANT: Final = (
    "grant",
    "generation",
    "refresh_token_fingerprint",
    "client_fingerprint",
    "current",
    "maybe_spent",
)


def document_part(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what may be told of a document."""
    if facts is None:
        return None
    return {name: facts[name] for name in _DOCUMENT if name in facts}


def status_part(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be told of a volume's status."""
    told = {name: status[name] for name in _STATUS if name in status}
    return {
        **told,
        "document": document_part(status.get("document")),
        "staged": staged_part(status.get("staged")),
        "rotation_record": rotation_part(status.get("rotation_record")),
        "lineage": lineage_part(status.get("lineage")),
        "deadlines": [_only(_DEADLINE, deadline) for deadline in status.get("deadlines") or []],
        "last_event": event_part(status.get("last_event")),
        "last_refresh": event_part(status.get("last_refresh")),
    }


def event_part(event: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what may be told of an event."""
    return None if event is None else _only(_EVENT, event)


def staged_part(staged: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what may be told of a document that waits for its promotion."""
    if staged is None:
        return None
    told = {name: staged[name] for name in _STAGED if name in staged}
    return {**told, "document": document_part(staged.get("document"))}


def rotation_part(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what may be told of a rotation."""
    return None if record is None else {name: record[name] for name in _ROTATION if name in record}


def lineage_part(lineage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the fingerprints by which two hosts are compared."""
    if lineage is None:
        return None
    grants = [{name: grant[name] for name in _GRANT if name in grant} for grant in lineage["grants"]]
    return {"superseded": list(lineage["superseded"]), "grants": grants}


def owner_part(volume: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return owner and mode of a volume."""
    if volume is None:
        return None
    return {name: volume[name] for name in ("uid", "gid", "mode") if name in volume}


def policy_part(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is declared of the provider."""
    return {name: policy[name] for name in ("rotation", "reuse_grace") if name in policy}


def diff(
    header: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    owner_before: Mapping[str, Any] | None = None,
    owner_after: Mapping[str, Any] | None = None,
    policy_before: Mapping[str, Any] | None = None,
    policy_after: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a diff for Ansible to show: fingerprints, scopes, expiry, owner and mode, what is declared.

    Args:
        header: which document of which volume.
        before: facts of the document before.
        after: facts of the document after.
        owner_before: owner and mode of the volume before, where they are known.
        owner_after: owner and mode of the volume after.
        policy_before: what was declared of the provider before, where it is about that.
        policy_after: what is declared of it after.
    """
    return {
        "before_header": header,
        "after_header": header,
        "before": _side(before, owner_before, policy_before),
        "after": _side(after, owner_after, policy_after),
    }


def _only(names: Iterable[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in names if name in facts}


def _side(
    document: Mapping[str, Any] | None, owner: Mapping[str, Any] | None, policy: Mapping[str, Any] | None
) -> dict[str, Any]:
    told = {name: value for name, value in (document_part(document) or {}).items() if name not in _UNSTEADY}
    side: dict[str, Any] = {"document": told or None}
    if owner is not None:
        side["volume"] = owner_part(owner)
    if policy is not None:
        side["policy"] = policy_part(policy)
    return side


def redact(text: str, secrets: Iterable[str | None]) -> str:
    """Take secrets out of a text that is about to be shown.

    No message of the kit carries one. This is for texts that come from elsewhere, such as an exception of a library.
    """
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text
