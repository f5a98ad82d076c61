"""The README says what the code does, and its commands run."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_parts import InProcess

from sandbox_provider import person
from sandbox_provider.app import create_app
from sandbox_provider.faults import ENDPOINTS, KINDS, Fault
from sandbox_provider.settings import Settings
from sandbox_provider.testing import Sandbox

ROOT = Path(person.__file__).parents[2]
README = (ROOT / "sandbox" / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_setting_is_described() -> None:
    described = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", section("Settings"), re.MULTILINE))
    defaults = {
        field.name: field.default if isinstance(field.default, str) else json.dumps(field.default)
        for field in dataclasses.fields(Settings)
    }
    assert described == defaults


def test_every_part_of_a_fault_is_described() -> None:
    text = section("Faults")
    for word in (*ENDPOINTS, *KINDS, *(field.name for field in dataclasses.fields(Fault))):
        assert f"`{word}`" in text, word


def test_every_option_of_the_person_is_described() -> None:
    source = Path(person.__file__).read_text(encoding="utf-8")
    for word in re.findall(r'"(--[a-z-]+)"|"(SANDBOX_PERSON_[A-Z_]+)"', source):
        assert f"`{''.join(word)}" in section("The person"), word


def test_every_counter_is_described(inside: InProcess) -> None:
    text = section("Counters")
    for group, members in inside.counters().items():
        for word in (group, *members):
            assert f"`{word}`" in text, word


def test_every_endpoint_is_described(inside: InProcess) -> None:
    text = section("Endpoints")
    for rule in create_app(inside.provider).url_map.iter_rules():
        path = re.sub(r"<calendar_id>.*", "", rule.rule)
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
        if not path.startswith(("/users", "/calendars")):  # the same without its prefix
            assert path in text, rule.rule


@pytest.mark.parametrize("command", re.findall(r"^    (curl (?:.*\\\n)*.*)$", README, re.MULTILINE))
def test_the_curl_commands_run(sandbox: Sandbox, command: str) -> None:
    shell = command.replace("http://127.0.0.1:9400", sandbox.url).replace("curl ", "curl --fail --noproxy '*' ")
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(result.stdout).keys() & {"installed", "faults"}


def test_the_browser_of_the_readme_exists() -> None:
    path = re.search(r"BROWSER='python3 (\S+) %s &'", README)
    assert path
    assert (ROOT / path[1]).is_file()


def test_the_start_command_runs(tmp_path: Path) -> None:
    command = re.search(r"^    python (-m sandbox_provider) --port 9400 --data DIR$", README, re.MULTILINE)
    assert command
    process = subprocess.Popen(
        [sys.executable, *command[1].split(), "--port", "0", "--data", str(tmp_path)],
        cwd=ROOT / "sandbox",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        assert "listening on 127.0.0.1 port" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
