"""Processes that share a volume, each of which does what it is told over a pipe."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import select
import signal
import traceback
from pathlib import Path
from typing import Any

from token_keeper import TokenDocument, TokenStore, exchange
from token_keeper.errors import TokenKeeperError

_PATIENCE = 30.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a command: a token or a generation, or the type of an error and its reason."""

    value: str = ""
    error: str = ""
    reason: str = ""


class Worker:
    """One process with one store, forked from this one."""

    def __init__(self, path: Path) -> None:
        exchange.prepare()
        command, self._commands = os.pipe()
        self._answers, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.close(self._commands)
            os.close(self._answers)
            _serve(TokenStore(path, lock_timeout=0.3, exchange_deadline=0.4), command, answer)
        os.close(command)
        os.close(answer)
        self.is_stopped = False

    def tell(self, verb: str, **options: Any) -> None:
        """Let it begin."""
        os.write(self._commands, json.dumps({"verb": verb, **options}).encode() + b"\n")

    def answer(self) -> Answer:
        """Wait for what came of it."""
        assert select.select([self._answers], [], [], _PATIENCE)[0], "a process does not answer"
        data = b""
        while not data.endswith(b"\n"):
            part = os.read(self._answers, 65536)
            assert part, "a process died by itself"
            data += part
        return Answer(**json.loads(data))

    def ask(self, verb: str, **options: Any) -> Answer:
        """Let it do that, and wait."""
        self.tell(verb, **options)
        return self.answer()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self.is_stopped = True

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.is_stopped = False

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._commands)
        os.close(self._answers)


def _serve(store: TokenStore, command: int, answer: int) -> None:
    try:
        with os.fdopen(command) as lines:
            for line in lines:
                os.write(answer, json.dumps(dataclasses.asdict(_do(store, **json.loads(line)))).encode() + b"\n")
    finally:
        os._exit(0)


def _do(store: TokenStore, verb: str, **options: Any) -> Answer:
    try:
        if verb == "access_token":
            return Answer(store.access_token())
        if verb == "refresh":
            return Answer(str(store.refresh(**options).generation))
        if verb == "push":
            return Answer(str(store.replace(TokenDocument.parse(options["document"]), force=True).generation))
    except TokenKeeperError as error:
        return Answer(error=type(error).__name__, reason=error.reason)
    except Exception:  # whatever it is, it is told
        return Answer(error="untyped", reason=traceback.format_exc())
    return Answer(error="untyped", reason=f"no such verb: {verb}")
