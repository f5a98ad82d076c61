"""Fixtures of the store's tests and of those of faults: a volume, and providers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from keeper_provider import Provider, running_provider


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The document's path in a volume of its own."""
    volume = tmp_path / "tokens"
    volume.mkdir(mode=0o700)
    return volume / "token.json"


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that keeps refresh tokens, as Google does."""
    with running_provider() as running:
        yield running


@pytest.fixture
def rotating() -> Iterator[Provider]:
    """A provider that rotates refresh tokens and ends the grant when one is used twice."""
    with running_provider(rotation=True) as running:
        yield running
