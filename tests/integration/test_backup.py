"""Backups on the controller, the way back onto this host and another one, and a document from the controller."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from at_a_terminal import Terminal
from deployment import BIN, ROOT, Deployment, Run, docker
from leaks import Sampler, files_with, found_in
from module_tasks import TokenVolume
from module_tasks import docker as docker_with

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def document(**changes: Any) -> dict[str, Any]:
    """A document with secrets of its own."""
    return {
        "token": f"ya29.canary-{token_hex(16)}",
        "refresh_token": f"1//canary-{token_hex(16)}",
        "token_uri": "http://sandbox:9400/token",
        "client_id": "backup.apps.example.com",
        "client_secret": f"GOCSPX-canary-{token_hex(16)}",
        "scopes": ["https://www.googleapis.com/auth/calendar"],
        "universe_domain": "googleapis.com",
        "account": "a@example.com",
        "expiry": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **changes,
    }


@dataclasses.dataclass(frozen=True)
class Alone:
    """A deployment that is nothing but a volume, and the operator's vault password."""

    deployed: Deployment
    tokens: TokenVolume
    vault: list[str]

    def play(self, name: str, *arguments: str, **environment: str) -> Run:
        return self.deployed.playbook(f"playbooks/{name}_token.yml", *self.vault, *arguments, **environment)

    @property
    def backups(self) -> list[Path]:
        return sorted((self.deployed.state_home / "token-keeper/backups" / self.deployed.project).iterdir())


def exists(volume: str) -> bool:
    return docker("volume", "ls", "--quiet", "--filter", f"name=^{volume}$").strip() == volume


@pytest.fixture
def alone(tmp_path: Path, image: str) -> Iterator[Alone]:
    password = tmp_path / "vault_password"
    password.write_text(f"canary-{token_hex(16)}\n")
    password.chmod(0o600)
    deployed = Deployment(f"tk-alone-backup-{uuid.uuid4().hex[:6]}", 28087, 29407, tmp_path / "state")
    name = deployed.volume
    mount = f"type=volume,source={name},target=/app/tokens,volume-nocopy"
    rights = ("--user=0:0", "--cap-drop=ALL", "--cap-add=CHOWN", "--network=none")
    docker("volume", "create", name)
    try:
        docker("run", "--rm", *rights, "--mount", mount, image, "init-volume", "--uid=999", "--gid=999")
        yield Alone(deployed, TokenVolume(name, image), ["--vault-password-file", str(password)])
    finally:
        docker("volume", "rm", "--force", name, f"{deployed.project}-other_data")


