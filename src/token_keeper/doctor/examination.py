"""All checks of one volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from token_keeper.doctor.conditions import examine_conditions, examine_events, examine_life, trace
from token_keeper.doctor.files import examine_directory, examine_document, examine_state
from token_keeper.doctor.filesystem import examine_filesystem, examine_space
from token_keeper.doctor.finding import Finding
from token_keeper.doctor.leftovers import examine_leftovers
from token_keeper.doctor.locking import examine_lock
from token_keeper.doctor.owners import examine_owners
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
        status = look(volume, patient=True)
    except TokenKeeperError as error:
        return [Finding("Directory", "error", error.message, error.remedy, error.reason)]
    directory = volume.directory
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("FileSystem", lambda: [examine_filesystem(directory)]),
        ("Space", lambda: [examine_space(directory)]),
        ("Directory", lambda: [examine_directory(directory)]),
        ("Lock", lambda: examine_lock(directory, trace(status))),
        ("Document", lambda: examine_document(volume, status)),
        ("State", lambda: examine_state(volume, status)),
        ("Files", lambda: examine_owners(volume)),
        ("Leftovers", lambda: examine_leftovers(volume)),
        ("Conditions", lambda: examine_conditions(status)),
        ("AccessToken", lambda: examine_life(status)),
        ("Events", lambda: examine_events(status)),
    ]
    return [finding for name, check in checks for finding in _results(name, check, directory)]


def _results(name: str, check: Callable[[], list[Finding]], directory: Path) -> list[Finding]:
    """Run one check: what one can't look at must not hide what the others see."""
    try:
        return check()
    except TokenKeeperError as error:
        return [Finding(name, "error", error.message, error.remedy, error.reason)]
    except OSError as error:
        where = error.filename or directory
        message = f"cannot look at {where}: {error.strerror}"
        return [Finding(name, "error", message, "run the doctor as the volume's owner", "WrongOwner")]
