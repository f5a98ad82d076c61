"""One deployment for all tests that only use it; tests that need their own make one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from deployment import Deployment


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A stack that site.yml has deployed; gone, with its volumes, when the session ends.

    Without a keeper: what consumers do by themselves is tested here, and it would be faster than they.
    """
    alone = {"app_stack_keeper": False}
    deployed = Deployment("tk-itest", 28080, 29400, tmp_path_factory.mktemp("state"), alone)
    deployed.clear_away()
    deployed.remove().succeeded()
    try:
        deployed.playbook("site.yml").succeeded()
        yield deployed
    finally:
        deployed.remove().succeeded()
