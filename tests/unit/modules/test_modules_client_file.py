"""The client's file on the controller: whatever bytes it holds, they reach the parser as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.parsing.vault import VaultLib, VaultSecret  # type: ignore[import-untyped]
from plugins.action.oauth_token import ActionModule

from token_keeper.consent import ClientSecrets
from token_keeper.errors import ConsentError

CLIENT = {"client_id": "id", "client_secret": "canary-secret", "project_id": "Zürich"}
KEY = [("default", VaultSecret(b"password"))]


def read(file: Path) -> tuple[Any, str]:
    loader = DataLoader()
    loader.set_vault_secrets(KEY)
    action = ActionModule.__new__(ActionModule)
    action._loader = loader
    action._find_needle = lambda _folder, name: name
    return action._client_secrets({"client_secrets_file": str(file), "client_secrets": None})


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "vault"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding_of_json_is_read(tmp_path: Path, encoding: str, encrypted: bool) -> None:
    file = tmp_path / "client_secret.json"
    data = json.dumps(CLIENT, ensure_ascii=False).encode(encoding)
    file.write_bytes(VaultLib(KEY).encrypt(data, KEY[0][1]) if encrypted else data)
    assert ClientSecrets.parse(*read(file)).client_secret == "canary-secret"


def test_a_binary_file_is_named_and_what_to_do_instead(tmp_path: Path) -> None:
    file = tmp_path / "client_secret.json"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\xff canary")
    with pytest.raises(ConsentError, match="the client secrets are not text") as caught:
        ClientSecrets.parse(*read(file))
    assert (caught.value.reason, str(file) in caught.value.message) == ("ClientSecretsMalformed", True)
    assert "UTF-8" in caught.value.remedy
    assert "canary" not in str(caught.value)
