"""What a check finds."""

from __future__ import annotations

import dataclasses
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One check's result.

    Attributes:
        check: a CamelCase word that a program can branch on, such as ``FileSystem``.
        level: ``problem`` where the token can get lost or nobody can work, ``warning`` where that may come.
        message: what is there; never a secret.
        remedy: what to do, empty where nothing has to be done.
    """

    check: str
    level: Level
    message: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return dataclasses.asdict(self)
