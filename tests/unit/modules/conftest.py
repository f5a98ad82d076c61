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

from pretended import Docker  # noqa: E402


@pytest.fixture
def docker() -> Docker:
    """A Docker Engine with nothing in it, which answers as it is told to."""
    return Docker()
