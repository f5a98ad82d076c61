"""Many processes that want a token at the same moment, and a reader that never stops looking.

The processes are forked from one that has done its imports, as a prefork worker's children are, and start together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from token_keeper import TokenDocument, TokenStore, exchange
from token_keeper.errors import TokenCorrupt, TokenKeeperError


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one process got, and after how many seconds."""

    token: str | None
    error: str | None
    seconds: float


def children(count: int, work: Callable[[], str]) -> list[Outcome]:
    """Run ``work`` in that many forked processes at the same moment."""
    exchange.prepare()
    start_read, start_write = os.pipe()
    pipes: list[tuple[int, int]] = []
    for _ in range(count):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(start_write)
                os.read(start_read, 1)
                os.write(write_end, json.dumps(dataclasses.asdict(_timed(work))).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        pipes.append((child, read_end))
    os.close(start_read)
    os.close(start_write)  # the end of the pipe is the starting shot for all
    outcomes = []
    for child, read_end in pipes:
        with os.fdopen(read_end, "rb") as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        outcomes.append(Outcome(**json.loads(text)) if text else Outcome(None, "died", 0.0))
    return outcomes


def _timed(work: Callable[[], str]) -> Outcome:
    begun = time.monotonic()
    try:
        token = work()
    except TokenKeeperError as error:
        return Outcome(None, f"{type(error).__name__}: {error.reason}", time.monotonic() - begun)
    except Exception as error:  # whatever it is, it is counted
        return Outcome(None, repr(error), time.monotonic() - begun)
    return Outcome(token, None, time.monotonic() - begun)


def stampede(path: Path, count: int, *, lock_timeout: float = 20.0) -> list[Outcome]:
    """Ask for the token in that many processes."""
    return children(count, lambda: TokenStore(path, lock_timeout=lock_timeout).access_token())


@contextlib.contextmanager
def reader(path: Path) -> Iterator[Callable[[], dict[str, int]]]:
    """Read the document without pause in a process of its own; the result counts reads, and those that were torn."""
    stop_read, stop_write = os.pipe()
    result_read, result_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(stop_write)
        os.set_blocking(stop_read, False)
        counts = {"reads": 0, "torn": 0}
        while True:
            try:
                TokenDocument.parse(path.read_bytes())
                counts["reads"] += 1
            except (OSError, TokenCorrupt):
                counts["torn"] += 1
            with contextlib.suppress(BlockingIOError):
                if os.read(stop_read, 1) == b"":
                    break
            time.sleep(0.0005)
        os.write(result_write, json.dumps(counts).encode())
        os._exit(0)
    os.close(result_write)
    os.close(stop_read)
    seen: dict[str, int] = {}

    def finish() -> dict[str, int]:
        if not seen:
            os.close(stop_write)
            with os.fdopen(result_read, "rb") as pipe:
                seen.update(json.loads(pipe.read()))
            os.waitpid(child, 0)
        return seen

    try:
        yield finish
    finally:
        finish()


@contextlib.contextmanager
def holder_in_exchange(path: Path) -> Iterator[int]:
    """A process that is in the midst of an exchange; it is dead at the end of the block."""
    exchange.prepare()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            TokenStore(path).access_token()
        os._exit(0)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
