"""Which tests may run side by side: those on the engine follow one another on one worker, the others fill the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

ON_THE_ENGINE = tuple(Path(__file__).parent / name for name in ("integration", "faults"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give everything below integration/ and faults/ to one worker of `pytest -n 2 --dist loadgroup`."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in ON_THE_ENGINE):
            item.add_marker(pytest.mark.xdist_group("engine"))
