"""The same stampede with the processes spread over three containers that share one named volume."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from stampede import CREW, SOURCE, Team
from ways import WAYS

CONTAINERS = 3
_PREFIX = "tk-bench"
_LABEL = "io.token-keeper.image=keeper"


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def image() -> str | None:
    """Return an image with Python and what the package needs: one of the keeper's, as ``make demo`` makes it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        images = _docker("image", "ls", "--filter", f"label={_LABEL}", "--format", "{{.ID}}").split()
        return images[0] if images else None
    return None


@contextlib.contextmanager
def team(image: str, processes: int) -> Iterator[Team]:
    """Run this store in containers of this checkout's code; a volume of its own, gone afterwards."""
    volume = _docker("volume", "create", f"{_PREFIX}-{os.getpid()}")
    shares = [processes // CONTAINERS + (number < processes % CONTAINERS) for number in range(CONTAINERS)]
    names = [f"{volume}-{number}" for number in range(CONTAINERS)]
    commands = [
        [
            *("docker", "run", "--rm", "--interactive", "--name", name),
            # the provider listens on this machine's loopback address; the volume is new and root's
            *("--network", "host", "--user", "0:0", "--log-driver", "none"),
            *("--volume", f"{volume}:/tokens", "--volume", f"{SOURCE}:/src:ro", "--volume", f"{CREW.parent}:/bench:ro"),
            *("--env", "PYTHONPATH=/src", "--entrypoint", "python3", image),
            *("/bench/crew.py", "store", str(share), "/tokens/token.json", "1" if number == 0 else "0"),
        ]
        for number, (name, share) in enumerate(zip(names, shares, strict=True))
    ]
    found = None
    try:
        found = Team(WAYS["store"], "containers", processes, commands)
        yield found
    finally:
        if found is not None:
            found.dismiss()
        with contextlib.suppress(subprocess.SubprocessError):
            _docker("rm", "--force", *names)
        _docker("volume", "rm", "--force", volume)
