"""The backup on the controller: encrypted, and opened by ansible-vault."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testinfra.host import Host  # type: ignore[import-untyped]

FOLDER = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "backups"


def test_there_is_one_and_ansible_vault_opens_it(host: Host) -> None:
    newest = max(FOLDER.glob("*.vault"))
    assert host.file(str(newest)).mode == 0o600
    assert newest.read_text().startswith("$ANSIBLE_VAULT;")
    password = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "molecule" / "shared" / "vault_password"
    opened = json.loads(host.check_output("ansible-vault view --vault-password-file %s %s", str(password), str(newest)))
    inside = json.loads(host.check_output("docker exec tk-day-two-api-1 cat /app/tokens/token.json"))
    assert opened["document"]["refresh_token"] == inside["refresh_token"]
