"""What kind of volume it is: its driver and options decide whether its locks hold, and whether it outlives a reboot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .finding import Finding

_SHARED: Final = frozenset({"9p", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"})
_LOCAL: Final = "use a volume of the local driver without options: role token_volume makes one"


def examine_kind(volume: Mapping[str, Any]) -> Iterator[Finding]:
    """Judge what ``docker volume inspect`` says of a volume."""
    name, driver, options = volume["Name"], str(volume.get("Driver") or "local"), volume.get("Options") or {}
    kind, device = str(options.get("type") or ""), str(options.get("device") or "")
    if driver != "local":
        why = f"the volume {name} is of the driver {driver}, which alone knows whether the lock holds"
        yield Finding("Volume", "warning", "OtherDriver", why, _LOCAL, where=driver)
    if kind.lower() in _SHARED or kind.lower().startswith("fuse") or "addr=" in str(options.get("o") or ""):
        why = (
            f"the volume {name} is on {kind or 'the network'} ({device or 'no device'}): other hosts "
            "reach it, and locks and renames on it don't hold between them, or not at all"
        )
        yield Finding("Volume", "error", "SharedVolume", why, _LOCAL, where=kind)
    elif kind == "none" and "bind" in str(options.get("o") or "").split(","):
        why = f"the volume {name} is the folder {device} of the host: programs there may write without the lock"
        yield Finding("Volume", "info", "HostFolderVolume", why, _LOCAL, where=device)
