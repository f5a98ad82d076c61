"""Measure the store beside the other ways of sharing a token: ``make bench`` runs it.

Everything that is compared runs in one run, on one machine, in turns. The tables go to the terminal, all figures to
``build/bench/store.json``; docs/benchmarks.md says what they mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ahead
import containers
import provider
import redis_server
import small
import stampede
from stampede import Stampede
from ways import WAYS

RESULTS = Path(__file__).resolve().parents[1] / "build" / "bench" / "store.json"


@dataclasses.dataclass
class Results:
    """Everything that was measured; seconds, unless they are counts."""

    latency: float
    rounds: int
    begun: str
    cpus: int | None
    load: tuple[float, float, float]
    stampedes: list[Stampede] = dataclasses.field(default_factory=list)
    containers_left_out: str | None = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    renewals: list[ahead.Renewal] = dataclasses.field(default_factory=list)

    def of(self, way: str) -> list[Stampede]:
        return [run for run in self.stampedes if run.way == way and run.unavailable is None]


def measure(processes: list[int], names: list[str], rounds: int) -> Results:
    """Measure everything."""
    begun = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    results = Results(provider.LATENCY, rounds, begun, os.cpu_count(), os.getloadavg())
    with (
        tempfile.TemporaryDirectory(dir=RESULTS.parent) as name,
        provider.running() as at,
        redis_server.running(Path(name)),
    ):
        folder = Path(name)
        results.stampedes += stampede.side_by_side(folder, at, 1, rotating=False, rounds=rounds, names=["store"])
        for rotating in (False, True):
            for count in processes:
                results.stampedes += stampede.side_by_side(
                    folder, at, count, rotating=rotating, rounds=rounds, names=names
                )
        image = containers.image()
        if image is None:
            results.containers_left_out = "no Docker Engine, or no image of the keeper: `make demo` makes one"
        else:
            for rotating in (False, True):
                for count in (9, 64):
                    with containers.team(image, count) as team:
                        results.stampedes += stampede.measure([team], at, rotating=rotating, rounds=rounds)
        results.seconds |= small.calls_and_writes(RESULTS.parent)
        results.seconds |= small.starts(RESULTS.parent)
        results.renewals += [ahead.renewal(folder, at, count) for count in (9, 32)]
    return results


def report(results: Results) -> None:
    """Print the tables."""
    print(f"\nThe provider answers after {results.latency} s; {results.rounds} rounds each, after one to warm up.\n")
    for line in stampede.table(results.stampedes):
        print(line)
    if results.containers_left_out:
        print(f"\nNot measured: containers ({results.containers_left_out})")
    seconds = results.seconds
    bare, alone = seconds["bare durable replace"], seconds["python alone"]
    show = seconds["token-keeper show"]
    imported = seconds["import token_keeper"]
    print(f"""
| what | a call | in relation |
| --- | ---: | --- |
| `os.stat` | {_micro(seconds["os.stat"])} | |
| `access_token()` | {_micro(seconds["access_token"])} | {seconds["access_token"] / seconds["os.stat"]:.1f} of a stat |
| `snapshot()` | {_micro(seconds["snapshot"])} | {seconds["snapshot"] / seconds["os.stat"]:.1f} of a stat |
| read and parse | {_micro(seconds["read and parse"])} | \
{seconds["read and parse"] / seconds["access_token"]:.1f} of `access_token()` |
| open, write, fsync, rename, fsync | {_micro(bare)} | |
| the store's durable replace | {_micro(seconds["durable replace"])} | \
{seconds["durable replace"] / bare:.2f} of the bare one |
| a whole push | {_micro(seconds["push"])} | {seconds["push"] / bare:.1f} of the bare one |
| a whole refresh, less the provider | {_micro(seconds["refresh, without the provider"])} | \
{seconds["refresh, without the provider"] / bare:.1f} of the bare one |
| `python -c pass` | {_milli(alone)} | |
| `import token_keeper` | {_milli(imported)} | {_milli(imported - alone)} more than nothing |
| `token-keeper show` | {_milli(show)} | {_milli(show - alone)} more than nothing |

| processes | calls while one renews ahead | that waited | slowest of them | exchanges |
| ---: | ---: | ---: | ---: | ---: |""")
    for renewal in results.renewals:
        print(
            f"| {renewal.processes} | {renewal.calls} | {renewal.waited} | {_milli(renewal.slowest)} "
            f"| {renewal.exchanges} |"
        )
    print(
        f"\nBegun {results.begun} on {results.cpus} processors; load {results.load[0]:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after"
    )


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"


def _milli(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def main(arguments: list[str] | None = None) -> Results:
    """Measure, print, write down."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--processes", type=int, nargs="+", default=[9, 32, 64, 128])
    options.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args(arguments)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    results = measure(chosen.processes, chosen.ways, chosen.rounds)
    fields: dict[str, Any] = dataclasses.asdict(results)
    RESULTS.write_text(json.dumps(fields, indent=1) + "\n")
    report(results)
    print(f"Written to {RESULTS}")
    return results


if __name__ == "__main__":
    main()
