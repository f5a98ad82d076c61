"""What is asked for is judged before anything is changed: before there is an engine, so that these tests need none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from deployment import PLAYBOOK, Run, run

OTHER_CLIENT = {"installed": {"client_id": "id", "client_secret": "canary-secret"}}
SCOPES = {"oauth_token_scopes": ["calendar"]}
NOBODY_THERE = "{{ lookup('ansible.builtin.url', 'http://127.0.0.1:9/client_secret.json') | from_json }}"


def site(*arguments: str, **variables: Any) -> Run:
    """Run site.yml where no engine answers and none may be installed."""
    no_engine = {"docker_host_socket": "/nonexistent/docker.sock", "docker_host_install": False}
    known = {"token_keeper_project": "tk-alone-asked", **no_engine, **SCOPES, **variables}
    environment = {**os.environ, "NO_COLOR": "1"}
    return run([PLAYBOOK, "site.yml", "-e", json.dumps(known), *arguments], environment=environment)


@pytest.fixture
def client(tmp_path: Path) -> str:
    file = tmp_path / "client_secret.json"
    file.write_text(json.dumps(OTHER_CLIENT))
    return str(file)


@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["run", "check"])
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"oauth_token_client_secrets": {}}, "no OAuth client is given for demo"),
        (
            {"oauth_token_client_secrets": {}, "oauth_token_consent": "none"},
            "no OAuth client is given for demo",
        ),
        (
            {"oauth_token_client_secrets": OTHER_CLIENT, "oauth_token_client_secrets_file": "/nonexistent.json"},
            "two OAuth clients are given for demo: a file in oauth_token_client_secrets_file, and a content in",
        ),
        (
            {"oauth_token_client_secrets": {}, "oauth_token_client_secrets_file": "client_secret.json"},
            "oauth_token_client_secrets_file is client_secret.json, which is no full path",
        ),
        (
            {"oauth_token_client_secrets": {}, "oauth_token_client_secrets_file": "/nonexistent.json"},
            "the client secrets cannot be read from /nonexistent.json",
        ),
        (
            {"oauth_token_client_secrets": {"installed": {"client_id": "canary-id"}}},
            "oauth_token_client_secrets",
        ),
        ({"oauth_token_client_secrets": "{{ vault_client }}"}, "'vault_client' is undefined"),
        (
            {"oauth_token_client_secrets": OTHER_CLIENT, "oauth_token_scopes": []},
            "There are no scopes to ask for on demo",
        ),
        (
            {"oauth_token_client_secrets": OTHER_CLIENT, "token_volume_name": "/srv/tokens"},
            "token_volume_name is /srv/tokens for demo, which is not the name of a Docker volume",
        ),
        (
            {
                "oauth_token_client_secrets": OTHER_CLIENT,
                "app_stack_environment": {
                    "https_proxy": "http://user:canary-password@proxy:1",
                    "CONTACT": "me@example",
                },
            },
            "app_stack_environment has https_proxy with a name, a token or a password before an @",
        ),
    ],
    ids=[
        *("no client", "no client and no consent", "two clients", "relative path", "no such file", "half a client"),
        *("undefined variable", "no scopes", "volume name", "password of the proxy"),
    ],
)
def test_what_cannot_work_is_told_before_any_change(
    variables: dict[str, Any], message: str, arguments: tuple[str, ...]
) -> None:
    refused = site(*arguments, **variables)
    assert refused.code != 0
    assert refused.changed == 0
    assert message in refused.text
    assert "Nothing has been changed" in refused.text
    assert "TASK [docker_host :" not in refused.output
    assert "canary" not in refused.output


@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["run", "check"])
@pytest.mark.parametrize(
    "variables",
    [
        {"oauth_token_client_secrets": OTHER_CLIENT},
        {"oauth_token_client_secrets": NOBODY_THERE},
        {
            "oauth_token_client_secrets": NOBODY_THERE,
            "app_stack_environment": {"CONTACT": "me@example", "no_proxy": "a"},
        },
    ],
    ids=["content", "content that is still to come", "an @ where it may be"],
)
def test_what_can_work_goes_on_to_the_engine(variables: dict[str, Any], arguments: tuple[str, ...]) -> None:
    gone_on = site(*arguments, **variables)
    assert "this takes root, which this run may not use" in gone_on.text
    assert "canary" not in gone_on.output


def test_a_file_by_its_full_path_goes_on_to_the_engine(client: str) -> None:
    gone_on = site(oauth_token_client_secrets={}, oauth_token_client_secrets_file=client)
    assert "this takes root, which this run may not use" in gone_on.text
