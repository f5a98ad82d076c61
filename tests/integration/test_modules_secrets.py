"""No secret of a token gets out of memory and the volume: not into output, arguments, environments, logs or files."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from module_tasks import BIN, ROOT, TokenVolume, docker, play, run_playbook, token_volume

from sandbox_provider.testing import CALENDAR_SCOPES, Sandbox, running_sandbox

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PERSON = f"{sys.executable} {ROOT}/sandbox/sandbox_provider/person.py %s &"
SECRET_FIELDS = ("token", "refresh_token", "client_secret")


class Watcher:
    """Takes down the arguments and environments of all processes, and how the engine describes helpers."""

    def __init__(self) -> None:
        """Begin to watch."""
        self.seen: set[bytes] = set()
        self.helpers: set[str] = set()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._processes, self._containers)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _processes(self) -> None:
        while not self._over.wait(0.005):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen.add((process / name).read_bytes())

    def _containers(self) -> None:
        while not self._over.wait(0.02):
            ids = docker("ps", "--all", "--quiet", "--filter", "label=io.token-keeper.role=helper").split()
            for each in ids:
                found = subprocess.run(["docker", "inspect", each], capture_output=True, text=True, check=False)
                if found.returncode == 0:
                    self.helpers.add(found.stdout)


@contextlib.contextmanager
def watching() -> Iterator[Watcher]:
    watcher = Watcher()
    try:
        yield watcher
    finally:
        watcher.stop()


def leaks(secrets: Sequence[str], texts: dict[str, bytes]) -> list[str]:
    """Return in which of the texts a secret stands, without naming it."""
    return sorted(
        {
            f"secret {number} in {name}"
            for number, secret in enumerate(secrets)
            for name, text in texts.items()
            if secret.encode() in text
        }
    )


def files_since(began: float, *folders: Path) -> dict[str, bytes]:
    """Return all files below these folders that were written since then."""
    found: dict[str, bytes] = {}
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                path = Path(root) / name
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime >= began and path.is_file():
                        found[str(path)] = path.read_bytes()
    return found


def talkative(folder: Path) -> dict[str, str]:
    """Everything that makes Ansible say and keep more."""
    return {
        "ANSIBLE_DEBUG": "1",
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
        "ANSIBLE_PIPELINING": "0",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1",
        "ANSIBLE_DISPLAY_TRACEBACK": "always",
        "ANSIBLE_LOG_PATH": str(folder / "ansible.log"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
    }


def encrypted(folder: Path, variables: dict[str, Any]) -> list[str]:
    """Write variables as an operator keeps them, in an ansible-vault file, and return the options to use it."""
    password = folder / "password"
    password.write_text("opensesame")
    command = [
        str(BIN / "ansible-vault"),
        "encrypt",
        "--vault-password-file",
        str(password),
        "--output",
        str(folder / "vault.yml"),
    ]
    subprocess.run(command, input=json.dumps(variables), capture_output=True, text=True, check=True)
    return ["--vault-password-file", str(password)]


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    """A provider on this machine's loopback."""
    with running_sandbox() as running:
        yield running


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[TokenVolume]:
    """A volume that nobody has touched."""
    roles = {
        "include_role": {"name": "images"},
        "vars": {"images_prefix": "token-keeper-demo", "images_build": ["keeper"]},
    }
    played = play(tmp_path, roles, {"debug": {"msg": "{{ images_keeper }}"}})
    assert played.code == 0, played.output
    with token_volume(str(played.result["msg"])) as made:
        yield made


def test_no_secret_is_said_or_kept_however_much_ansible_says_and_keeps(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    began = time.time()
    pushed = provider.issue_token()
    vault = encrypted(tmp_path, {"vault_token": pushed})
    role = {
        "token_volume_name": volume.name,
        "token_volume_image": volume.image,
        "oauth_token_image": volume.image,
        "oauth_token_scopes": list(CALENDAR_SCOPES),
        "oauth_token_browser": PERSON,
        "oauth_token_timeout": 120,
        "oauth_token_client_secrets": "{{ lookup('ansible.builtin.url', provider, split_lines=false) | from_json }}",
        "provider": f"{provider.url}/console/client_secret.json",
    }
    refresh = {"token_volume": {**volume.options, "state": "refreshed", "force": True, "network": "host"}}
    tasks = [
        {"include_role": {"name": "token_volume"}},
        {"token_volume": {**volume.options, "document": "{{ vault_token }}"}},
        {"token_volume": {**volume.options, "document": "{{ vault_token }}"}},
        refresh,
        {"token_volume": {**volume.options, "document": "{{ vault_token }}"}, "ignore_errors": True},
        {
            "token_volume": {**volume.options, "document": "{{ vault_token | combine({'refresh_token': ''}) }}"},
            "ignore_errors": True,
        },
        {"include_role": {"name": "oauth_token"}, "vars": {"oauth_token_reconsent": True}},
        {"include_role": {"name": "oauth_token"}},
        {"token_volume_info": {**volume.options, "consumers": True}},
    ]
    keywords = {"vars_files": [str(tmp_path / "vault.yml")]}
    head = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **role}
    with watching() as watcher:
        completed = run_playbook(
            tmp_path, tasks, [*vault, "-vvvv", "--diff"], {**keywords, "vars": head}, talkative(tmp_path)
        )
    assert completed.returncode == 0, completed.stdout[-4000:]
    assert "Consent is needed. Open this address in a browser" in completed.stdout
    obtained = volume.document()
    secrets = list(dict.fromkeys(document[name] for document in (pushed, obtained) for name in SECRET_FIELDS))
    assert len(secrets) == 5
    assert len(watcher.helpers) > 3
    texts = {
        "output": completed.stdout.encode() + completed.stderr.encode(),
        "arguments and environments": b"\n".join(watcher.seen),
        "docker inspect": "\n".join(watcher.helpers).encode(),
        **files_since(began, tmp_path, Path.home() / ".ansible", Path("/var/lib/docker/containers")),
    }
    assert any("AnsiballZ" in name for name in texts), "payloads were kept, so that there is something to search"
    assert leaks(secrets, texts) == []


def test_the_search_finds_what_the_action_plugin_prevents(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    pushed = provider.issue_token()
    vault = encrypted(tmp_path, {"vault_token": pushed})
    began = time.time()
    nothing = tmp_path / "no-plugins"
    nothing.mkdir()
    keywords = {"vars_files": [str(tmp_path / "vault.yml")]}
    task = {"token_volume": {**volume.options, "document": "{{ vault_token }}"}, "no_log": True}
    environment = {**talkative(tmp_path), "ANSIBLE_ACTION_PLUGINS": str(nothing)}
    completed = run_playbook(tmp_path, [task], [*vault, "-vvvv"], keywords, environment)
    assert completed.returncode != 0
    found = leaks([pushed["refresh_token"]], {"output": completed.stdout.encode(), **files_since(began, tmp_path)})
    assert "secret 0 in output" in found
    assert any("AnsiballZ" in each for each in found)
