"""How the tests share a machine: all that use the Docker Engine run one after another, in one process.

They share a deployment, and compare what is there before and after. Unit tests run beside them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

INTEGRATION = Path(__file__).parent / "integration"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the engine into one group of `pytest -n … --dist loadgroup`."""
    for item in items:
        if item.path.is_relative_to(INTEGRATION):
            item.add_marker(pytest.mark.xdist_group("engine"))
