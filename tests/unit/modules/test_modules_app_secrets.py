"""Secrets of an application: on stdin into volumes, told by name, and written only where something is another."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from module_utils.token_keeper_helper.app_secrets import deliver
from module_utils.token_keeper_helper.failure import ModuleFailure
from pretended import ROOT, Docker, printed, refused, said

CANARY = "canary-$5e5e"
GIVEN = {
    "secrets": {"llm_api_key": {"value": CANARY, "services": ["web"]}, "other": {"value": "x", "mode": "0440"}},
    "volumes": [{"volume": "theirs_secrets_web", "names": ["llm_api_key"], "uid": 7, "gid": 8}],
    "image": "keeper:1",
    "owner": "theirs",
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "roles/app_stack/files/secret_files.py"
    spec = importlib.util.spec_from_file_location("secret_files", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def there(docker: Docker, answer: dict[str, Any]) -> None:
    docker.on("volume", "inspect", answers=[said([{"Name": "theirs_secrets_web"}])])
    docker.on("run", answers=[said(answer)])


def test_values_go_in_on_stdin_alone_and_only_to_those_that_they_are_for(docker: Docker) -> None:
    there(docker, {"changed": ["llm_api_key"], "gone": ["old"], "revision": 4})
    result = deliver(docker.engine, "SCRIPT", GIVEN, check_mode=False)
    assert result["changed"]
    assert result["replaced"] == {"theirs_secrets_web": ["llm_api_key", "-old"]}
    assert result["revisions"] == {"theirs_secrets_web": 4}
    assert CANARY not in json.dumps(result)
    assert not any(CANARY in " ".join(argv) for argv, _ in docker.calls)
    argv, stdin = docker.calls[-1]
    assert json.loads(stdin or b"") == {
        "files": {"llm_api_key": {"value": CANARY, "mode": "0400"}},
        "uid": 7,
        "gid": 8,
        "dry_run": False,
    }
    for option in ("--log-driver=none", "--network=none", "--cap-drop=ALL", "--read-only"):
        assert option in argv


def test_check_mode_makes_no_volume(docker: Docker) -> None:
    docker.on("volume", "inspect", answers=[refused(1, "Error: No such volume: theirs_secrets_web")])
    result = deliver(docker.engine, "SCRIPT", GIVEN, check_mode=True)
    assert result["changed"]
    assert result["revisions"] == {"theirs_secrets_web": 1}
    assert len(docker.calls) == 1


def test_a_volume_is_made_with_the_label_that_it_is_removed_by(docker: Docker) -> None:
    there(docker, {"changed": [], "gone": [], "revision": 1})
    docker.on("volume", "inspect", answers=[refused(1, "Error: No such volume: theirs_secrets_web")])
    docker.on("volume", "create", answers=[printed("theirs_secrets_web\n")])
    deliver(docker.engine, "SCRIPT", GIVEN, check_mode=False)
    made = docker.calls[1][0]
    assert "--label=io.token-keeper.role=secrets" in made
    assert "--label=io.token-keeper.project=theirs" in made


@pytest.mark.parametrize(
    ("secret", "said_of_it"),
    [
        ({"value": ""}, "llm_api_key has no value"),
        ({}, "llm_api_key has no value"),
        ({"value": CANARY, "mode": "0444"}, "lets others read it"),
        ({"value": CANARY, "mode": "444"}, "lets others read it"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_quoted(docker: Docker, secret: Any, said_of_it: str) -> None:
    with pytest.raises(ModuleFailure, match=said_of_it) as failed:
        deliver(docker.engine, "SCRIPT", {**GIVEN, "secrets": {"llm_api_key": secret}}, check_mode=False)
    assert CANARY not in str(failed.value)
    assert docker.calls == []


def wanted(files: dict[str, str], *, dry_run: bool = False) -> dict[str, Any]:
    return {
        "files": {name: {"value": value, "mode": "0400"} for name, value in files.items()},
        "uid": os.getuid(),
        "gid": os.getgid(),
        "dry_run": dry_run,
    }


def test_files_are_written_once_and_the_revision_counts_changes(script: ModuleType, tmp_path: Path) -> None:
    folder = str(tmp_path)
    dry = script.bring_about(folder, wanted({"key": CANARY}, dry_run=True))
    assert (dry, list(tmp_path.iterdir())) == ({"changed": ["key"], "gone": [], "revision": 1}, [])
    assert script.bring_about(folder, wanted({"key": CANARY})) == dry
    assert (tmp_path / "key").read_text() == CANARY
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o400
    assert script.bring_about(folder, wanted({"key": CANARY})) == {"changed": [], "gone": [], "revision": 1}
    (tmp_path / ".new-cut-short").touch()
    replaced = script.bring_about(folder, wanted({"other": "x"}))
    assert replaced == {"changed": ["other"], "gone": ["key"], "revision": 2}
    assert sorted(os.listdir(folder)) == [".revision", "other"]


def test_another_mode_is_a_change(script: ModuleType, tmp_path: Path) -> None:
    script.bring_about(str(tmp_path), wanted({"key": "x"}))
    (tmp_path / "key").chmod(0o440)
    assert script.bring_about(str(tmp_path), wanted({"key": "x"}))["changed"] == ["key"]
