"""Who waits while one process renews the token ahead of its end? Nobody should: the old one is still good."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import provider
from ways import expired_document

from token_keeper import TokenDocument, TokenStore

_LIFE = 4
"""Seconds: the last quarter of a token's life is when it is renewed."""

_PAUSE = 0.002
SLOW = provider.LATENCY / 2


@dataclasses.dataclass
class Renewal:
    """What came of it.

    Attributes:
        calls: calls of ``access_token()`` in all processes.
        waited: calls, of others than the one that renewed, that took longer than half the provider's latency.
        slowest: seconds of the slowest of these others' calls.
        exchanges: how many exchanges there were.
    """

    processes: int
    calls: int
    waited: int
    slowest: float
    exchanges: int


def renewal(folder: Path, at: provider.Client, processes: int) -> Renewal:
    """Have processes use a token in a loop while it comes into the time in which it is renewed ahead."""
    path = folder / f"ahead-{processes}.json"
    document = TokenDocument.parse(json.dumps(expired_document(at.address, at.grant(rotating=True))))
    TokenStore(path).replace(document, rotation="yes", expires_in=_LIFE)
    before = at.exchanges()
    end = time.monotonic() + _LIFE + 1
    read_end, write_end = os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            os.write(write_end, json.dumps(_used(path, end)).encode() + b"\n")
            os._exit(0)
        children.append(child)
    os.close(write_end)
    with os.fdopen(read_end) as lines:
        results = [json.loads(line) for line in lines]
    for child in children:
        os.waitpid(child, 0)
    # the one that renewed took the provider's latency, and all its other calls were as quick as everybody's
    renewing = max(results, key=lambda result: result["longest"][0])
    renewing["longest"].pop(0)
    longest = [took for result in results for took in result["longest"]]
    return Renewal(
        processes,
        sum(result["calls"] for result in results),
        sum(took > SLOW for took in longest),
        max(longest),
        at.exchanges() - before,
    )


def _used(path: Path, end: float) -> dict[str, object]:
    store, longest, calls = TokenStore(path), [0.0], 0
    while time.monotonic() < end:
        begun = time.monotonic()
        store.access_token()
        longest = sorted([*longest, time.monotonic() - begun], reverse=True)[:10]
        calls += 1
        time.sleep(_PAUSE)
    return {"calls": calls, "longest": longest}
