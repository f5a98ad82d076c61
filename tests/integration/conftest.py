"""What tests share: one deployment for all that only use it, and token volumes of their own.

Two rows may run at a time, ``-m shared`` and ``-m "not shared"``: those that use the deployment, and those that have
engines, volumes or deployments of their own.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

import pytest
from deployment import Deployment
from module_tasks import TokenVolume, docker, play, token_volume

_WITH_THEM = frozenset({"test_consent_modes"})
"""Files in the row of the deployment that do without it, so that both rows take as long."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the row that shares the deployment."""
    for item in items:
        if "deployment" in getattr(item, "fixturenames", ()) or item.path.stem in _WITH_THEM:
            item.add_marker(pytest.mark.shared)


@pytest.fixture(scope="session", autouse=True)
def _images(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have the images made before anything else, and by one process alone: they are the same for all."""
    folder = tmp_path_factory.mktemp("images")
    play = folder / "images.yml"
    play.write_text("- hosts: docker_hosts\n  gather_facts: false\n  roles: [{role: images}]\n")
    with (tmp_path_factory.getbasetemp().parent / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Deployment("tk-itest", 28080, 29400, folder).playbook(str(play), timeout=900).succeeded()


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


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The keeper image of these sources."""
    roles = {
        "include_role": {"name": "images"},
        "vars": {"images_prefix": "token-keeper-demo", "images_build": ["keeper"]},
    }
    played = play(tmp_path_factory.mktemp("image"), roles, {"debug": {"msg": "{{ images_keeper }}"}})
    assert played.code == 0, played.output
    return str(played.result["msg"])


@pytest.fixture
def fresh(image: str) -> Iterator[TokenVolume]:
    """A volume that nobody has touched."""
    with token_volume(image) as volume:
        yield volume


@pytest.fixture
def volume(fresh: TokenVolume) -> TokenVolume:
    """An initialised volume without a document."""
    mount = f"type=volume,source={fresh.name},target=/app/tokens,volume-nocopy"
    rights = ("--user=0:0", "--cap-drop=ALL", "--cap-add=CHOWN", "--network=none")
    docker("run", "--rm", *rights, "--mount", mount, fresh.image, "init-volume", "--uid=999", "--gid=999")
    return fresh
