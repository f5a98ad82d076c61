"""Mends what can be mended from inside the volume, one finding at a time, and looks at everything again after each.

Nothing here asks the provider, and nothing deletes what may exist nowhere else: a pending reply is rolled forward by
the ledger, a document comes from the history, and only temporary files of our own names that are old are removed.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from token_keeper.address import DEADLINE
from token_keeper.doctor.examination import examine
from token_keeper.doctor.finding import Finding
from token_keeper.doctor.leftovers import stale_temporaries
from token_keeper.doctor.owners import right_mode
from token_keeper.errors import StorageError, TokenKeeperError
from token_keeper.lock import DirectoryLock
from token_keeper.reading import Reader
from token_keeper.volume import Volume
from token_keeper.writer import Writer

_PATIENCE: Final = 10.0
"""Seconds to wait for other writers; who keeps the lock for longer is a finding of its own."""

_ORDER: Final = ("WrongMode", "NotAFile", "PendingReply")
"""What is mended before the rest: files that writers need, then the reply that may become the document."""

_LAST: Final = ("StaleTemporaryFiles",)


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """What was done about one finding.

    Attributes:
        finding: the finding.
        mended: whether it was gone afterwards.
        why_not: why it could not be mended.
    """

    finding: Finding
    mended: bool
    why_not: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**self.finding.as_dict(), "mended": self.mended, "why_not": self.why_not}


def repair(path: Path, *, service: str) -> tuple[list[Action], list[Finding]]:
    """Mend what can be mended without a person, and return what was done and what is there afterwards.

    Args:
        path: the document.
        service: who does it, for the event log.
    """
    actions: list[Action] = []
    findings = examine(path)
    while (todo := _next(findings, {action.finding.key for action in actions})) is not None:
        failure = _attempt(Volume(path), todo, service)
        findings = examine(path)
        gone = todo.key not in {finding.key for finding in findings}
        actions.append(Action(todo, gone, "" if gone else failure or "it was still there afterwards"))
    return actions, findings


def _next(findings: Sequence[Finding], tried: set[tuple[str, str, str]]) -> Finding | None:
    todo = [finding for finding in findings if finding.mend and finding.key not in tried]
    return min(todo, key=_rank, default=None)


def _rank(finding: Finding) -> int:
    if finding.reason in _LAST:
        return len(_ORDER) + 1
    # a document of a wrong mode is written anew, which the writer's other work may have done already
    first = finding.reason in _ORDER and not (finding.check == "Document" and finding.reason == "WrongMode")
    return _ORDER.index(finding.reason) if first else len(_ORDER)


def _attempt(volume: Volume, finding: Finding, service: str) -> str:
    """Do what the finding's ``mend`` says; returns why it could not be done."""
    try:
        _work_for(finding)(volume, finding, service)
    except TokenKeeperError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or volume.directory}: {error.strerror}"
    return ""


def _work_for(finding: Finding) -> Callable[[Volume, Finding, str], None]:
    if finding.reason == "NotAFile":
        return _remove_empty_folder
    if finding.reason == "WrongMode" and finding.check == "Files":
        return _set_mode
    if finding.reason == "StaleTemporaryFiles":
        return _remove_stale
    return _settle


def _set_mode(volume: Volume, finding: Finding, _: str) -> None:
    path = Path(finding.where)
    with DirectoryLock(volume.directory).hold(_PATIENCE):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):  # never through a link
            path.chmod(right_mode(status))


def _remove_empty_folder(volume: Volume, finding: Finding, _: str) -> None:
    with DirectoryLock(volume.directory).hold(_PATIENCE) as directory:
        (Path(finding.where) if finding.where else volume.path).rmdir()  # which refuses one that is not empty
        if directory is not None:
            os.fsync(directory)


def _remove_stale(volume: Volume, _finding: Finding, _: str) -> None:
    with DirectoryLock(volume.directory).hold(_PATIENCE):
        for path in stale_temporaries(volume, os.listdir(volume.directory)):
            path.unlink(missing_ok=True)


def _settle(volume: Volume, _: Finding, service: str) -> None:
    """Do what any writer does first: roll a reply forward, judge what others wrote, put back what is torn."""
    writer = Writer(volume, Reader(volume), service=service, lock_timeout=_PATIENCE, exchange_deadline=DEADLINE)
    with writer.held() as ledger:
        ledger.put_back_removed()
        if ledger.problem is not None:
            raise StorageError(
                f"the history has no document to put back in the place of {volume.path}",
                reason=ledger.problem.reason,
                remedy="run site.yml to obtain one",
            )
