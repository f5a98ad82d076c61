"""The doctor's repair: one finding at a time, in an order in which none hurts another, and a new look after each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, Final

from .diagnosis import Doctor, Examination
from .engine_errors import last_line
from .failure import ModuleFailure
from .finding import Finding, of_inside, worst_first

_ORDER: Final = ("unpause", "owner", "inside", "start", "up", "recreate", "restart")
"""Who is frozen may hold the lock; a writer needs its files; consumers come when the document is sound."""

_MOST: Final = 40
"""Steps of one run: no more than there can be findings, so that one that comes back can't go round for ever."""

_LOOK_EVERY: Final = 0.5


@dataclasses.dataclass(frozen=True)
class Action:
    """What was done about one finding, or would be.

    Attributes:
        finding: the finding.
        outcome: ``mended``, ``could not`` or, in check mode, ``would``.
        why_not: why it could not be mended.
        in_vain: whether something was changed, and it did not help.
    """

    finding: Finding
    outcome: str
    why_not: str = ""
    in_vain: bool = False

    def as_dict(self) -> dict[str, str]:
        """Return the action as a part of a result."""
        told = self.finding.as_dict()
        kept = {name: told[name] for name in ("check", "reason", "where", "message", "mend")}
        return {**kept, "outcome": self.outcome, "why_not": self.why_not}


def doctored(doctor: Doctor, *, repair: bool, check_mode: bool) -> dict[str, Any]:
    """Examine, and mend what can be mended where that is asked for.

    Returns:
        The result of the module ``token_doctor``.

    Raises:
        ModuleFailure: the engine can't be asked, or the helper's image is not there.
    """
    found = doctor.examine()
    actions: list[Action] = []
    if repair and check_mode:
        actions = [Action(finding, "would") for finding in sorted(_mendable(found), key=_rank)]
    elif repair:
        actions, found = _repaired(doctor, found)
    return {
        "changed": any(action.in_vain or action.outcome in {"mended", "would"} for action in actions),
        "findings": [finding.as_dict() for finding in found.findings],
        "consumers": [access.as_dict() for access in found.accesses],
        "actions": [action.as_dict() for action in actions],
        "generation": found.generation,
        "errors": sum(finding.level == "error" for finding in found.findings),
        # not by the name "warnings", which Ansible takes for texts of its own
        "warned": sum(finding.level == "warning" for finding in found.findings),
    }


def _repaired(doctor: Doctor, found: Examination) -> tuple[list[Action], Examination]:
    actions: list[Action] = []
    tried: set[tuple[str, str, str]] = set()
    waited: set[tuple[str, str, str]] = set()
    for _ in range(_MOST):
        todo = min((one for one in _mendable(found) if one.key not in tried), key=_rank, default=None)
        if todo is None:
            break
        if todo.work[0] == "inside":
            inside, failure = _inside(doctor)
            actions += inside
            # all that could be mended there was tried, this one too
            tried |= {one.key for one in _mendable(found) if one.work[0] == "inside"}
            found = doctor.examine()
            if failure:
                actions.append(Action(todo, "could not", failure))
            continue
        if todo.reason == "ContainerUnhealthy" and actions and todo.key not in waited:
            # what it suffered from may have been mended just now, which its next health check will tell
            waited.add(todo.key)
            _well(doctor, todo.work[1])
            found = doctor.examine()
            continue
        tried.add(todo.key)
        failure, changed = _attempt(doctor, todo.work)
        found = doctor.examine()
        mended = not failure and todo.key not in {finding.key for finding in found.findings}
        why_not = "" if mended else failure or "it was still there afterwards"
        actions.append(Action(todo, "mended" if mended else "could not", why_not, changed and not mended))
    return actions, found


def _mendable(found: Examination) -> list[Finding]:
    return [finding for finding in worst_first(found.findings) if finding.work]


def _rank(finding: Finding) -> int:
    return _ORDER.index(finding.work[0])


def _inside(doctor: Doctor) -> tuple[list[Action], str]:
    """Have the helper mend what it can, as the consumers' user and under the lock."""
    try:
        told = doctor.helper.examine(repair=True)
    except ModuleFailure as failure:
        return [], str(failure)
    return [_told(action) for action in told.get("actions") or []], ""


def _told(action: Mapping[str, Any]) -> Action:
    mended = action.get("mended") is True
    return Action(of_inside(action), "mended" if mended else "could not", str(action.get("why_not") or ""))


def _attempt(doctor: Doctor, work: tuple[str, ...]) -> tuple[str, bool]:
    """Do one thing; returns why it could not be done, and whether it has changed anything."""
    kind, changed = work[0], False
    try:
        if kind == "owner":
            changed = doctor.helper.initialise(doctor.mode, dry_run=False).get("changed") is True
        elif kind in {"up", "recreate"}:
            changed = True  # before it says that what it has made is not well
            _compose(doctor, work[1], recreate=kind == "recreate")
        else:
            _run(doctor, kind, work[1])
            changed = True
            if not _well(doctor, work[1]):
                return f"{work[1]} is not well after {doctor.timeout:g} s", True
    except ModuleFailure as failure:
        return str(failure), changed
    return "", changed


def _run(doctor: Doctor, *words: str) -> None:
    completed = doctor.helper.engine.docker(*words)
    if completed.exit_code != 0:
        said = f"docker {' '.join(words)}: {last_line(completed.stderr)}"
        raise ModuleFailure("EngineError", "EngineRefused", said)


def _compose(doctor: Doctor, service: str, *, recreate: bool) -> None:
    """Bring a service up as its file says; containers that are as they should be are left alone."""
    place = ["compose", "--project-name", doctor.project, "--file", doctor.compose_file]
    kept = [] if recreate else ["--no-recreate"]
    wait = ["--wait", "--wait-timeout", str(int(doctor.timeout))]
    _run(doctor, *place, "up", "--detach", "--no-deps", "--pull", "never", *kept, *wait, service)


def _well(doctor: Doctor, name: str) -> bool:
    """Wait until a container is well, and tell whether it is when the time is up."""
    deadline = time.monotonic() + doctor.timeout
    while True:
        told = doctor.helper.engine.inspect([name])
        state = (told[0].get("State") or {}) if told else {}
        health = (state.get("Health") or {}).get("Status") or "healthy"
        if state.get("Status") == "running" and health == "healthy":
            return True
        if not told or time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_EVERY)
