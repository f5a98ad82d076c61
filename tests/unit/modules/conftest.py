"""What the tests of the modules share: a pretended docker command, and a status as the helper tells it."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils  # type: ignore[import-untyped]
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).parent))
# modules import their shared code under this name, and find it where Ansible has put it
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from doctored import Host  # noqa: E402
from pretended import Docker  # noqa: E402


@pytest.fixture
def docker() -> Docker:
    """A Docker Engine with nothing in it, which answers as it is told to."""
    return Docker()


@pytest.fixture
def host(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A Docker host with a sound token, an API and a keeper."""
    monkeypatch.setattr("module_utils.token_keeper_helper.diagnosis._PAUSE", 0.0)
    monkeypatch.setattr("module_utils.token_keeper_helper.repairing._LOOK_EVERY", 0.0)
    return Host(docker)
