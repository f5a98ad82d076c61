"""The common end of every token module: outcome or failure, as Ansible wants to hear it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .failure import ModuleFailure


def concluded(work: Callable[[], dict[str, Any]], *, check_mode: bool) -> dict[str, Any]:
    """Do the work and return the task's result, which has ``failed`` set if it failed.

    In check mode an image that is not there yet is no failure: in a real run the role ``images`` has made it by then.
    """
    try:
        return work()
    except ModuleFailure as failure:
        if check_mode and failure.reason == "ImageMissing":
            said = f"nothing could be compared in check mode: {failure.message}"
            return {"changed": False, "reason": failure.reason, "warnings": [said]}
        return {"failed": True, "changed": False, **failure.as_result()}
