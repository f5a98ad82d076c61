"""Runs a piece of work in a forked process under strace, which kills it or spoils a call at a chosen moment.

The process is forked from this one, which has done its imports, and waits until strace has attached: the trace begins
with the work itself. strace counts the calls of each name in each thread, so one run traces one thread: the one that
does the work, or the one that talks to the provider.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import mmap
import os
import re
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from token_keeper import exchange
from token_keeper.errors import TokenKeeperError

Thread = Literal["main", "exchange"]

_GO: Final = signal.SIGUSR1
_PATIENCE: Final = 30.0
_OUTSIDE: Final = {"rt_sigtimedwait", "restart_syscall", "exit", "exit_group"}
"""Calls before and after the work."""

_NAME: Final = re.compile(r"(\w+)\(")
_PR_SET_PTRACER: Final = 0x59616D61
_libc: Final = ctypes.CDLL(None)


@dataclasses.dataclass(frozen=True)
class Point:
    """A moment: just before a thread makes its ``ordinal``-th call of that name."""

    thread: Thread
    name: str
    ordinal: int
    line: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.thread}: {self.name} no. {self.ordinal} {self.line[:100]}"

    def injection(self, what: str) -> str:
        """Return strace's word for it, such as ``write:signal=SIGKILL:when=3``."""
        return f"{self.name}:{what}:when={self.ordinal}"


@dataclasses.dataclass(frozen=True)
class Run:
    """What came of it.

    Attributes:
        killed: whether it died by SIGKILL; else it came to its end.
        outcome: ``ok``, or the type and the reason of its error.
        points: the calls that the traced thread made, in their order.
        arrived: whether the provider's reply had come to the process, whole.
    """

    killed: bool
    outcome: str
    points: list[Point]
    arrived: bool


def run_traced(work: Callable[[], object], *, thread: Thread = "main", inject: str | None = None) -> Run:
    """Run it under strace.

    Args:
        work: what to do, in a process of its own.
        thread: the thread whose calls are counted.
        inject: what strace does to it, as its option ``-e inject=`` has it.
    """
    exchange.prepare()
    announced, announce = os.pipe()
    reported, report = os.pipe()
    receipt = mmap.mmap(-1, 1)  # shared with the child: a note in it takes no system call
    child = os.fork()
    if child == 0:
        _work_in_child(work, thread, announce, report, receipt)
    os.close(announce)
    os.close(report)
    try:
        with tempfile.NamedTemporaryFile("r", prefix="strace-") as log, os.fdopen(announced) as tids:
            status = _trace(child, int(tids.readline() or 0), log.name, inject)
            points = list(_points(thread, log.read()))
        with os.fdopen(reported) as pipe:
            outcome = pipe.read()
        return Run(os.WIFSIGNALED(status), outcome, points, receipt[:] == b"1")
    finally:
        receipt.close()


def _trace(child: int, tid: int, log: str, inject: str | None) -> int:
    command = ["strace", "-o", log, "-s", "24", *(["-e", f"inject={inject}"] if inject else []), "-p", str(tid)]
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert "attached" in said, f"strace cannot attach to a process of ours: {said}"
            os.kill(child, _GO)
            status = _ended(child)
            tracer.wait(_PATIENCE)
            return status
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        raise


def _ended(child: int) -> int:
    descriptor = os.pidfd_open(child)
    try:
        assert select.select([descriptor], [], [], _PATIENCE)[0], "the process under strace does not end"
    finally:
        os.close(descriptor)
    return os.waitpid(child, 0)[1]


def _work_in_child(work: Callable[[], object], thread: Thread, announce: int, report: int, receipt: mmap.mmap) -> None:
    outcome = "ok"
    try:
        # where only ancestors may trace (Yama), strace is none
        _libc.prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, {_GO})

        def wait_for_strace() -> None:
            os.write(announce, f"{threading.get_native_id()}\n".encode())
            signal.sigwait({_GO})

        _note_arrival(receipt)
        if thread == "exchange":
            _at_the_start_of_an_exchange(wait_for_strace)
        else:
            wait_for_strace()
        work()
    except TokenKeeperError as error:
        outcome = f"{type(error).__name__}: {error.reason}"
    except BaseException as error:  # whatever it is, it is reported
        outcome = f"untyped: {error!r}"
    finally:
        os.write(report, outcome.encode())
        os._exit(0)


def _note_arrival(receipt: mmap.mmap) -> None:
    post = exchange._post

    def noted(*args: Any) -> Any:
        answer = post(*args)
        receipt[:] = b"1"
        return answer

    exchange._post = noted  # type: ignore[assignment]


def _at_the_start_of_an_exchange(wait: Callable[[], None]) -> None:
    run = exchange._Call.run

    def after_a_wait(self: exchange._Call[Any]) -> None:
        wait()
        run(self)

    exchange._Call.run = after_a_wait  # type: ignore[method-assign]


def _points(thread: Thread, log: str) -> Iterator[Point]:
    seen: collections.Counter[str] = collections.Counter()
    for line in log.splitlines():
        match = _NAME.match(line)
        if match is not None and match[1] not in _OUTSIDE:
            seen[match[1]] += 1
            yield Point(thread, match[1], seen[match[1]], line)


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait for something that other threads or processes bring about."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
