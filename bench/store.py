"""Measure the store against the plain ways of doing the same: ``make bench`` runs it.

Everything is measured in one run on one machine, so that the columns can be compared with each other. The results go
to ``build/bench/store.json``, and a table to the terminal. The provider is a small HTTP server in a process of its own
that answers after 0.25 s; the processes of a stampede are forked from one that has done its imports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from token_keeper import TokenDocument, TokenStore, exchange
from token_keeper.document import expiry_after
from token_keeper.volume import Volume

LATENCY = 0.25
ROUNDS = 3
RESULTS = Path(__file__).resolve().parents[1] / "build" / "bench" / "store.json"


# -- a provider


class _Provider(http.server.BaseHTTPRequestHandler):
    exchanges = 0

    def do_POST(self) -> None:
        urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).exchanges += 1
        time.sleep(LATENCY)
        self._answer({"access_token": secrets.token_hex(20), "expires_in": 3600, "token_type": "Bearer"})

    def do_GET(self) -> None:
        self._answer({"exchanges": type(self).exchanges})

    def _answer(self, fields: dict[str, Any]) -> None:
        data = json.dumps(fields).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """Run a provider in a process of its own; yields its address."""
    server = _Server(("127.0.0.1", 0), _Provider)
    child = os.fork()
    if child == 0:
        server.serve_forever()
        os._exit(0)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    server.server_close()
    try:
        yield address
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def exchanges_at(address: str) -> int:
    with urllib.request.urlopen(address) as answer:
        return int(json.load(answer)["exchanges"])


# -- the ways of sharing a token


def by_store(path: Path) -> str:
    return TokenStore(path).access_token()


def by_filelock(path: Path) -> str:
    """The pattern that is found most: a lock file, and a second look under it."""
    document = TokenDocument.parse(path.read_bytes())
    if document.expires_in(time.time()) > 60:
        return document.token or ""
    with filelock.FileLock(f"{path}.lock"):
        document = TokenDocument.parse(path.read_bytes())
        if document.expires_in(time.time()) > 60:
            return document.token or ""
        fresh = _exchanged(document)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(fresh.to_json())
        temporary.replace(path)
        return fresh.token or ""


def by_fixed_name(path: Path) -> str:
    """No lock, and a temporary file of one name."""
    document = TokenDocument.parse(path.read_bytes())
    if document.expires_in(time.time()) > 60:
        return document.token or ""
    fresh = _exchanged(document)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(fresh.to_json())
    temporary.replace(path)
    return fresh.token or ""


def _exchanged(document: TokenDocument) -> TokenDocument:
    reply = exchange.request_token(document.token_uri, {"refresh_token": document.refresh_token})
    return document.renewed(
        token=reply.access_token, refresh_token=None, scopes=None, expiry=expiry_after(3600, time.time())
    )


# -- stampedes


@dataclasses.dataclass
class Stampede:
    """What one way came to, over some rounds; seconds are medians over the rounds."""

    way: str
    processes: int
    exchanges: list[int]
    errors: int
    last_seconds: float
    first_to_last_seconds: float


def released_together(count: int, work: Callable[[], object]) -> list[tuple[bool, float, float]]:
    """Run ``work`` in forked processes; returns for each whether it succeeded, and its begin and end (monotonic)."""
    start_read, start_write = os.pipe()
    ready_read, ready_write = os.pipe()
    pipes = []
    for _ in range(count):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(start_write)
            os.write(ready_write, b".")
            os.read(start_read, 1)
            begun, good = time.monotonic(), True
            try:
                work()
            except Exception:  # an error is a result here
                good = False
            os.write(write_end, json.dumps([good, begun, time.monotonic()]).encode())
            os._exit(0)
        os.close(write_end)
        pipes.append((child, read_end))
    for _ in range(count):
        os.read(ready_read, 1)
    for end in (ready_read, ready_write, start_read, start_write):
        os.close(end)
    outcomes = []
    for child, read_end in pipes:
        with os.fdopen(read_end, "rb") as pipe:
            good, begun, ended = json.loads(pipe.read() or b"[false, 0, 0]")
            outcomes.append((good, begun, ended))
        os.waitpid(child, 0)
    return outcomes


def stampede(way: Callable[[Path], str], processes: int, address: str) -> Stampede:
    exchanged, errors, last, spread = [], 0, [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "token.json"
            TokenStore(path).replace(document_of(address).with_expires_in(-60, time.time()), rotation="no")
            before = exchanges_at(address)
            outcomes = released_together(processes, lambda path=path: way(path))  # type: ignore[misc]
            exchanged.append(exchanges_at(address) - before)
        errors += sum(not good for good, _, _ in outcomes)
        begun = min(begin for _, begin, _ in outcomes)
        ends = sorted(end for _, _, end in outcomes)
        last.append(ends[-1] - begun)
        spread.append(ends[-1] - ends[0])
    return Stampede(
        way.__name__.removeprefix("by_"),
        processes,
        exchanged,
        errors,
        statistics.median(last),
        statistics.median(spread),
    )


def document_of(address: str) -> TokenDocument:
    return TokenDocument(
        token=f"access-{secrets.token_hex(80)}",
        refresh_token=f"refresh-{secrets.token_hex(40)}",
        token_uri=f"{address}/token",
        client_id="client-1234567890.apps.example.test",
        client_secret=secrets.token_hex(12),
        scopes=("https://www.googleapis.com/auth/calendar",),
        expiry=expiry_after(3600, time.time()),
    )


# -- small things


def per_call(work: Callable[[], object], seconds: float = 0.4) -> float:
    """Return the best of some batches, in seconds a call."""
    count = 1
    while True:
        begun = time.perf_counter()
        for _ in range(count):
            work()
        spent = time.perf_counter() - begun
        if spent > seconds / 10:
            break
        count *= 4
    return min(_batch(work, count) for _ in range(8)) / count


def _batch(work: Callable[[], object], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        work()
    return time.perf_counter() - begun


def median_of(work: Callable[[], object], count: int = 200) -> float:
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def bare_replace(folder: int, data: bytes) -> None:
    """The shortest sequence that is durable."""
    name = f"bare-{secrets.token_hex(8)}"
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(name, "bare", src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def small_things(address: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=RESULTS.parent) as name:
        path = Path(name) / "token.json"
        store, document = TokenStore(path), document_of(address)
        store.replace(document)
        store.access_token()
        volume, data = Volume(path), document.to_json().encode()
        folder = os.open(name, os.O_RDONLY)
        generation = iter(range(10_000))

        def push() -> None:
            token = f"access-{next(generation)}"
            store.replace(dataclasses.replace(document, token=token), force=True)

        figures = {
            "os.stat": per_call(lambda: os.stat(str(path))),
            "access_token": per_call(store.access_token),
            "snapshot": per_call(store.snapshot),
            "read and parse": per_call(lambda: TokenDocument.parse(path.read_bytes())),
            "bare durable replace": median_of(lambda: bare_replace(folder, data)),
            "durable replace": median_of(lambda: volume.replace(folder, "primitive", data)),
            "push, whole protocol": median_of(push, 60),
        }
        os.close(folder)
    figures["import token_keeper"] = started("import token_keeper")
    figures["python alone"] = started("pass")
    figures["token-keeper show"] = started(
        f"import sys; sys.argv=['token-keeper', '--path', {str(path)!r}, 'show']\n"
        "from token_keeper.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    )
    return figures


def started(code: str) -> float:
    def run() -> None:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)

    source = str(Path(__file__).resolve().parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    return median_of(run, 9)


def main() -> list[Stampede]:
    """Measure everything, write it down, print it, and return what the stampedes came to."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    exchange.prepare()
    with provider() as address:
        alone = stampede(by_store, 1, address)
        runs = [alone] + [
            stampede(way, processes, address) for processes in (9, 64) for way in (by_store, by_filelock, by_fixed_name)
        ]
        figures = small_things(address)
    RESULTS.write_text(
        json.dumps(
            {"latency": LATENCY, "cpus": os.cpu_count(), "load": os.getloadavg()[0], "seconds": figures,
             "stampedes": [dataclasses.asdict(run) for run in runs]},
            indent=1,
        )
    )  # fmt: skip
    print(f"{'stampede':<14}{'processes':>10}{'exchanges':>14}{'errors':>8}{'last / latency':>16}{'first to last':>15}")
    for run in runs:
        exchanged = " ".join(map(str, run.exchanges))
        print(
            f"{run.way:<14}{run.processes:>10}{exchanged:>14}{run.errors:>8}"
            f"{run.last_seconds / LATENCY:>16.2f}{run.first_to_last_seconds * 1000:>12.0f} ms"
        )
    print()
    for name, seconds in figures.items():
        print(f"{name:<24}{seconds * 1e6:>12.1f} us")
    print()
    print(f"access_token / os.stat             {figures['access_token'] / figures['os.stat']:.1f}")
    print(f"read and parse / access_token      {figures['read and parse'] / figures['access_token']:.1f}")
    print(f"durable replace / bare             {figures['durable replace'] / figures['bare durable replace']:.2f}")
    print(f"whole push / bare                  {figures['push, whole protocol'] / figures['bare durable replace']:.2f}")
    print(f"load of the machine                {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"\nwritten to {RESULTS}")
    return runs


if __name__ == "__main__":
    main()
