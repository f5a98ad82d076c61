"""Secrets that are recognised wherever they turn up: they turn up in the volume, the vault and the sandbox only."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex

import pytest
import requests
from deployment import BIN, ROOT, Deployment, Run, docker
from leaks import Sampler, files_with, forms, found_in
from rotating import admin, stage

# the first test that asks for the deployment waits for its images as well
pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

SANDBOX_ALONE = """
- name: The sandbox alone, so that a client can be registered before anybody consents
  hosts: docker_hosts
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: docker_host}
    - ansible.builtin.include_role: {name: images}
    - ansible.builtin.include_role: {name: sandbox}
"""


class Canary(Deployment):
    """A deployment whose OAuth client has a secret of the test's own."""

    def talkative(self, playbook: str, *arguments: str) -> Run:
        """Run a playbook with everything that makes Ansible talk."""
        return self.playbook(playbook, "-vvvv", *arguments, timeout=900, ANSIBLE_DEBUG="1")

    def document(self) -> dict[str, str]:
        """Return the client and the secrets of the document that is in the volume now."""
        found = json.loads(docker("exec", self.container("api"), "cat", "/app/tokens/token.json"))
        return {name: found[name] for name in ("token", "refresh_token", "client_id", "client_secret")}


def vault_with(content: Mapping[str, object], folder: Path, password: Path) -> Path:
    """Write an ansible-vault file and return it; the plain text is never on the disk."""
    vault = folder / "client_secret.vault.json"
    subprocess.run(
        [BIN / "ansible-vault", "encrypt", "--vault-password-file", password, "--output", vault, "-"],
        input=json.dumps(content).encode(),
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    return vault


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[tuple[Canary, str, list[str]]]:
    """Return a deployment that is only a sandbox yet, the client's secret, and the arguments that name its vault."""
    secret, client_id = f"GOCSPX-canary-{token_hex(16)}", f"canary-{token_hex(4)}.apps.example.com"
    state_home = tmp_path / "state"
    state_home.mkdir()
    port = 29406
    client = {
        "client_id": client_id,
        "client_secret": secret,
        "auth_uri": f"http://127.0.0.1:{port}/o/oauth2/v2/auth",
        "token_uri": f"http://127.0.0.1:{port}/token",
        "redirect_uris": ["http://localhost"],
    }
    password = tmp_path / "vault_password"
    password.write_text(token_hex(16))
    vault = vault_with({"installed": client}, tmp_path, password)
    variables = {"oauth_token_client_secrets": {}, "oauth_token_client_secrets_file": str(vault)}
    deployed = Canary("tk-alone-canary", 28086, port, state_home, variables)
    play = tmp_path / "sandbox_alone.yml"
    play.write_text(SANDBOX_ALONE)
    deployed.clear_away()
    deployed.remove().succeeded()
    try:
        deployed.playbook(str(play)).succeeded()
        requests.post(
            f"{deployed.sandbox}/admin/clients", json={"client_id": client_id, "client_secret": secret}, timeout=10
        ).raise_for_status()
        yield deployed, secret, ["--vault-password-file", str(password)]
    finally:
        deployed.remove().succeeded()


def with_another_secret(deployed: Canary, vault: list[str], folder: Path, *, registered: bool) -> tuple[Run, str]:
    """Rotate to another secret of the client, one that the provider knows or one that it doesn't."""
    secret, client = f"GOCSPX-canary-{token_hex(16)}", deployed.document()["client_id"]
    if registered:
        admin(deployed, "POST", f"clients/{client}/secrets", client_secret=secret)
    inside = folder / secret[-8:]
    inside.mkdir()
    content = {"client_id": client, "client_secret": secret, "redirect_uris": ["http://localhost"]}
    file = vault_with({"installed": content}, inside, Path(vault[1]))
    variables = json.dumps({"mode": "client", "rotation_client_secrets_file": str(file)})
    return deployed.talkative("rotate_token.yml", *vault, "-e", variables), secret


def search(deployed: Canary, sampler: Sampler, runs: list[Run], secrets: dict[str, str]) -> None:
    """Search for the secrets in what was printed, and wherever else they could have got to."""
    assert len(sampler.containers) > 10, "helpers were seen, not only the stack"
    for run in runs:
        assert len(run.output) > 100_000, "it was as talkative as can be"
        assert found_in(run.output, secrets) == []
    assert sampler.leaks(secrets) == []

    containers = docker("ps", "--all", "--filter", f"name={deployed.project}", "--format", "{{.Names}}").split()
    assert len(containers) == 6
    for name in containers:
        inspected = docker("inspect", name)
        assert found_in(inspected, secrets) == []
        logged = subprocess.run(["docker", "logs", name], capture_output=True, check=True)
        assert found_in(logged.stdout + logged.stderr, secrets) == []
        image = json.loads(inspected)[0]["Image"]
        assert found_in(docker("image", "history", "--no-trunc", image), secrets) == []

    places = [Path.home(), Path("/tmp"), Path("/var"), Path("/run"), Path("/etc"), Path("/opt"), ROOT]
    allowed = [deployed.volume, f"{deployed.project}-sandbox_data", "merged"]  # merged: overlays of running containers
    assert files_with(secrets, places, except_below=allowed) == []


def test_no_secret_leaves_volume_vault_and_sandbox(canary: tuple[Canary, str, list[str]], tmp_path: Path) -> None:
    deployed, client_secret, vault = canary
    with Sampler() as sampler:
        first = deployed.talkative("site.yml", *vault, "-e", "refresh_health_mode=observe").succeeded()
        consented = deployed.document()
        second = deployed.talkative("site.yml", *vault).succeeded()
        refreshed = deployed.document()
        rotated = deployed.talkative("rotate_token.yml", *vault).succeeded()
        current = deployed.document()
        told = deployed.talkative("playbooks/status.yml", *vault).succeeded()
        file = tmp_path / "revealed.json"
        reveal = ("-e", "reveal=true", "-e", f"reveal_to={file}")
        shown = deployed.talkative("playbooks/show_token.yml", *vault, *reveal).succeeded()
        docker("exec", deployed.container("api"), "sh", "-c", 'echo "" > /app/tokens/token.json')
        mended = deployed.talkative("playbooks/doctor.yml", *vault, "-e", "repair=true").succeeded()
    # the one place that was asked for, and so none of those that are searched
    assert json.loads(file.read_text())["token"] == current["token"]
    file.unlink()
    assert deployed.document() == current, "the doctor has put it back"
    secrets = {
        "client secret": client_secret,
        "refresh token": consented["refresh_token"],
        "access token by consent": consented["token"],
        "access token by the forced refresh": refreshed["token"],
        "access token by rotation": current["token"],
    }
    assert consented["client_secret"] == client_secret
    assert len(set(secrets.values())) == 5
    search(deployed, sampler, [first, second, rotated, told, shown, mended], secrets)


@pytest.mark.long
def test_no_secret_leaves_when_grant_or_client_are_replaced(
    canary: tuple[Canary, str, list[str]], tmp_path: Path
) -> None:
    deployed, client_secret, vault = canary
    deployed.playbook("site.yml", *vault).succeeded()
    with Sampler() as sampler:
        stage(deployed)
        reconsented = deployed.talkative("rotate_token.yml", *vault, "-e", "mode=reconsent").succeeded()
        granted = deployed.document()
        changed, other_secret = with_another_secret(deployed, vault, tmp_path, registered=True)
        changed.succeeded()
        failed, wrong_secret = with_another_secret(deployed, vault, tmp_path, registered=False)
        assert failed.code != 0
        latest = deployed.document()
        revoked = deployed.talkative("playbooks/revoke_token.yml", *vault, "-e", "confirm=yes").succeeded()
    secrets = {
        "client secret": client_secret,
        "refresh token by another consent": granted["refresh_token"],
        "access token by another consent": granted["token"],
        "other client secret": other_secret,
        "wrong client secret": wrong_secret,
        "access token by the other secret": latest["token"],
    }
    assert latest["client_secret"] == other_secret
    assert len(set(secrets.values())) == 6
    search(deployed, sampler, [reconsented, changed, failed, revoked], secrets)


def test_the_search_finds_what_leaks(tmp_path: Path) -> None:
    """The searches above are worth something only if they find a secret that is there."""
    secrets = {
        "argument": f"canary+{token_hex(16)}",
        "environment": f"canary/{token_hex(16)}",
        "file": f"canary={token_hex(16)}",
    }
    with Sampler() as sampler:
        leaky = {**os.environ, "LEAKY": secrets["environment"]}
        with subprocess.Popen(["sh", "-c", "sleep 1; :", secrets["argument"]], env=leaky) as process:
            process.wait()
        time.sleep(0.1)
    assert sorted(sampler.leaks(secrets)) == ["argument", "environment"]

    for number, form in enumerate(sorted(forms(secrets["file"]))):
        (tmp_path / f"leak-{number}").write_bytes(b"before " + form + b" after")
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "volume").write_text(secrets["file"])
    leaks = files_with(secrets, [tmp_path], except_below=["allowed"])
    assert len(leaks) == len(forms(secrets["file"]))
    assert found_in(f"?secret={secrets['file']}".replace("=", "%3D"), {"file": secrets["file"]}) == ["file"]
