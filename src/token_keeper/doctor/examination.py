"""All checks of one volume."""

from __future__ import annotations

from pathlib import Path

from token_keeper.doctor.files import examine_conditions, examine_directory, examine_document, examine_state
from token_keeper.doctor.filesystem import examine_filesystem
from token_keeper.doctor.finding import Finding
from token_keeper.doctor.locking import examine_lock
from token_keeper.errors import TokenKeeperError
from token_keeper.status import look
from token_keeper.volume import Volume


def examine(path: Path) -> list[Finding]:
    """Examine a document and its volume; takes the lock for a moment and changes nothing.

    Args:
        path: the document.
    """
    volume = Volume(path)
    try:
        status = look(volume)
        findings = [examine_filesystem(volume.directory), examine_directory(volume.directory)]
    except TokenKeeperError as error:
        return [Finding("Directory", "problem", error.message, error.remedy)]
    except OSError as error:
        return [Finding("Directory", "problem", f"cannot look at {volume.directory}: {error.strerror}")]
    findings += examine_lock(volume.directory)
    findings.append(examine_document(status))
    try:
        findings += examine_state(volume)
    except OSError as error:
        findings.append(Finding("State", "problem", f"cannot look into {volume.directory}: {error.strerror}"))
    return findings + examine_conditions(status)
