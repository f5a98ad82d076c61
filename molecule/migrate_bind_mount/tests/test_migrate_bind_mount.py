"""Every container of the project has its token from the volume, and the host's file is still there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testinfra.host import Host  # type: ignore[import-untyped]

FOLDER = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "tk-migrate-theirs"
VOLUME = "tk-migrate_token_data"


def test_all_have_the_volume(host: Host) -> None:
    names = host.check_output("docker ps --format {{.Names}} --filter name=tk-migrate-theirs-").split()
    consumers = [name for name in names if "-keeper-" not in name]
    assert len(consumers) == 3
    for container in json.loads(host.check_output(f"docker inspect {' '.join(consumers)}")):
        assert [mount.get("Name") for mount in container["Mounts"]] == [VOLUME]


def test_the_file_is_left_until_it_is_asked_to_go(host: Host) -> None:
    assert host.file(str(FOLDER / "token.json")).is_file
