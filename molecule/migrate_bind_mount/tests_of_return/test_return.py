"""After the way back they have the file again, whole, with the newest token, and no keeper is left."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testinfra.host import Host  # type: ignore[import-untyped]

FOLDER = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "tk-migrate-theirs"


def test_all_have_the_file(host: Host) -> None:
    names = host.check_output("docker ps --format {{.Names}} --filter name=tk-migrate-theirs-").split()
    assert len(names) == 3
    for container in json.loads(host.check_output(f"docker inspect {' '.join(names)}")):
        assert [mount["Source"] for mount in container["Mounts"]] == [str(FOLDER / "token.json")]


def test_it_holds_the_token_that_the_proof_has_renewed(host: Host) -> None:
    told = host.check_output(f"cat {FOLDER}/token.json")
    name = host.check_output("docker ps --format {{.Names}} --filter name=tk-migrate-theirs-web").split()[0]
    assert host.check_output(f"docker exec {name} cat /data/token.json") == told
    assert json.loads(told)["refresh_token"]
