"""Writes an application's secrets into a volume, in a helper: root with CAP_CHOWN and CAP_DAC_READ_SEARCH alone.

Stdin has ``{"files": {NAME: {"value": TEXT, "mode": "0400"}}, "uid": N, "gid": N, "dry_run": BOOL}``; stdout says which
names changed or went, and the volume's revision, which counts every change. No value is ever told.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from typing import Any

REVISION = ".revision"


def there(path: str) -> tuple[bytes, int, int, int] | None:
    """Return a file's content, mode and owner; ``None`` where there is none."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    except FileNotFoundError:
        return None


def replace(path: str, content: bytes, mode: int, uid: int, gid: int) -> None:
    """Replace a file as a whole: who reads it sees the old one or the new one."""
    number, temporary = tempfile.mkstemp(prefix=".new-", dir=os.path.dirname(path))
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(number, mode)
            os.fchown(number, uid, gid)
            os.fsync(number)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def revision_of(folder: str) -> int:
    """Return how often the volume has been changed."""
    found = there(os.path.join(folder, REVISION))
    return int(found[0]) if found and found[0].strip().isdigit() else 0


def bring_about(folder: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Make the folder hold these secrets and no others.

    The revision goes first: a run that is cut short leaves one that is too high, never a change that nobody notices.
    """
    uid, gid = int(wanted["uid"]), int(wanted["gid"])
    files = {
        name: (one["value"].encode(), int(one["mode"], 8), uid, gid) for name, one in sorted(wanted["files"].items())
    }
    changed = [name for name, file in files.items() if there(os.path.join(folder, name)) != file]
    # one that was cut short leaves a temporary file, which goes as well
    gone = sorted(name for name in os.listdir(folder) if name not in files and name != REVISION)
    revision = revision_of(folder) + bool(changed or gone)
    if (changed or gone) and not wanted["dry_run"]:
        os.chmod(folder, 0o711)  # noqa: S103 - names can be looked up; the files are their owner's alone
        replace(os.path.join(folder, REVISION), str(revision).encode(), 0o644, os.getuid(), os.getgid())
        for name in changed:
            replace(os.path.join(folder, name), *files[name])
        for name in gone:
            os.unlink(os.path.join(folder, name))
    return {"changed": changed, "gone": [name for name in gone if not name.startswith(".")], "revision": revision}


if __name__ == "__main__":
    json.dump(bring_about(sys.argv[1], json.load(sys.stdin)), sys.stdout)
