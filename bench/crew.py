"""Long-lived processes that share a token one way, and one that does nothing but read; commanded line by line.

A process that was forked a moment ago pays page faults in its first calls, far more than what is measured here, and a
worker of an application has long left that behind. So the processes stay for all rounds of a measurement.

Usage: crew.py WAY PROCESSES PATH READERS; commands are JSON objects on standard input, answers on standard output.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ways import WAYS, Way

_READER_PAUSE = 0.0005
_TELL_AFTER = 0.3
"""Seconds after its call at which a process tells what came of it, which takes processor time from those that wait."""


def work(way: Way, path: Path, commands: int, answers: int) -> None:
    """Be a worker: at the moments that are told, need an access token."""
    call = way.worker(path)
    with os.fdopen(commands) as lines:
        for line in lines:
            time.sleep(max(float(line) - time.monotonic(), 0.0))
            begun, spent = time.monotonic(), time.process_time()
            fault = None
            try:
                call()
            except Exception as error:  # an error is a result here
                fault = f"{type(error).__name__}: {error}"[:160]
            result = {
                "fault": fault,
                "begun": begun,
                "ended": time.monotonic(),
                "cpu": time.process_time() - spent,
            }
            time.sleep(_TELL_AFTER)
            os.write(answers, json.dumps(result).encode() + b"\n")


def read(way: Way, path: Path, commands: int, answers: int) -> None:
    """Be a reader: from one command to the next, read the file again and again, and judge what is there."""
    while os.read(commands, 1):
        reads = torn = 0
        while not select.select([commands], [], [], _READER_PAUSE)[0]:
            reads += 1
            try:
                way.decode(path.read_bytes())
            except (OSError, ValueError, KeyError, TypeError):
                torn += 1
        os.read(commands, 1)
        os.write(answers, json.dumps({"reads": reads, "torn": torn}).encode() + b"\n")


class Member:
    """A process of the crew, seen from its parent."""

    others: list[int] = []  # noqa: RUF012 - the parent's ends, which no later child may keep open

    def __init__(self, role: Callable[[Way, Path, int, int], None], way: Way, path: Path) -> None:
        commands, self._commands = os.pipe()
        answers_read, answers = os.pipe()
        self.others += [self._commands, answers_read]
        self.child = os.fork()
        if self.child == 0:
            for end in self.others:
                os.close(end)
            with contextlib.suppress(KeyboardInterrupt):
                role(way, path, commands, answers)
            os._exit(0)
        os.close(commands)
        os.close(answers)
        self._answers = os.fdopen(answers_read)

    def tell(self, command: bytes) -> None:
        os.write(self._commands, command)

    def answer(self) -> Any:
        return json.loads(self._answers.readline())

    def dismiss(self) -> None:
        os.close(self._commands)
        os.waitpid(self.child, 0)


def main() -> None:
    name, count, place, readers = sys.argv[1:]
    way, path = WAYS[name], Path(place)
    try:
        way.load()
    except Exception as problem:
        print(json.dumps({"unavailable": f"{type(problem).__name__}: {problem}"}), flush=True)
        return
    gc.collect()
    gc.freeze()
    workers = [Member(work, way, path) for _ in range(int(count))]
    watching = [Member(read, way, path) for _ in range(int(readers))]
    print(json.dumps({"ready": len(workers)}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if "put" in command:
            way.put(path, command["put"], rotating=command["rotating"])
        elif "at" in command:
            for member in watching:
                member.tell(b".")
            for member in workers:
                member.tell(f"{command['at']}\n".encode())
            answer["workers"] = [member.answer() for member in workers]
            for member in watching:
                member.tell(b".")
            answer["readers"] = [member.answer() for member in watching]
        else:
            answer["refresh_token"] = way.refresh_token(path)
        print(json.dumps(answer), flush=True)
    for member in (*workers, *watching):
        member.dismiss()


if __name__ == "__main__":
    main()