def test_a_token_that_is_lost_comes_back_here_and_elsewhere(alone: Alone) -> None:
    original = document()
    alone.tokens.push(original)
    taken = alone.play("backup").succeeded()
    assert taken.changed == 1
    (backup,) = alone.backups
    assert backup.name.startswith(f"demo+{alone.tokens.name}+token.json+")
    assert (backup.stat().st_mode & 0o777, backup.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    view = [str(BIN / "ansible-vault"), "view", *alone.vault, str(backup)]
    shown = subprocess.run(view, capture_output=True, check=True, cwd=ROOT, env={**os.environ, "PAGER": "cat"})
    assert json.loads(shown.stdout)["document"]["refresh_token"] == original["refresh_token"]
    again = alone.play("backup").succeeded()
    assert (again.changed, alone.backups) == (0, [backup])
    assert "nothing has changed since" in again.text

    docker("volume", "rm", alone.tokens.name)
    said = alone.play("restore", "--check").succeeded()
    assert said.changed > 0
    assert not exists(alone.tokens.name)
    alone.play("restore").succeeded()
    assert alone.tokens.document() == original
    before = alone.tokens.contents()
    second = alone.play("restore").succeeded()
    assert second.changed == 0
    assert alone.tokens.contents() == before

    other = f"{alone.deployed.project}-other_data"
    elsewhere = ["-e", f"token_volume_name={other}"]
    assert "there is no backup of token.json" in alone.play("restore", *elsewhere).text
    assert not exists(other), "what is missing is said before anything is made"
    alone.play("restore", *elsewhere, "-e", f"restore_file={backup}").succeeded()
    assert TokenVolume(other, alone.tokens.image).document() == original


def test_what_was_rotated_away_comes_back_by_force_alone(alone: Alone) -> None:
    first, later = document(), document()
    alone.tokens.push(first)
    alone.play("backup").succeeded()
    docker_with(
        *alone.tokens.helper, "push", "--force", stdin=json.dumps({**first, "refresh_token": later["refresh_token"]})
    )
    before = alone.tokens.contents()
    refused = alone.play("restore")
    assert refused.code != 0
    assert "was rotated away or replaced since" in refused.text
    assert "-e force=true" in refused.text
    assert alone.tokens.contents() == before
    alone.play("restore", "-e", "force=true").succeeded()
    assert alone.tokens.document() == first


def test_what_cannot_be_opened_is_said_and_nothing_is_made(alone: Alone, tmp_path: Path) -> None:
    alone.tokens.push(document())
    none = alone.deployed.playbook("playbooks/backup_token.yml")
    assert none.code != 0
    assert "no vault password is given" in none.text
    assert not (alone.deployed.state_home / "token-keeper/backups").exists()
    alone.play("backup").succeeded()
    docker("volume", "rm", alone.tokens.name)
    (tmp_path / "wrong").write_text("wrong")
    wrong = alone.deployed.playbook("playbooks/restore_token.yml", "--vault-password-file", str(tmp_path / "wrong"))
    assert wrong.code != 0
    assert "none of the vault passwords opens" in wrong.text
    (backup,) = alone.backups
    backup.write_bytes(backup.read_bytes()[:-40])
    torn = alone.play("restore")
    assert torn.code != 0
    assert str(backup) in torn.text
    assert not exists(alone.tokens.name)


def test_a_document_from_the_controller_takes_its_place(alone: Alone, tmp_path: Path) -> None:
    first, second, third = document(), document(), document()
    alone.tokens.push(first)
    file = tmp_path / "new.json"
    file.write_text(json.dumps(second))
    file.chmod(0o644)
    replaced = alone.play("replace", "-e", f"document_file={file}").succeeded()
    assert "holds secrets in the clear" in replaced.text
    assert alone.tokens.document() == second
    file.write_text(json.dumps(document(account="b@example.com")))
    stranger = alone.play("replace", "-e", f"document_file={file}")
    assert stranger.code != 0
    assert "the document is for b@example.com" in stranger.text

    command = alone.deployed.command("playbooks/replace_token.yml")
    piped = subprocess.run(
        command,
        input=json.dumps(third),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=alone.deployed.environment(),
        check=False,
        timeout=120,
    )
    assert piped.returncode == 0, piped.stdout
    assert alone.tokens.document() == third
    back = subprocess.run(
        command,
        input=json.dumps(first),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=alone.deployed.environment(),
        check=False,
    )
    assert back.returncode != 0
    assert "was superseded or revoked" in " ".join(back.stdout.split())
    assert alone.tokens.document() == third


def test_a_document_is_pasted_at_the_terminal_unseen(alone: Alone) -> None:
    first, pasted = document(), document()
    alone.tokens.push(first)
    command = alone.deployed.command("playbooks/replace_token.yml")
    with Terminal(command, ROOT, alone.deployed.environment(TERM="dumb")) as terminal:
        terminal.see("then press Ctrl-D")
        terminal.paste(json.dumps(pasted, indent=2) + "\n\x04")
        assert terminal.wait() == 0, terminal.screen
    assert alone.tokens.document() == pasted
    assert found_in(terminal.screen, {name: pasted[name] for name in ("token", "refresh_token", "client_secret")}) == []


def test_no_secret_leaves_volume_and_vault(alone: Alone, tmp_path: Path) -> None:
    first, second = document(), document()
    password = Path(alone.vault[1]).read_text().strip()
    secrets = {
        f"{which} {name}": each[name]
        for which, each in (("first", first), ("second", second))
        for name in ("token", "refresh_token", "client_secret")
    }
    secrets["vault password"] = password
    alone.tokens.push(first)
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "new.json").write_text(json.dumps(second))
    (folder / "vault_password").write_text(password)
    Path(alone.vault[1]).unlink()
    by_file = {"ANSIBLE_VAULT_PASSWORD_FILE": str(folder / "vault_password")}

    def talk(name: str, *arguments: str) -> Run:
        playbook = f"playbooks/{name}_token.yml"
        return alone.deployed.playbook(playbook, "-vvvv", "--diff", *arguments, ANSIBLE_DEBUG="1", **by_file)

    with Sampler() as sampler:
        taken = talk("backup").succeeded()
        replaced = talk("replace", "-e", f"document_file={folder / 'new.json'}").succeeded()
        refused = talk("restore")
        assert refused.code != 0
        forced = talk("restore", "-e", "force=true").succeeded()
    for run in (taken, replaced, refused, forced):
        assert len(run.output) > 50_000, "it was as talkative as can be"
        assert found_in(run.output, secrets) == []
    assert sampler.containers, "helpers were seen"
    assert sampler.leaks(secrets) == []
    engine = Path("/var/lib/docker")
    places = [Path.home() / ".ansible", Path("/tmp"), Path("/run"), Path("/var/log"), ROOT]
    places += [engine / "containers", engine / "volumes"]
    assert files_with(secrets, places, except_below=[alone.tokens.name, "allowed", ".venv", ".git"]) == []


def test_every_consumer_follows_a_restored_token(deployment: Deployment, tmp_path: Path) -> None:
    password = tmp_path / "vault_password"
    password.write_text(token_hex(16))
    vault = ["--vault-password-file", str(password)]
    deployment.playbook("playbooks/backup_token.yml", *vault).succeeded()
    docker("exec", deployment.container("api"), "token-keeper", "clear")
    restored = deployment.playbook("playbooks/restore_token.yml", *vault).succeeded()
    assert restored.changed > 0
    assert "one refresh forced, 1 exchange in the store" in restored.text
    assert "level process" in restored.text, "all follow"
    assert deployment.status()["document"]["state"] == "sound"
    assert deployment.get(f"{deployment.api}/calendar/auth/status")
    again = deployment.playbook("playbooks/restore_token.yml", *vault).succeeded()
    assert again.changed == 0
