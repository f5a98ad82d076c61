"""What the tests of the store share: a token volume in a temporary directory, and a provider."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from keeper_fixtures import path, provider, rotating

import token_keeper
from token_keeper import TokenStore

__all__ = ["path", "provider", "rotating"]

# a machine that is busy with other things makes no test wrong
hypothesis.settings.register_profile("kit", deadline=None)
hypothesis.settings.load_profile("kit")


@pytest.fixture(autouse=True)
def _children_find_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(token_keeper.__file__).parents[1]))


@pytest.fixture
def store(path: Path) -> TokenStore:
    """A store with short deadlines."""
    return TokenStore(path, service="test", lock_timeout=5.0, exchange_deadline=2.0)
