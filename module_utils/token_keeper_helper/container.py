"""What ``docker inspect`` says of a container, as far as the doctor asks."""

from __future__ import annotations

import dataclasses
import math
import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

_COMPOSE: Final = "com.docker.compose."
_GOOD_START: Final = 10.0
_ONCE: Final = frozenset({"no", "on-failure"})
_ROOT: Final = frozenset({"", "0", "root"})


@dataclasses.dataclass(frozen=True)
class Container:
    """A container, running or not.

    Attributes:
        told: what ``docker inspect`` says of it.
    """

    told: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its id, in full."""
        return str(self.told["Id"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.told["Name"]).lstrip("/")

    @property
    def service(self) -> str:
        """The Compose service that it is of, else its name."""
        return self.label("service") or self.name

    @property
    def project(self) -> str:
        """The Compose project that it is of; empty where it is of none."""
        return self.label("project")

    @property
    def is_task(self) -> bool:
        """Whether it is one of ``docker compose run``, which ends by itself."""
        return self.label("oneoff") == "True"

    def label(self, name: str) -> str:
        """Return what Compose has noted under a name."""
        return str((self.told["Config"].get("Labels") or {}).get(_COMPOSE + name) or "")

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``restarting``, ``exited``, ``created`` or ``dead``."""
        return str((self.told.get("State") or {}).get("Status") or "running")

    @property
    def ends_again_and_again(self) -> bool:
        """Whether the engine has to restart it: it waits for that, or was restarted and has not yet run long enough.

        Between two ends it runs for a moment. Docker itself counts a start as good after ten seconds.
        """
        if self.state != "running":
            return self.state == "restarting"
        return bool(self.told.get("RestartCount")) and self._age < _GOOD_START

    @property
    def _age(self) -> float:
        """Seconds since its start; without an end where the engine does not say."""
        started = str((self.told.get("State") or {}).get("StartedAt") or "")
        try:
            # in UTC always, with nine digits of a second, which Python 3.9 can't read
            begun = datetime.strptime(started[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)  # noqa: UP017
        except ValueError:
            return math.inf
        return (datetime.now(timezone.utc) - begun).total_seconds()  # noqa: UP017 - Python 3.9

    @property
    def health(self) -> str:
        """``healthy``, ``unhealthy`` or ``starting``; empty without a health check."""
        return str(((self.told.get("State") or {}).get("Health") or {}).get("Status") or "")

    @property
    def ending(self) -> str:
        """How it ended, for a message."""
        state = self.told.get("State") or {}
        if self.state == "running":
            return f"restarted {self.told.get('RestartCount') or 0} times"
        killed = ", out of memory" if state.get("OOMKilled") else ""
        return f"exit code {state.get('ExitCode', 'unknown')}{killed}"

    @property
    def is_done(self) -> bool:
        """Whether it has ended well, and nobody has told the engine to keep it up, as a job that runs once."""
        policy = str(((self.told.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no")
        exit_code = (self.told.get("State") or {}).get("ExitCode")
        return self.state == "exited" and exit_code == 0 and policy in _ONCE

    @property
    def last_check(self) -> str:
        """The last line that its health check has said; empty where it said nothing."""
        log: Sequence[Mapping[str, Any]] = ((self.told.get("State") or {}).get("Health") or {}).get("Log") or []
        lines = str(log[-1].get("Output") or "").strip().splitlines() if log else []
        return lines[-1][:200] if lines else ""

    @property
    def user(self) -> str:
        """The user that it runs as, as it was given; ``root`` where none was."""
        return str(self.told["Config"].get("User") or "root")

    def is_user(self, uid: int) -> bool:
        """Tell whether it runs as this user, or as root, who may do as much; a name can't be told apart."""
        user = self.user.partition(":")[0]
        return user in _ROOT or not user.isdigit() or int(user) == uid

    @property
    def mounts(self) -> Sequence[Mapping[str, Any]]:
        """Its mounts."""
        return self.told.get("Mounts") or []

    @property
    def in_memory(self) -> frozenset[str]:
        """Its folders that end with it: a tmpfs is a mount, or stands beside them."""
        beside: Mapping[str, Any] = (self.told.get("HostConfig") or {}).get("Tmpfs") or {}
        mounted = (str(entry.get("Destination") or "/") for entry in self.mounts if entry.get("Type") == "tmpfs")
        return frozenset(map(posixpath.normpath, (*beside, *mounted)))

    def mount_at(self, destination: str) -> Mapping[str, Any] | None:
        """Return its mount at a place."""
        wanted = posixpath.normpath(destination)
        found = (entry for entry in self.mounts if posixpath.normpath(entry.get("Destination") or "/") == wanted)
        return next(found, None)

    @property
    def is_keeper(self) -> bool:
        """Whether it is a keeper: the command ``token-keeper`` with the verb ``keep``, in whatever image."""
        words = [str(self.told.get("Path") or ""), *map(str, self.told.get("Args") or [])]
        return "keep" in words and any("token-keeper" in word or "token_keeper" in word for word in words)
