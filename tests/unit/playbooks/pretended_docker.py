#!/usr/bin/env python3
"""Is a docker command on a machine without an engine: volumes are folders, and a helper is the real command in one.

It is called ``docker`` by a link in the tests' ``PATH``. The folder ``PRETENDED_VOLUMES`` has a folder for each volume.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

VOLUMES = Path(os.environ["PRETENDED_VOLUMES"])


def main(words: list[str]) -> int:
    """Do what the docker command would do, as far as the token modules ask for it."""
    if (VOLUMES / "no-engine").exists():
        print("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", file=sys.stderr)
        return 1
    if words[:2] == ["volume", "inspect"]:
        if (VOLUMES / words[2]).is_dir():
            print(json.dumps([{"Name": words[2], "Mountpoint": str(VOLUMES / words[2])}]))
            return 0
        print(f"Error response from daemon: get {words[2]}: no such volume", file=sys.stderr)
        return 1
    if words[0] == "run":
        mount = next(word for word in words if word.startswith("--mount=type=volume"))
        volume = mount.split("source=")[1].split(",")[0]
        at = next(place for place, word in enumerate(words) if word.startswith("--path="))
        path = words[at].replace("--path=/app/tokens", str(VOLUMES / volume))
        inside = [sys.executable, "-m", "token_keeper", f"--path={path}", *words[at + 1 :]]
        given = None if "--interactive" in words else subprocess.DEVNULL
        known = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
        return subprocess.run(inside, stdin=given, env=known, check=False).returncode
    # nobody else is there: docker ps
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
