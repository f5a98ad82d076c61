"""What the doctor finds, from inside the volume or from the Docker host."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

LEVELS: Final = ("error", "warning", "info", "ok")
"""From the worst to the best."""

_TOLD: Final = ("check", "level", "reason", "message", "remedy", "mend", "where")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        check: a CamelCase word for what was looked at, such as ``Containers``.
        level: one of :data:`LEVELS`.
        reason: a CamelCase word for what is wrong; empty where all is well.
        message: what is there, with the evidence; never a secret.
        remedy: what a person does about it.
        mend: what a repair does about it; empty where that is a person's.
        where: the file, container or address that it is about.
        work: what the repair runs, and on what; ``()`` where there is no ``mend``.
    """

    check: str
    level: str
    reason: str
    message: str
    remedy: str = ""
    mend: str = ""
    where: str = ""
    work: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others, and is the same when it is found again."""
        return self.check, self.reason, self.where

    def as_dict(self) -> dict[str, str]:
        """Return the finding as a part of a result."""
        return {name: getattr(self, name) for name in _TOLD}


def of_inside(told: Mapping[str, Any]) -> Finding:
    """Return a finding of the helper, with the fields that are known and nothing else."""
    fields = {name: str(told.get(name) or "") for name in _TOLD}
    if fields["level"] not in LEVELS:
        fields["level"] = "error"
    return Finding(**fields, work=("inside",) if fields["mend"] else ())


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order in which they matter."""
    return sorted(findings, key=lambda one: LEVELS.index(one.level))
