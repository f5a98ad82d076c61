"""What the tests of faults share: a token volume, providers, and a note of how much was tried."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from keeper_fixtures import path, provider, rotating

__all__ = ["path", "provider", "rotating"]

FIGURES = pytest.StashKey[list[str]]()

hypothesis.settings.register_profile("faults", deadline=None)
hypothesis.settings.load_profile("faults")


@pytest.fixture
def fresh_path(tmp_path: Path) -> Callable[[], Path]:
    """Makes volumes, one after another; the one before is removed."""
    folder = tmp_path / "volumes"

    def make() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        volume = folder / "tokens"
        volume.mkdir(mode=0o700, parents=True)
        return volume / "token.json"

    return make


@pytest.fixture(scope="session")
def strace() -> None:
    """Tell early, and plainly, where strace is missing or may not trace; these tests are never left out."""
    if shutil.which("strace") is None:
        pytest.fail("strace is missing: scripts/test_tools.sh installs it where it may, or says how")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.fail(f"strace may not trace here (in a container: --cap-add SYS_PTRACE): {tried.stderr.strip()}")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says at the end of the session how much was tried."""

    def note(text: str) -> None:
        request.config.stash.setdefault(FIGURES, []).append(text)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for text in config.stash.get(FIGURES, []):
        terminalreporter.write_line(text)
