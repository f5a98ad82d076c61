"""``status.yml`` and ``show_token.yml`` where volumes are folders: what they print, end with, and never leak."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
SECRETS = {
    "token": "ya29.canary-access",
    "refresh_token": "1//canary-refresh",
    "client_secret": "GOCSPX-canary",
}
DOCUMENT = {
    **SECRETS,
    "token_uri": "https://provider.example/token",
    "client_id": "client-canary",
    "scopes": ["calendar"],
    "expiry": "2030-01-01T00:00:00Z",
}
TALKATIVE = {"ANSIBLE_DEBUG": "1"}


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"status_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Terminal = _load(ROOT / "tests/integration/at_a_terminal.py").Terminal


@dataclass(frozen=True)
class Hosts:
    """Hosts of an inventory, each with the same folders for volumes."""

    folder: Path

    def volume(self, name: str) -> Path:
        """Return a volume's folder."""
        return self.folder / "volumes" / name

    def store(self, volume: str, file: str, *words: str, stdin: dict[str, Any] | None = None) -> None:
        """Call the command in a volume."""
        self.volume(volume).mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-m", "token_keeper", "--path", str(self.volume(volume) / file), *words]
        known = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TOKEN_KEEPER_SERVICE": "keeper"}
        given = json.dumps(stdin or {})
        ended = subprocess.run(command, input=given, env=known, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def inventory(self, hosts: dict[str, Any], **variables: Any) -> None:
        """Write the inventory."""
        known = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "token_volume_name": "tokens",
            "refresh_health_heartbeat_urls": [],
            "refresh_health_expected": [],
            "app_stack_project_dir": str(self.folder),
            **{f"images_{name}": f"{name}:1" for name in ("keeper", "stack", "sandbox", "redis")},
            **variables,
        }
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"docker_hosts": {"hosts": hosts, "vars": known}}))

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """Return the command that runs a playbook."""
        return [PLAYBOOK, "-i", str(self.folder / "hosts.yml"), f"playbooks/{playbook}.yml", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of that command."""
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(PLAYBOOK).parent), os.environ["PATH"]])
        return {
            **os.environ,
            "PATH": path,
            "NO_COLOR": "1",
            "PRETENDED_VOLUMES": str(self.folder / "volumes"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "temporary"),
        }

    def run(self, playbook: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook where nobody sits at a terminal."""
        return subprocess.run(
            self.command(playbook, *arguments),
            cwd=ROOT,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            start_new_session=True,
        )

    def contents(self) -> dict[str, str]:
        """Return what all files of the volumes hold, and when they were written."""
        files = [path for path in (self.folder / "volumes").rglob("*") if path.is_file()]
        return {
            str(path): f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files
        }


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    for name in ("bin", "volumes", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "docker").symlink_to(Path(__file__).with_name("pretended_docker.py"))
    found = Hosts(tmp_path)
    found.inventory({"east": {}})
    found.store("tokens", "token.json", "push", "--expires-in=3000", stdin=DOCUMENT)
    return found


def words(ended: subprocess.CompletedProcess[str]) -> str:
    return " ".join((ended.stdout + ended.stderr).split())


def expire(hosts: Hosts) -> None:
    hosts.store("tokens", "token.json", "push", "--force", stdin={**DOCUMENT, "expiry": "2020-01-01T00:00:00Z"})


def test_all_tokens_of_all_hosts_are_told_and_one_that_is_down_stops_no_other(hosts: Hosts) -> None:
    tokens = [{"name": "calendar"}, {"name": "reports", "file": "reports.json"}]
    down = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    hosts.inventory({"east": {"oauth_tokens": tokens}, "west": down})
    hosts.store("tokens", "reports.json", "push", "--expires-in=3000", stdin={**DOCUMENT, "account": "a@example.com"})
    before, file = hosts.contents(), hosts.folder / "report.json"
    ended = hosts.run("status", "--check", "-e", "output=json", "-e", f"output_file={file}", *["-v"])
    assert ended.returncode == 2, ended.stdout
    assert hosts.contents() == before
    assert ended.stdout.count("changed=0") == 2
    [line] = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    report = json.loads(line)
    assert json.loads(file.read_text()) == report
    east, west = report["hosts"]
    assert [(one["name"], one["account"], one["health"]) for one in east["tokens"]] == [
        ("calendar", None, "ok"),
        ("reports", "a@example.com", "ok"),
    ]
    assert (west["host"], west["health"], west["passes"], west["tokens"]) == ("west", "unreachable", False, [])
    assert (report["exit_code"], report["health"]) == (2, "failed")
    assert "canary" not in ended.stdout + ended.stderr


def test_an_application_of_one_s_own_that_can_not_be_read_hides_no_token_and_no_host(hosts: Hosts) -> None:
    down = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    hosts.inventory({"east": {}, "west": down}, app_stack_compose_dir=str(hosts.folder / "nowhere"))
    inventory = yaml.safe_load((hosts.folder / "hosts.yml").read_text())
    del inventory["docker_hosts"]["vars"]["refresh_health_expected"]
    (hosts.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    ended = hosts.run("status", "-e", "output=json")
    assert ended.returncode == 2, ended.stdout
    [line] = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    east, west = json.loads(line)["hosts"]
    assert (east["health"], east["tokens"][0]["missing"]) == ("ok", []), line
    assert west["health"] == "unreachable", line


def test_a_token_that_serves_passes_and_strict_asks_for_more(hosts: Hosts) -> None:
    good = hosts.run("status")
    assert good.returncode == 0, good.stdout
    assert "Ready (Pushed)" in good.stdout
    expire(hosts)
    asked = hosts.run("status", "-e", "output_file=/dev/null")
    assert (asked.returncode, "DEGRADED" in asked.stdout) == (0, True), asked.stdout
    strict = hosts.run("status", "-e", "strict=true")
    assert strict.returncode == 2, strict.stdout
    assert "east: the access token has run out, and the next who asks renews it" in words(strict)


def test_one_line_of_shell_gives_clean_json_and_the_exit_code(hosts: Hosts) -> None:
    (hosts.folder / "volumes" / "no-engine").touch()
    line = shlex.join(hosts.command("status", "-e", "output_file=/dev/fd/3"))
    shell = ["bash", "-o", "pipefail", "-c", f"{line} 3>&1 >/dev/null | cat"]
    ended = subprocess.run(
        shell, cwd=ROOT, env=hosts.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    report = json.loads(ended.stdout)
    [finding] = report["hosts"][0]["tokens"][0]["findings"]
    assert finding["what"].startswith("no Docker Engine answers")
    assert (ended.returncode, report["exit_code"]) == (2, 2)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["output=xml"], "value of token_status_output must be one of"),
        (["output_file=-"], "use output=json, or a descriptor"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(hosts: Hosts, asked: list[str], said: str) -> None:
    ended = hosts.run("status", *(word for one in asked for word in ("-e", one)))
    assert ended.returncode == 2
    assert said in words(ended)


def test_one_token_is_shown_by_its_fingerprints(hosts: Hosts) -> None:
    hosts.inventory({"east": {"oauth_tokens": [{"name": "calendar"}, {"name": "reports", "file": "reports.json"}]}})
    hosts.store("tokens", "reports.json", "push", "--expires-in=3000", stdin={**DOCUMENT, "scopes": ["mail"]})
    for asked, scope in ((), "calendar"), (("-e", "token=reports"), "mail"):
        shown = hosts.run("show_token", *asked)
        assert shown.returncode == 0, shown.stdout
        assert f"Scopes          {scope}" in shown.stdout
        assert "canary" not in shown.stdout
    missing = hosts.run("show_token", "-e", "token=mail")
    assert missing.returncode == 2
    assert "There is no token mail on east; there are calendar, reports." in words(missing)


def test_the_document_comes_out_into_a_private_file_and_nowhere_else(hosts: Hosts) -> None:
    file, log = hosts.folder / "out.json", hosts.folder / "ansible.log"
    asked = ("-vvvvv", "-e", "reveal=true", "-e", f"reveal_to={file}")
    talking = {"ANSIBLE_DEBUG": "1", "ANSIBLE_LOG_PATH": str(log), "ANSIBLE_KEEP_REMOTE_FILES": "1"}
    announced = hosts.run("show_token", *asked, "--check")
    assert (announced.returncode, file.exists()) == (0, False), announced.stdout[-3000:]
    before = hosts.contents()
    ended = hosts.run("show_token", *asked, **talking)
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert json.loads(file.read_text())["refresh_token"] == SECRETS["refresh_token"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert hosts.contents() == before
    # as talkative as can be: what the helper printed is there, sealed
    assert '"sealed"' in ended.stdout
    assert len(log.read_text()) > 10_000
    for text in (ended.stdout, ended.stderr, log.read_text()):
        assert [name for name, secret in SECRETS.items() if secret in text or secret[4:] in text] == []

    file.write_text("mine")
    again = hosts.run("show_token", "-e", "reveal=true", "-e", f"reveal_to={file}")
    assert (again.returncode, file.read_text()) == (2, "mine")
    assert "exists already, and was left as it is" in words(again)
    forced = hosts.run("show_token", "-e", "reveal=true", "-e", f"reveal_to={file}", "-e", "force=true")
    assert forced.returncode == 0, forced.stdout
    assert json.loads(file.read_text())["token"] == SECRETS["token"]


@pytest.mark.parametrize(
    ("hosts_asked", "asked", "said"),
    [
        (["east"], ["reveal=true"], "there is no terminal to show the document at: nothing was read"),
        (["east"], ["reveal_to=out.json"], "add -e reveal=true, or leave it out. Nothing has been read."),
        (["east", "west"], ["reveal=true"], "Name one host: --limit east. Nothing has been read."),
    ],
)
def test_the_document_stays_where_it_is_not_clearly_asked_for(
    hosts: Hosts, hosts_asked: list[str], asked: list[str], said: str
) -> None:
    hosts.inventory({name: {} for name in hosts_asked})
    ended = hosts.run("show_token", *(word for one in asked for word in ("-e", one)))
    assert ended.returncode == 2
    assert said in words(ended)
    assert "canary" not in ended.stdout + ended.stderr


def test_at_a_terminal_it_is_shown_until_enter_and_logged_nowhere(hosts: Hosts) -> None:
    log = hosts.folder / "ansible.log"
    known = {**hosts.environment, "ANSIBLE_LOG_PATH": str(log), "TERM": "xterm"}
    with Terminal(hosts.command("show_token", "-e", "reveal=true"), ROOT, known) as terminal:
        assert "canary" not in terminal.see("or Ctrl-C.")
        terminal.paste("")
        shown = terminal.see("Enter takes this off the screen again.")
        terminal.paste("")
        assert terminal.wait() == 0, terminal.screen[-3000:]
    assert SECRETS["refresh_token"] in shown
    # between the terminal's other screen and the first one, and nowhere else
    before, _, after = terminal.screen.partition("\x1b[?1049h")
    inside, _, after = after.partition("\x1b[?1049l")
    assert SECRETS["client_secret"] in inside
    assert "canary" not in before + after
    assert "canary" not in log.read_text()
