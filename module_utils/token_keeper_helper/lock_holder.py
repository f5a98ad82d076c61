"""Who holds the volume's lock, as the Docker host sees it: in a helper other containers' processes have no names."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .container import Container

_CONTAINER: Final = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process that holds the lock.

    Attributes:
        pid: its id on the Docker host.
        program: its name.
        container: the container that it runs in; ``None`` where it runs in none that the engine knows.
    """

    pid: int
    program: str
    container: Container | None

    def __str__(self) -> str:
        """Return it as a part of a sentence."""
        place = f"container {self.container.name}, {self.container.state}" if self.container else "no container"
        return f"process {self.pid} ({self.program or 'unknown'}) in {place}"


def holders_of(lock: str, containers: Sequence[Container], proc: Path = Path("/proc")) -> list[Holder]:
    """Return the holders of a lock; none where the engine runs on another machine than this task.

    Args:
        lock: what the kernel's table calls it: ``major:minor:inode``.
        containers: that the engine knows.
        proc: where the kernel tells of processes.
    """
    by_id = {container.id: container for container in containers}
    found = []
    with contextlib.suppress(OSError):
        for line in (proc / "locks").read_text(encoding="utf-8").splitlines():
            fields = line.split()  # a line of one who waits has an arrow in the second place
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == lock and fields[4].isdigit():
                found.append(_holder(int(fields[4]), by_id, proc))
    return found


def _holder(pid: int, by_id: dict[str, Container], proc: Path) -> Holder:
    program, container = "", None
    with contextlib.suppress(OSError):
        program = (proc / str(pid) / "comm").read_text(encoding="utf-8").strip()
        for identity in _CONTAINER.findall((proc / str(pid) / "cgroup").read_text(encoding="utf-8")):
            container = by_id.get(identity, container)
    return Holder(pid, program, container)
