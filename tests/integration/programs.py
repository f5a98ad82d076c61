"""Programs that run in containers, say when they are ready, and go on when they are told to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# A process that keeps a store open, as an application does: for each line on stdin, the token that it would use now.
WATCHER = """
import os, sys
from token_keeper import TokenStore, fingerprint
store = TokenStore(os.environ["TOKEN_KEEPER_PATH"], service="watcher")
print("ready", flush=True)
for _ in sys.stdin:
    print(fingerprint(store.access_token()), flush=True)
"""

# What stock code does: open, read, parse; no lock and no retry. Counts until its stdin ends.
READER = """
import json, select, sys
seen = {"reads": 0, "torn": 0, "tokens": []}
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    seen["reads"] += 1
    try:
        with open("/app/tokens/token.json", encoding="utf-8") as file:
            token = json.load(file)["token"]
        if token not in seen["tokens"][-1:]:
            seen["tokens"].append(token)
    except (OSError, ValueError, KeyError):
        seen["torn"] += 1
print(json.dumps(seen | {"tokens": len(seen["tokens"])}), flush=True)
"""


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program that says when it is ready; it is gone when the block ends."""
    with subprocess.Popen(
        ["docker", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[str]) -> None:
    """Wait until a program is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "ready\n", process.communicate()


def outcome(process: subprocess.Popen[str]) -> dict[str, object]:
    """Let a program go on, and return what it found."""
    said, complaint = process.communicate("go\n", timeout=60)
    assert process.returncode == 0, complaint
    found: dict[str, object] = json.loads(said)
    return found


def asked(process: subprocess.Popen[str]) -> str:
    """Send a program a line, and return the line that it answers with."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("now\n")
    process.stdin.flush()
    return process.stdout.readline().strip()
