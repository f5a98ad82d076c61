"""How a container mounts the token volume, and whether a replaced document can reach it that way."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Mount:
    """One mount of the volume in one container.

    Attributes:
        destination: where it is in the container.
        obstacle: why a replaced document can't be read there; empty if it can.
        remark: what is unusual, but works.
    """

    destination: str
    obstacle: str = ""
    remark: str = ""


def find_mount(container: Mapping[str, Any], volume: str, mountpoint: str, path: str, file: str) -> Mount | None:
    """Return how a container mounts the volume, the least useful way if it does so twice, or ``None``.

    Args:
        container: what ``docker inspect`` says of it.
        volume: name of the volume.
        mountpoint: the volume's folder on the Docker host.
        path: where consumers are expected to mount it.
        file: name of the token document.
    """
    found = [*_of_volume(container, volume, path, file), *_of_folder(container, mountpoint, path)]
    return max(found, key=lambda mount: (bool(mount.obstacle), bool(mount.remark)), default=None)


def _of_volume(container: Mapping[str, Any], volume: str, path: str, file: str) -> Iterator[Mount]:
    asked = container.get("HostConfig", {}).get("Mounts") or []
    subpaths = {entry.get("Target"): (entry.get("VolumeOptions") or {}).get("Subpath") for entry in asked}
    for entry in container.get("Mounts") or []:
        if entry.get("Type") != "volume" or entry.get("Name") != volume:
            continue
        destination = entry["Destination"]
        if subpaths.get(destination):
            yield Mount(
                destination,
                f"it mounts only {subpaths[destination]} of the volume, and keeps the old file when it is replaced: "
                "mount the whole volume",
            )
        elif posixpath.basename(destination) == file:
            yield Mount(
                destination,
                f"the volume is mounted at {destination}, as if it were the file: "
                f"mount it at {posixpath.dirname(destination)}",
            )
        else:
            yield Mount(destination, remark=_remark(destination, path, writable=entry.get("RW", True)))


def _of_folder(container: Mapping[str, Any], mountpoint: str, path: str) -> Iterator[Mount]:
    """Find bind mounts of the volume's folder on the Docker host, or of a file in it."""
    if not mountpoint:
        return
    for entry in container.get("Mounts") or []:
        source = posixpath.normpath(entry.get("Source") or "/")
        if entry.get("Type") != "bind" or not (source == mountpoint or source.startswith(mountpoint + "/")):
            continue
        destination = entry["Destination"]
        if source == mountpoint:
            remark = _remark(destination, path, writable=entry.get("RW", True))
            yield Mount(
                destination, remark="; ".join(filter(None, ["it binds the volume's folder by its path", remark]))
            )
        else:
            yield Mount(
                destination,
                f"it binds {source} alone, and keeps the old file when it is replaced: mount the whole volume",
            )


def _remark(destination: str, path: str, *, writable: bool) -> str:
    remarks = []
    if posixpath.normpath(destination) != posixpath.normpath(path):
        remarks.append(f"the volume is mounted at {destination}, not {path}")
    if not writable:
        remarks.append("the mount is read-only: it can read the token but not renew it")
    return "; ".join(remarks)
