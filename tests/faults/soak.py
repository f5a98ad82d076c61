"""How much is tried: in CI what shows a fault soon, with SOAK=1 (``make soak``) everything."""

from __future__ import annotations

import os
from typing import Final

SOAK: Final = os.environ.get("SOAK", "") not in {"", "0"}

SHARDS: Final = int(os.environ.get("SOAK_SHARDS", "4")) if SOAK else 1
"""Parts of a sweep, each a test of its own, so that a machine with many cores shares them (``pytest -n``)."""


def amount(ci: int, soak: int) -> int:
    """Return how many of something are tried."""
    return soak if SOAK else ci
