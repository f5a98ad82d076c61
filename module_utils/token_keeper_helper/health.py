"""How well a token does: whether it serves those who use it, and will go on doing so by itself.

This runs on the controller.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

OK: Final = "ok"
DEGRADED: Final = "degraded"
"""It serves, and something should be looked at before it no longer does."""

FAILED: Final = "failed"
"""It does not serve, or will stop within its access token's life and only a person can help it."""

_RANK: Final = (OK, DEGRADED, FAILED)
_CONSENT: Final = "a person has to consent again: ansible-playbook site.yml -e oauth_token_reconsent=true"
_DEPLOY: Final = "put a token there: ansible-playbook site.yml"
_RENEW: Final = "renew it at once, or hear why not: ansible-playbook playbooks/verify.yml"
_LOOK: Final = "look at that container: docker ps --all, docker logs"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        health: ``degraded`` or ``failed``.
        what: a sentence about it.
        remedy: what to do.
    """

    health: str
    what: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as a part of the report."""
        return dataclasses.asdict(self)


def worst(healths: Iterable[str]) -> str:
    """Return the worst of them, ``ok`` of none."""
    return max(healths, key=_RANK.index, default=OK)


def judge(look: Mapping[str, Any], deadline_days: float) -> list[Finding]:
    """Say what is not as it should be of a token.

    Args:
        look: an entry of ``tokens`` as the module ``token_status_info`` returns it.
        deadline_days: from how many days before its grant's end on that is worth a word.
    """
    obstacle = _obstacle(look)
    return [obstacle] if obstacle is not None else list(_weaknesses(look, deadline_days))


def condition_of(look: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the condition that says most of a token: what has to be done, what is being done, or how it is."""
    status = look["status"]
    if status is None:
        return None
    by_type = {condition["type"]: condition for condition in status.get("conditions") or []}
    for name in ("ReauthRequired", "Refreshing"):
        if by_type.get(name, {}).get("status") == "True":
            return dict(by_type[name])
    return dict(by_type["Ready"]) if "Ready" in by_type else None


def _obstacle(look: Mapping[str, Any]) -> Finding | None:
    """Return why the token does not serve; ``None`` if it does."""
    if look["error"]:
        return Finding(FAILED, look["error"]["message"], look["error"].get("remedy", ""))
    if not look["volume_exists"]:
        return Finding(FAILED, f"the volume {look['volume']} does not exist", _DEPLOY)
    return _breakdown(look["status"])


def _breakdown(status: Mapping[str, Any]) -> Finding | None:
    document = status["document"]
    dead = _condition(status, "ReauthRequired")
    if dead.get("status") == "True":
        return Finding(FAILED, f"the grant can't be renewed any more: {dead['reason']}, {dead['message']}", _CONSENT)
    if document["state"] != "sound":
        why = document.get("message") or document.get("reason") or "nothing is known of it"
        return Finding(FAILED, f"the document is {document['state']}: {why}", _DEPLOY)
    if not status["healthy"]:
        if _seconds(document) <= 0 and status["failures"]:
            return Finding(FAILED, f"the access token has run out, and {_attempts(status)}", _RENEW)
        ready = _condition(status, "Ready")
        return Finding(FAILED, f"consumers can't work with it: {ready.get('message') or 'not Ready'}", _DEPLOY)
    return None


def _weaknesses(look: Mapping[str, Any], deadline_days: float) -> Iterator[Finding]:
    status = look["status"]
    document = status["document"]
    if _seconds(document) <= 0:
        over = "has run out" if document.get("expires_in") is not None else "has no expiry that is known"
        yield Finding(DEGRADED, f"the access token {over}, and the next who asks renews it", _RENEW)
    if status["failures"]:
        yield Finding(DEGRADED, _attempts(status), _RENEW)
    if document.get("settled") is False:
        what = "another program wrote the document, and its generation is unknown until somebody takes the lock"
        yield Finding(DEGRADED, what, "take it over: ansible-playbook playbooks/verify.yml")
    if status["volume"].get("writable") is False:
        what = "the consumers' user may not write to the volume, so that nobody could renew it"
        yield Finding(DEGRADED, what, "give it back its owner and mode: ansible-playbook site.yml")
    for deadline in status.get("deadlines") or []:
        if deadline["days_left"] <= deadline_days:
            when = f"{deadline['days_left']} days left" if deadline["days_left"] >= 0 else "that day is past"
            what = f"the grant ends on {deadline['at'][:10]} ({deadline['reason']}), {when}"
            yield Finding(DEGRADED, what, deadline["remedy"])
    for page in look["silent"]:
        what = f"{page['url']}, where processes tell what they use, does not answer: {page['why']}"
        yield Finding(DEGRADED, what, _LOOK)
    for who in look["missing"]:
        yield Finding(DEGRADED, who, "bring it up: ansible-playbook site.yml")
    if not look["silent"]:  # else they are judged by a page that is not there
        for consumer in look["consumers"]:
            if not consumer["converged"]:
                why = consumer["reason"] or f"it uses generation {consumer['generation']}"
                yield Finding(DEGRADED, f"{consumer['container']} lags behind: {why}", _LOOK)


def _condition(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions") or [] if one["type"] == name), {})


def _seconds(document: Mapping[str, Any]) -> float:
    left = document.get("expires_in")
    return -1.0 if left is None else float(left)


def _attempts(status: Mapping[str, Any]) -> str:
    attempt, pause = _condition(status, "Refreshing"), status.get("cooldown_until")
    times = "once" if status["failures"] == 1 else f"{status['failures']} times"
    return (
        f"renewing it failed {times}"
        + (f", next try not before {pause}" if pause else "")
        + (f"; the last attempt: {attempt['reason']}, {attempt['message']}" if attempt else "")
    )
