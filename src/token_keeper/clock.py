"""Time that survives a clock that is set.

The wall clock may be stepped at any moment, on one host and in either direction. What this host has seen itself (that a
token was received, that an exchange failed) is therefore kept on the kernel's boot clock too: all containers of a host
share it, nobody sets it, and it goes on while the machine sleeps. After a reboot the wall clock is all there is.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from typing import Any, Final

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_CENTURY: Final = 3_155_760_000.0
EARLIEST: Final = -62_135_596_800
LATEST: Final = 253_402_300_799
"""What a ``datetime`` can hold, the years 1 to 9999, as Unix time."""


def uptime() -> float:
    """Return the seconds since this kernel was booted, sleep included."""
    return time.clock_gettime(_BOOT_CLOCK)


@functools.cache
def boot_id() -> str | None:
    """Return the kernel's name for this boot; ``None`` where it does not tell, which leaves the wall clock."""
    try:
        with open(_BOOT_ID, encoding="utf-8") as file:
            return file.read(64).strip() or None
    except (OSError, ValueError):
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Instant:
    """A moment, on the wall clock and on the boot clock of the host that told it.

    Attributes:
        wall: Unix time.
        boot: the boot that ``uptime`` counts from, ``None`` where it is not known.
        uptime: seconds since then.
    """

    wall: float
    boot: str | None = None
    uptime: float | None = None

    @classmethod
    def now(cls) -> Instant:
        """Return this moment."""
        return cls(time.time(), boot_id(), uptime())

    def age(self) -> float:
        """Return the seconds since this moment; negative where the wall clock was stepped back over it."""
        if self.uptime is not None and self.boot is not None and self.boot == boot_id():
            return uptime() - self.uptime
        return time.time() - self.wall

    def is_sane(self) -> bool:
        """Tell whether every value is of its kind."""
        numbers = (self.wall, 0.0 if self.uptime is None else self.uptime)
        return (
            all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
            and EARLIEST <= self.wall <= LATEST
            and (self.boot is None or isinstance(self.boot, str))
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A length of time that began at an instant, such as a token's life or a back-off.

    Attributes:
        begin: when it began.
        seconds: how long it is.
    """

    begin: Instant
    seconds: float

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Span:
        """Return the span that a JSON object holds; :meth:`is_sane` tells whether it makes sense."""
        return cls(Instant(**fields["begin"]), fields["seconds"])

    def left(self) -> float:
        """Return the seconds until it is over; negative afterwards.

        A span that has not begun was left behind by a wall clock that was stepped back, and nobody knows by how much:
        it counts as over.
        """
        age = self.begin.age()
        return self.seconds - age if age >= 0 else -1.0

    def is_sane(self) -> bool:
        """Tell whether every value is of its kind."""
        return isinstance(self.seconds, (int, float)) and abs(self.seconds) <= _CENTURY and self.begin.is_sane()
