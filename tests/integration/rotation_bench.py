"""Twenty rotations in a row under load, beside the steady state in the same run; in build/bench/rotation.json."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from deployment import ROOT, Deployment
from load import Client
from rotating import ROTATE, new_secret, stage

ROTATIONS = 20
MODES = ("refresh", "reconsent", "client")
STEADY = 60.0
"""Seconds without a rotation, half of them before and half of them after."""


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]


def twenty_rotations(deployment: Deployment) -> dict[str, Any]:
    """Rotate in all modes in turn, and compare what a client has seen meanwhile with what it saw before and after."""
    took: dict[str, list[float]] = {mode: [] for mode in MODES}
    with Client(deployment) as client:
        time.sleep(STEADY / 2)
        begun = time.monotonic()
        for number in range(ROTATIONS):
            mode = MODES[number % len(MODES)]
            if mode == "reconsent":
                stage(deployment)
            elif mode == "client":
                new_secret(deployment)
            took[mode].append(deployment.playbook(ROTATE, "-e", f"mode={mode}").succeeded().seconds)
        ended = time.monotonic()
        time.sleep(STEADY / 2)
    answers = client.answers()
    during = [answer.seconds for answer in answers if begun <= answer.at < ended]
    steady = [answer.seconds for answer in answers if not begun <= answer.at < ended]
    measured = {
        "rotations": ROTATIONS,
        "requests": len(answers),
        "failed": len(client.failed()),
        "p99_steady": p99(steady),
        "p99_rotating": p99(during),
        "ratio": p99(during) / p99(steady),
        "seconds_a_rotation": {mode: statistics.median(seconds) for mode, seconds in took.items()},
    }
    told = Path(ROOT) / "build" / "bench" / "rotation.json"
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps(measured, indent=2) + "\n")
    return measured
