"""What a task came to, and the result that Ansible gets of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from . import rendering


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a task came to, or in check mode would come to.

    Attributes:
        changed: whether anything did.
        reason: a CamelCase word for what happened.
        header: the document and volume, as a diff's heading.
        before: facts of the document before, ``None`` if there was none.
        after: facts of the document after.
        generation: generation afterwards; ``None`` where it is not known.
        owner_before: owner and mode of the volume before; ``None`` where there was no volume.
        owner_after: owner and mode of the volume after; ``None`` where the task is not about them.
        policy_before: what was declared of the provider before; ``None`` where the task does not change it.
        policy_after: what is declared of it after.
        more: further fields of the result.
    """

    changed: bool
    reason: str
    header: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    generation: int | None = None
    owner_before: Mapping[str, Any] | None = None
    owner_after: Mapping[str, Any] | None = None
    policy_before: Mapping[str, Any] | None = None
    policy_after: Mapping[str, Any] | None = None
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        """Return the outcome as a task's result."""
        before, after = _there(self.before), _there(self.after)
        result = {
            "changed": self.changed,
            "reason": self.reason,
            "generation": self.generation,
            "before": rendering.document_part(before),
            "after": rendering.document_part(after),
            "diff": rendering.diff(
                self.header,
                before,
                after,
                owner_before=self.owner_before,
                owner_after=self.owner_after,
                policy_before=self.policy_before,
                policy_after=self.policy_after,
            ),
            **self.more,
        }
        if self.owner_after is not None:
            result["volume"] = rendering.owner_part(self.owner_after)
        if self.policy_after is not None:
            result["policy"] = rendering.policy_part(self.policy_after)
        return result


def _there(document: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the facts of a document, ``None`` for facts that say that there is none."""
    return None if document is None or document.get("state") == "missing" else document
