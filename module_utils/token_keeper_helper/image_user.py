"""Who a container runs as: a name or number of an image or a Compose service, as the uid and gid that files have."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Final

from .engine import HELPER_LABEL, Engine
from .engine_errors import last_line
from .failure import ModuleFailure

_NUMBERS: Final = re.compile(r"(\d+):(\d+)")
_TAR_BLOCK: Final = 512


@dataclasses.dataclass(frozen=True)
class Image:
    """What ``docker image inspect`` says of an image, as far as it matters here."""

    user: str
    working_dir: str


def inspect(engine: Engine, name: str) -> Image | None:
    """Return what an image says of itself, or ``None`` where the engine has no such image.

    Raises:
        ModuleFailure: the engine could not be asked.
    """
    found = engine.image(name)
    config: dict[str, Any] = (found or {}).get("Config") or {}
    return None if found is None else Image(str(config.get("User") or ""), str(config.get("WorkingDir") or ""))


def numbers(user: str) -> tuple[int, int] | None:
    """Return uid and gid where both are told as numbers, ``None`` where the image's own files have to be asked."""
    match = _NUMBERS.fullmatch(user)
    return (int(match[1]), int(match[2])) if match else (0, 0) if user in ("", ":", "root", "0") else None


def identity(user: str, passwd: str, group: str) -> tuple[int, int] | None:
    """Return the uid and gid that the engine gives a container with this user.

    Args:
        user: ``name``, ``uid``, ``name:group`` or the like, as in ``docker run --user``.
        passwd: the image's ``/etc/passwd``.
        group: the image's ``/etc/group``.

    Returns:
        ``None`` for a name that the files don't have: the engine would not start such a container.
    """
    who, _, of = user.partition(":")
    who = who or "0"  # such as "${UID}:${GID}" without such variables: the engine takes root
    entries = [line.split(":") for line in passwd.splitlines() if line.count(":") >= 3]
    entry = next((one for one in entries if who in (one[0], one[2])), None)
    if entry is None and not who.isdigit():
        return None
    uid, gid = (int(entry[2]), int(entry[3])) if entry else (int(who), 0)
    if not of:
        return uid, gid
    groups = {line.split(":")[0]: line.split(":")[2] for line in group.splitlines() if line.count(":") >= 2}
    named = groups.get(of, of)
    return (uid, int(named)) if named.isdigit() else None


def resolve(engine: Engine, image: str, user: str) -> tuple[int, int]:
    """Return uid and gid of a user in an image that is there.

    Nothing of the image is run: its files are copied out of a container that is made and never started.

    Raises:
        ModuleFailure: ``UserUnknown``, or the engine refused.
    """
    known = numbers(user)
    if known is not None:
        return known
    made = engine.docker("create", "--network=none", "--pull=never", f"--label={HELPER_LABEL}", image, "true")
    if made.exit_code != 0:
        raise _unreadable(image, last_line(made.stderr))
    container = made.stdout.strip().splitlines()[-1]
    try:
        files = [_file(engine, container, path) for path in ("/etc/passwd", "/etc/group")]
    finally:
        engine.docker("rm", "--force", "--volumes", container)
    found = identity(user, *files)
    if found is None:
        raise ModuleFailure(
            "ImageError",
            "UserUnknown",
            f"the user {user} is not in /etc/passwd and /etc/group of the image {image}: the engine would not start it",
            'correct user: in the project, or name a user by service: app_stack_users: {web: "1000:1000"}',
        )
    return found


def _file(engine: Engine, container: str, path: str) -> str:
    """Return a small file of a container, which ``docker cp`` writes as an archive; empty where there is none."""
    copied = engine.docker("cp", "--follow-link", f"{container}:{path}", "-")
    return copied.stdout[_TAR_BLOCK:].partition("\0")[0] if copied.exit_code == 0 else ""


def _unreadable(image: str, why: str) -> ModuleFailure:
    return ModuleFailure(
        "ImageError",
        "UserUnknown",
        f"the image {image} cannot be asked which user it runs as: {why}",
        'say so yourself, by service: app_stack_users: {web: "1000:1000"}',
    )
