"""Nine processes of the sample app on one volume, with a keeper or without, and what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials

from sandbox_provider.testing import Sandbox, running_sandbox
from token_keeper import TokenDocument, TokenStore

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "samples/stock_app/app.py"
PROCESSES = 9
_START_TIMEOUT = 60.0
LIFE = 600
"""Seconds that the provider's access tokens live."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """What nine processes have seen and done.

    Attributes:
        keeper: whether one was running.
        seconds: for how long they ran.
        calls: calls of the API.
        failed: those that brought no answer, or an error.
        writes: how often a process has rewritten the file.
        exchanges: how often the provider gave a token.
        refused: how often it gave none.
        grants_ended: how often it ended the grant, because a refresh token was used twice.
        alive: whether the refresh token in the file is good at the end.
    """

    keeper: bool
    seconds: float
    calls: int
    failed: int
    writes: int
    exchanges: int
    refused: int
    grants_ended: int
    alive: bool


def table(kept: Figures, alone: Figures) -> str:
    """Return the figures side by side, as a table of Markdown."""
    rows = [
        ("API calls", "calls"),
        ("failed", "failed"),
        ("writes by the app", "writes"),
        ("exchanges", "exchanges"),
        ("exchanges refused", "refused"),
        ("grants ended by the provider", "grants_ended"),
        ("token alive at the end", "alive"),
    ]

    def cell(value: int | bool) -> str:
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:,}"

    lines = ["| | keeper on | keeper off |", "| --- | --- | --- |"]
    lines += [f"| {text} | {cell(getattr(kept, name))} | {cell(getattr(alone, name))} |" for text, name in rows]
    return "\n".join(lines)


def save(name: str, kept: Figures, alone: Figures, **conditions: Any) -> None:
    """Write the figures to ``build/bench``."""
    told = ROOT / "build" / "bench" / name
    told.parent.mkdir(parents=True, exist_ok=True)
    found = {"on": dataclasses.asdict(kept), "off": dataclasses.asdict(alone)}
    told.write_text(json.dumps({"processes": PROCESSES, **conditions, "keeper": found}, indent=2) + "\n")


def run(folder: Path, *, keeper: bool, lives: float, pause: float, latency: float = 0.25, scale: float = 1) -> Figures:
    """Let the app run for so many lives of an access token.

    Args:
        folder: for the volume and the logs.
        keeper: whether a keeper is running.
        lives: how many times an access token's life it goes on.
        pause: seconds between two calls of a process.
        latency: seconds that an answer of the provider takes, as one of Google's does from afar.
        scale: by which three times are shorter: the token's life, google-auth's threshold, the keeper's time ahead.
    """
    folder.mkdir()
    volume = folder / "tokens"
    volume.mkdir(mode=0o700)
    path = volume / "token.json"
    life = round(LIFE / scale)
    with running_sandbox(rotation=True, access_token_lifetime=LIFE, latency=latency) as sandbox:
        with contextlib.ExitStack() as processes:
            if keeper:
                processes.enter_context(_keeper(path, folder, scale))
            document = TokenDocument.parse(json.dumps(sandbox.issue_token()))
            store = TokenStore(path)
            store.replace(document, rotation="yes", expires_in=LIFE)
            logs = [folder / f"app-{number}.log" for number in range(PROCESSES)]
            for log in logs:
                processes.enter_context(_app(path, log, sandbox, pause, scale))
                time.sleep(pause / PROCESSES)
            _wait_until(lambda: all(_said(" ok$", log) for log in logs), "an app is not at work")
            # From here on it counts: all are at work, and this token lives as long as is asked for
            sandbox.settings(access_token_lifetime=life)
            store.refresh(force=True)
            begun = time.monotonic()
            early = _told_by(logs)
            time.sleep(lives * life)
        seconds = time.monotonic() - begun
        counters = sandbox.counters()
        ok, failed, writes = (now - before for now, before in zip(_told_by(logs), early, strict=True))
        return Figures(
            keeper=keeper,
            seconds=round(seconds, 1),
            calls=failed + ok,
            failed=failed,
            writes=writes,
            exchanges=counters["exchanges"]["refresh_token"] - 1,
            refused=counters["exchanges"]["refused"],
            grants_ended=counters["rotation"]["reuse_detected"],
            alive=_is_alive(path),
        )


def _told_by(logs: Sequence[Path]) -> list[int]:
    """Return how often the apps were answered, failed, and wrote the token."""
    return [_said(what, *logs) for what in (" ok$", " failed: ", " wrote the token$")]


def _said(what: str, *logs: Path) -> int:
    """Return how many lines of the logs have this regular expression in them."""
    return sum(len(re.findall(what, log.read_text(), re.MULTILINE)) for log in logs)


def _wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def _is_alive(path: Path) -> bool:
    """Tell whether the provider still takes the refresh token in the file."""
    try:
        fields = json.loads(path.read_text())
        Credentials(**fields | {"expiry": None}).refresh(Request())
    except (GoogleAuthError, OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _keeper(path: Path, folder: Path, scale: float) -> Iterator[None]:
    """A keeper that is at work: it waits for the token."""
    command = ["-m", "token_keeper", "--path", str(path), "keep", "--listen", "127.0.0.1:0"]
    log = folder / "keeper.log"
    with _process(command, log, _scaled(scale, "keeper"), ends=0):
        _wait_until(lambda: _said(" active", log) > 0, "the keeper is not at work")
        yield


def _app(
    path: Path, log: Path, sandbox: Sandbox, pause: float, scale: float
) -> contextlib.AbstractContextManager[None]:
    told = {"TOKEN_FILE": str(path), "CALENDAR_API": sandbox.calendar_endpoint, "PAUSE": str(pause)}
    return _process([str(APP)], log, told | _scaled(scale, "app"), ends=-signal.SIGTERM)


def _scaled(scale: float, who: str) -> dict[str, str]:
    if scale == 1:
        return {"PYTHONPATH": str(ROOT / "src")}
    search = os.pathsep.join([str(Path(__file__).parent / "scaled"), str(ROOT / "src")])
    return {"PYTHONPATH": search, "TIME_SCALE": str(scale), "TIME_SCALE_OF": who}


@contextlib.contextmanager
def _process(command: list[str], log: Path, environment: dict[str, str], *, ends: int) -> Iterator[None]:
    """A process that goes on until it is told to end, which it does with this exit code."""
    with (
        log.open("wb") as output,
        subprocess.Popen([sys.executable, *command], env=os.environ | environment, stderr=output) as process,
    ):
        try:
            yield
            assert process.poll() is None, f"it ended by itself: {log.read_text()[-2000:]}"
        finally:
            # As an engine stops a container: a keeper that waits for the provider's answer saves it first
            process.terminate()
            try:
                process.wait(_START_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == ends, log.read_text()
