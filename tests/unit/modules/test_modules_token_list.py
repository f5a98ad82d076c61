"""Several tokens of a host: what the list may say, and what is told of it before anything is changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pretended import ROOT

PLAY = {
    "hosts": "localhost",
    "gather_facts": False,
    "vars": {
        "ansible_python_interpreter": sys.executable,
        "oauth_token_scopes": ["calendar"],
        "oauth_token_client_secrets": {"client_id": "a", "client_secret": "canary-a"},
        "another_client": {"client_id": "b", "client_secret": "canary-b"},
    },
    "tasks": [
        {"include_role": {"name": "oauth_token", "tasks_from": "request.yml"}},
        {"include_role": {"name": "token_volume", "tasks_from": "name.yml"}},
    ],
}


@pytest.mark.parametrize(
    ("tokens", "complaint"),
    [
        (
            [
                {"name": "a"},
                {"name": "b", "file": "b.json", "client_secrets_variable": "another_client"},
                {"name": "c", "volume": "c_tokens", "scopes": ["mail"], "app": True},
            ],
            None,
        ),
        ([{"name": "a"}, {"name": "b"}], "a file or a volume of its own"),
        ([{"name": "a", "client_secret": "canary-c"}], "has keys that are not known: client_secret"),
        ([{"name": "a"}, {"name": "b", "volume": "/srv/b"}], "A volume in oauth_tokens is /srv/b"),
    ],
    ids=["good", "one-place", "a-secret-in-it", "no-volume"],
)
def test_a_list_is_judged_before_anything_is_changed(
    tokens: list[dict[str, Any]], complaint: str | None, tmp_path: Path
) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([PLAY]))
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({"oauth_tokens": tokens}))
    ended = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "localhost,",
            playbook,
            "-e",
            f"@{variables}",
            "-v",
        ],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "ANSIBLE_LOCAL_TEMP": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join((ended.stdout + ended.stderr).split())
    assert (ended.returncode == 0) == (complaint is None), said
    assert complaint is None or complaint in said
    assert "canary" not in said
