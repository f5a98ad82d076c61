"""What the tests of the store share: a token volume in a temporary directory, and a provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from keeper_provider import Provider, running_provider

import token_keeper
from token_keeper import TokenStore

# a machine that is busy with other things makes no test wrong
hypothesis.settings.register_profile("kit", deadline=None)
hypothesis.settings.load_profile("kit")


@pytest.fixture(autouse=True)
def _children_find_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(token_keeper.__file__).parents[1]))


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


@pytest.fixture
def store(path: Path) -> TokenStore:
    """A store with short deadlines."""
    return TokenStore(path, service="test", lock_timeout=5.0, exchange_deadline=2.0)
