"""Two ways to the provider: in this process with a clock that obeys, and as a process over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_parts import InProcess

from sandbox_provider.testing import Sandbox, running_sandbox


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # as the server does for its process
    process = InProcess(tmp_path / "data")
    yield process
    process.provider.database.close()


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A running sandbox, one process a module, with default settings and no faults."""
    before = shared_sandbox.settings()
    yield shared_sandbox
    shared_sandbox.clear_faults()
    shared_sandbox.settings(**before)
