"""Small things: what one call costs, in relation to the least that it could cost."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from ways import expired_document

from token_keeper import TokenDocument, TokenStore, refresh
from token_keeper.exchange import TokenReply, prepare
from token_keeper.volume import Volume

SOURCE = Path(__file__).resolve().parents[1] / "src"


def best(*works: Callable[[], object], seconds: float = 0.04, batches: int = 12) -> list[float]:
    """Return for each the seconds a call: the best of some batches, which take turns."""
    counts = [_count(work, seconds) for work in works]
    turns = [[_batch(work, count) for work, count in zip(works, counts, strict=True)] for _ in range(batches)]
    return [min(times) for times in zip(*turns, strict=True)]


def medians(*works: Callable[[], object], rounds: int = 200) -> list[float]:
    """Return for each the seconds a call: the median of calls that take turns, for what the disk's weather governs."""
    turns = [[_batch(work, 1) for work in works] for _ in range(rounds)]
    return [statistics.median(times) for times in zip(*turns, strict=True)]


def _count(work: Callable[[], object], seconds: float) -> int:
    count = 1
    while _batch(work, count) * count < seconds:
        count *= 2
    return count


def _batch(work: Callable[[], object], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - begun) / count


def bare_replace(folder: int, data: bytes) -> None:
    """The shortest sequence that is durable."""
    name = f"bare-{secrets.token_hex(8)}"
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(name, "bare", src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def calls_and_writes(parent: Path) -> dict[str, float]:
    """Measure reading and writing, in seconds a call."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        path, refreshed = Path(name) / "token.json", Path(name) / "refreshed.json"
        document = TokenDocument.parse(_text())
        store, renewing = TokenStore(path), TokenStore(refreshed)
        store.replace(document, expires_in=3600)
        renewing.replace(document, expires_in=3600, rotation="yes")
        store.access_token()
        text_path = str(path)
        stat, token, parsed, snapshot = best(
            lambda: os.stat(text_path),
            store.access_token,
            lambda: TokenDocument.parse(path.read_bytes()),
            store.snapshot,
        )
        volume, data = Volume(path), document.to_json().encode()
        folder = os.open(name, os.O_RDONLY)

        def push() -> None:
            store.replace(dataclasses.replace(document, token=secrets.token_hex(80)), force=True)

        def answered(*_: object, on_reply: Callable[[TokenReply], None], **__: object) -> TokenReply:
            reply = TokenReply(
                secrets.token_hex(80), f"refresh-{secrets.token_hex(40)}", 3600, None, None, None, time.time()
            )
            on_reply(reply)
            return reply

        prepare()
        with mock.patch.object(refresh, "request_token", answered):
            bare, primitive, pushed, renewed = medians(
                lambda: bare_replace(folder, data),
                lambda: volume.replace(folder, "primitive", data),
                push,
                lambda: renewing.refresh(force=True),
            )
        os.close(folder)
    return {
        "os.stat": stat,
        "access_token": token,
        "snapshot": snapshot,
        "read and parse": parsed,
        "bare durable replace": bare,
        "durable replace": primitive,
        "push": pushed,
        "refresh, without the provider": renewed,
    }


def starts(parent: Path) -> dict[str, float]:
    """Measure how long programs take to start and end, in seconds."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        path = Path(name) / "token.json"
        TokenStore(path).replace(TokenDocument.parse(_text()), expires_in=3600)
        show = (
            f"import sys; sys.argv = ['token-keeper', '--path', {str(path)!r}, 'show']; "
            "from token_keeper.cli import main; main()"
        )
        names = {
            "python alone": "pass",
            "import token_keeper": "import token_keeper",
            "token-keeper show": show,
        }
        compiled = Path(name) / "compiled"
        for code in names.values():
            _run(code, compiled)
        found = medians(*(lambda code=code: _run(code, compiled) for code in names.values()), rounds=11)
        return dict(zip(names, found, strict=True))


def _run(code: str, compiled: Path) -> None:
    """Run code with the checkout's package, its bytecode compiled before, as an installed package's is."""
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)


def _text() -> str:
    return json.dumps(expired_document("http://127.0.0.1:9", f"refresh-{secrets.token_hex(40)}"))
