"""The files of backups on the controller: their names, how one comes to be, and which go."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from .arguments import usage
from .failure import ModuleFailure

_MOMENT = "%Y%m%dT%H%M%SZ"
_MOST = 4 * 1_048_576


@dataclasses.dataclass(frozen=True)
class BackupFiles:
    """The backups of one document of one host, ``HOST+VOLUME+DOCUMENT+20261126T074300Z.vault`` in one folder.

    What a name may not hold is written as in addresses, with per cent signs, the plus included: so no two documents
    share a name. Files with any other name are never touched.

    Attributes:
        folder: where they are.
        host: the host, as the inventory names it.
        volume: name of the volume.
        file: file name of the document.
    """

    folder: Path
    host: str
    volume: str
    file: str

    @property
    def stem(self) -> str:
        """What all their names begin with; no hyphen, which would make an option of a name on a command line."""
        stem = "+".join(quote(part, safe="@") for part in (self.host, self.volume, self.file))
        return f"%2D{stem[1:]}" if stem.startswith("-") else stem

    def name(self, moment: datetime) -> str:
        """Return the name of the one of a moment, in UTC."""
        return f"{self.stem}+{moment.astimezone(UTC).strftime(_MOMENT)}.vault"

    def all(self) -> list[Path]:
        """Return those that are there, the newest first.

        Raises:
            ModuleFailure: the folder can't be read.
        """
        pattern = re.compile(re.escape(self.stem) + r"\+\d{8}T\d{6}Z\.vault")
        try:
            names = sorted(os.listdir(self.folder), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable("read", error) from None
        return [self.folder / name for name in names if pattern.fullmatch(name)]

    def write(self, text: str, moment: datetime, check: Callable[[bytes, str], None]) -> Path:
        """Make a new file, whole or not at all, with mode 0600 in a folder with mode 0700.

        Args:
            text: the backup, encrypted.
            moment: when it was taken; if there is one of the same second, the name tells the next.
            check: is shown what can be read back from the disk, and the path, before the file has its name. What it
                raises ends the work, and the file.

        Raises:
            ModuleFailure: it can't be written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._draft(text.encode()) as draft:
                check(draft.read_bytes(), str(self.folder / self.name(moment)))
                return self._named(draft, moment)
        except OSError as error:
            raise self._unusable("write to", error) from None

    def remove(self, paths: list[Path]) -> None:
        """Remove files.

        Raises:
            ModuleFailure: one can't be removed.
        """
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable("remove from", error) from None

    def warnings(self) -> list[str]:
        """Return what is to be said of the folder: others may get in."""
        try:
            mode = stat.S_IMODE(self.folder.stat().st_mode)
        except OSError:
            return []
        if mode & 0o077 == 0:
            return []
        return [
            f"{self.folder} is open to other users (mode {mode:04o}): the backups are encrypted and 0600, and their "
            f"names can be read. To close it: chmod 0700 {self.folder}"
        ]

    @contextlib.contextmanager
    def _draft(self, data: bytes) -> Iterator[Path]:
        draft = self.folder / f".{self.stem}.{secrets.token_hex(8)}.draft"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def _named(self, draft: Path, moment: datetime) -> Path:
        while True:
            path = self.folder / self.name(moment)
            try:
                os.link(draft, path)  # unlike a rename, it never replaces anything
            except FileExistsError:
                moment += timedelta(seconds=1)
                continue
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return path

    def _unusable(self, what: str, error: OSError) -> ModuleFailure:
        return ModuleFailure(
            "BackupError",
            "FolderUnusable",
            f"cannot {what} the folder for backups, {self.folder}: {error.strerror}",
            "name one of your own in token_backup_dir (-e token_backup_dir=...)",
        )


def on_controller(name: str) -> Path:
    """Return a path on the controller as the operator has named it, the tilde of a home included.

    Raises:
        ModuleFailure: there is no such home.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise usage(
            f"{name} begins with the home of a user that the controller does not have",
            "name the path from the root; nothing was changed",
        ) from None


def read(path: Path) -> bytes:
    """Return the content of a file on the controller.

    Raises:
        ModuleFailure: it can't be read, or is far too large for what it should be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise ModuleFailure(
            "BackupError",
            "FileUnreadable",
            f"cannot read {path} on the controller: {error.strerror}",
            "name a file that is there; nothing was changed",
        ) from None
    if len(data) > _MOST:
        raise ModuleFailure(
            "BackupError",
            "FileTooLarge",
            f"{path} is larger than {_MOST} bytes, as neither a backup nor a document is",
            "name another file; nothing was changed",
        )
    return data
