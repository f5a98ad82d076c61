"""What a check finds."""

from __future__ import annotations

import dataclasses
from typing import Literal

Level = Literal["ok", "info", "warning", "error"]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One check's result.

    Attributes:
        check: a CamelCase word for what was looked at, such as ``FileSystem``.
        level: ``error`` where the token can get lost or nobody can work, ``warning`` where that may come, ``info``
            where it is good to know.
        message: what is there, with the evidence; never a secret.
        remedy: what a person does about it, empty where nothing has to be done.
        reason: a CamelCase word for what is wrong, that a program can branch on; empty where all is well.
        mend: what :func:`token_keeper.doctor.repair` does about it, empty where that is a person's.
        where: the file that it is about, where there may be several findings of a kind.
    """

    check: str
    level: Level
    message: str
    remedy: str = ""
    reason: str = ""
    mend: str = ""
    where: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other findings, and is the same when it is found again."""
        return self.check, self.reason, self.where

    def as_dict(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return dataclasses.asdict(self)
