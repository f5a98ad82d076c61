"""Stampedes: many processes need a token at the same moment, and the one they have is over."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import provider
from ways import WAYS, Way, expired_document

CREW = Path(__file__).with_name("crew.py")
SOURCE = Path(__file__).resolve().parents[1] / "src"
_QUIET = 0.1
_NOTICE = 0.1
"""Seconds between a command and the moment it names, so that the last process has heard of it as well."""


class Team:
    """The crews that share one token: one process tree on this machine, or one in each of some containers."""

    def __init__(self, way: Way, where: str, processes: int, commands: list[list[str]]) -> None:
        self.way, self.where, self.processes = way, where, processes
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        self._crews = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for command in commands
        ]
        greetings = [self._answer(crew) for crew in self._crews]
        self.unavailable: str | None = next((g["unavailable"] for g in greetings if "unavailable" in g), None)

    @classmethod
    def here(cls, way: Way, processes: int, path: Path) -> Team:
        """Make a team of one crew, on this machine."""
        return cls(way, "processes", processes, [[sys.executable, str(CREW), way.name, str(processes), str(path), "1"]])

    def put(self, document: dict[str, Any], *, rotating: bool) -> None:
        self._ask(self._crews[0], {"put": document, "rotating": rotating})

    def refresh_token(self) -> str | None:
        token = self._ask(self._crews[0], {})["refresh_token"]
        return token if token is None else str(token)

    def fire(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Have all processes need a token at one moment; returns what became of workers and readers."""
        moment = time.monotonic() + _NOTICE
        for crew in self._crews:
            self._tell(crew, {"at": moment})
        answers = [self._answer(crew) for crew in self._crews]
        return (
            list(itertools.chain.from_iterable(answer["workers"] for answer in answers)),
            list(itertools.chain.from_iterable(answer["readers"] for answer in answers)),
        )

    def dismiss(self) -> None:
        for crew in self._crews:
            assert crew.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                crew.stdin.close()
        for crew in self._crews:
            crew.wait()

    def _ask(self, crew: subprocess.Popen[str], command: dict[str, Any]) -> Any:
        self._tell(crew, command)
        return self._answer(crew)

    @staticmethod
    def _tell(crew: subprocess.Popen[str], command: dict[str, Any]) -> None:
        assert crew.stdin is not None
        crew.stdin.write(json.dumps(command) + "\n")
        crew.stdin.flush()

    @staticmethod
    def _answer(crew: subprocess.Popen[str]) -> Any:
        assert crew.stdout is not None
        return json.loads(crew.stdout.readline())


@dataclasses.dataclass
class Stampede:
    """What one way came to over the rounds of one measurement.

    Attributes:
        where: ``processes`` of this machine, or ``containers``.
        exchanges: requests at the provider's token endpoint, by round.
        errors: calls that raised instead of giving a token, in all rounds.
        faults: what they raised, and how often.
        reads: how often the reader has read the file.
        torn: how often it found no whole document there.
        alive: rounds after which the provider accepts the refresh token on disk.
        last: seconds from the first begin to the last end, by round.
        spread: seconds from the first end to the last, by round.
        cpu: processor seconds of the median process, by round.
        unavailable: why the way could not be measured.
    """

    way: str
    label: str
    where: str
    processes: int
    rotating: bool
    exchanges: list[int] = dataclasses.field(default_factory=list)
    errors: int = 0
    faults: dict[str, int] = dataclasses.field(default_factory=dict)
    reads: int = 0
    torn: int = 0
    alive: int = 0
    last: list[float] = dataclasses.field(default_factory=list)
    spread: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    unavailable: str | None = None

    @property
    def rounds(self) -> int:
        return len(self.exchanges)

    @property
    def convergence(self) -> float:
        """How long the last process waited, in latencies of the provider: the median over the rounds."""
        return statistics.median(self.last) / provider.LATENCY


def measure(teams: list[Team], at: provider.Client, *, rotating: bool, rounds: int) -> list[Stampede]:
    """Let the teams take turns, round by round, so that all of them meet the same weather on the machine."""
    found = [
        Stampede(t.way.name, t.way.label, t.where, t.processes, rotating, unavailable=t.unavailable) for t in teams
    ]
    for number in range(rounds + 1):
        for team, result in zip(teams, found, strict=True):
            if team.unavailable is None:
                _round(team, result, at, measured=number > 0)
    return found


def _round(team: Team, result: Stampede, at: provider.Client, *, measured: bool) -> None:
    team.put(expired_document(at.address, at.grant(rotating=result.rotating)), rotating=result.rotating)
    time.sleep(_QUIET)
    before = at.exchanges()
    workers, readers = team.fire()
    if not measured:
        return  # the first round warms everybody up
    result.exchanges.append(at.exchanges() - before)
    result.alive += at.accepts(team.refresh_token())
    for fault in (worker["fault"] for worker in workers if worker["fault"]):
        result.errors += 1
        result.faults[fault] = result.faults.get(fault, 0) + 1
    result.reads += sum(reader["reads"] for reader in readers)
    result.torn += sum(reader["torn"] for reader in readers)
    ends = [worker["ended"] for worker in workers]
    result.last.append(max(ends) - min(worker["begun"] for worker in workers))
    result.spread.append(max(ends) - min(ends))
    result.cpu.append(statistics.median(worker["cpu"] for worker in workers))


def side_by_side(
    folder: Path, at: provider.Client, processes: int, *, rotating: bool, rounds: int, names: list[str]
) -> list[Stampede]:
    """Measure some ways with as many processes each, in turns."""
    with contextlib.ExitStack() as stack:
        teams = []
        for name in names:
            place = folder / f"{name}-{processes}-{rotating}"
            place.mkdir()
            team = Team.here(WAYS[name], processes, place / "token.json")
            stack.callback(team.dismiss)
            teams.append(team)
        return measure(teams, at, rotating=rotating, rounds=rounds)


def table(results: list[Stampede]) -> Iterator[str]:
    """Write the results as the rows of a Markdown table."""
    yield (
        "| way | processes | rotation | exchanges a round | errors | torn reads | alive after | last / latency "
        "| first to last | CPU a process |"
    )
    yield "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for result in results:
        yield "| " + " | ".join(_cells(result)) + " |"


def _cells(result: Stampede) -> list[str]:
    name = result.label + (" in 3 containers" if result.where == "containers" else "")
    begin = [name, str(result.processes), "yes" if result.rotating else "no"]
    if result.unavailable is not None:
        return [*begin, f"not measured: {result.unavailable}", *[""] * 6]
    fewest, most = min(result.exchanges), max(result.exchanges)
    return [
        *begin,
        str(most) if fewest == most else f"{fewest} to {most}",
        f"{result.errors} of {result.processes * result.rounds}",
        f"{result.torn} of {result.reads}",
        f"{result.alive} of {result.rounds}",
        f"{result.convergence:.2f}",
        f"{statistics.median(result.spread) * 1000:.0f} ms",
        f"{statistics.median(result.cpu) * 1000:.1f} ms",
    ]
