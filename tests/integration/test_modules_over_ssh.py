"""The action plugins on a host that is reached by SSH: what the docker command says there comes back as it was said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from module_tasks import TokenVolume, docker, play

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

DOCUMENT = {
    "token": "an-access-token",
    "refresh_token": "a-refresh-token",
    "token_uri": "https://provider.example/token",
    "client_id": "client",
    "client_secret": "a-client-secret",
    "scopes": ["calendar"],
    "universe_domain": "googleapis.com",
    "account": "",
    "expiry": "2030-01-01T00:00:00Z",
}
CONSENT = {"client_secrets": {"client_id": "client", "client_secret": "a-client-secret"}, "scopes": ["calendar"]}


@pytest.fixture
def over_ssh(tmp_path: Path) -> dict[str, Any]:
    """Return the keywords of a play that reaches its host by SSH."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("pretended_ssh.py")} "$@"\n')
    program.chmod(0o755)
    return {
        "vars": {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_ssh_executable": str(program),
            # each command by itself: there is no connection to share
            "ansible_ssh_args": "",
            "ansible_python_interpreter": sys.executable,
        }
    }


def test_what_the_engine_refuses_is_told(over_ssh: dict[str, Any], image: str, tmp_path: Path) -> None:
    nowhere = {"volume": "tk-e-nowhere", "image": image}
    unreachable = {**nowhere, "docker_host": "unix:///nonexistent.sock"}
    played = play(
        tmp_path,
        *(
            {**task, "ignore_errors": True}
            for options in (unreachable, nowhere)
            for task in ({"token_volume": {**options, "document": DOCUMENT}}, {"oauth_token": {**options, **CONSENT}})
        ),
        play_keywords=over_ssh,
    )
    reasons = [each["error"]["reason"] for each in played.results]
    assert reasons == ["EngineUnreachable", "EngineUnreachable", "VolumeMissing", "VolumeMissing"]


def test_check_mode_foresees_a_consent_on_a_host_without_the_volume(
    over_ssh: dict[str, Any], image: str, tmp_path: Path
) -> None:
    task = {"oauth_token": {"volume": "tk-e-nowhere", "image": image, **CONSENT}}
    checked = play(tmp_path, task, arguments=["--check"], play_keywords=over_ssh)
    assert checked.code == 0, checked.output
    assert checked.result["reason"] == "VolumeMissing"
    assert "A person would be asked to consent: there is no volume yet." in checked.result["msg"]
    assert docker("volume", "ls", "--quiet", "--filter", "name=tk-e-nowhere") == ""


def test_a_warning_of_the_docker_command_is_no_answer(
    over_ssh: dict[str, Any], volume: TokenVolume, tmp_path: Path
) -> None:
    settings = tmp_path / "docker"
    settings.mkdir()
    (settings / "config.json").write_text("{not JSON")
    warned = {"environment": {"DOCKER_CONFIG": str(settings)}}
    push = {"token_volume": {**volume.options, "document": DOCUMENT}}
    played = play(tmp_path, {**push, **warned}, {**push, **warned}, play_keywords=over_ssh)
    assert played.code == 0, played.output
    assert [each["changed"] for each in played.results] == [True, False]
    assert volume.document() == DOCUMENT
