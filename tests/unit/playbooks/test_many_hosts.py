"""Plays over many hosts, some of them down: who goes on, who is named at the end, and with what exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
# What stands in the place of the roles: it fails where it is told to, and changes something
WORK: list[dict[str, Any]] = [
    {
        "name": "Work",
        "ansible.builtin.command": {
            "argv": [
                "sh",
                "-c",
                'test "$1" != "$2" || { echo; exit 1; }',
                "sh",
                "{{ inventory_hostname }}",
                "{{ broken }}",
            ]
        },
        "register": "worked",
        "changed_when": "worked.rc == 0",
        "failed_when": False,
    },
    {
        "name": "Say so",
        "ansible.builtin.assert": {
            "that": "worked.rc == 0",
            "fail_msg": "The disk of {{ inventory_hostname }} is full.",
        },
    },
]


@pytest.fixture(scope="module")
def nobody() -> Iterator[int]:
    """A port of this machine that nobody listens on, and that nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


class Fleet:
    """Hosts of an inventory, of which some refuse SSH."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def run(
        self,
        plays: list[dict[str, Any]],
        hosts: str,
        *arguments: str,
        broken: str = "",
        serial: str = "",
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run plays; a host whose name begins with ``down`` can't be reached."""
        down = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": self.port}
        names = {name: down if name.startswith("down") else LOCAL for name in hosts.split()}
        inventory, playbook = self.folder / "hosts.yml", self.folder / "site.yml"
        known = {"broken": broken, **({"site_serial": serial} if serial else {})}
        inventory.write_text(yaml.safe_dump({"docker_hosts": {"hosts": names, "vars": known}}, sort_keys=False))
        playbook.write_text(yaml.safe_dump(plays, sort_keys=False))
        return subprocess.run(
            [PLAYBOOK, "-i", str(inventory), str(playbook), *arguments],
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def fleet(tmp_path: Path, nobody: int) -> Fleet:
    return Fleet(tmp_path, nobody)


def plays(name: str) -> list[dict[str, Any]]:
    """Return the plays of one of the kit's playbooks."""
    found = yaml.safe_load((ROOT / "playbooks" / name).read_text())
    return [play for play in found if "hosts" in play]


def with_work(play: dict[str, Any], kept: int = 0, last: int = 0) -> dict[str, Any]:
    """Return a play with its head, its first and last tasks, and other work in between."""
    tasks = play["tasks"]
    return {**play, "tasks": [*tasks[:kept], *WORK, *(tasks[-last:] if last else [])]}


def site() -> list[dict[str, Any]]:
    """Return what ``site.yml`` is made of, with other work in the place of its roles."""
    (main,) = plays("site.yml")
    return [*plays("preflight_answering.yml"), with_work(main, kept=1)]


def rotation() -> list[dict[str, Any]]:
    """Return what ``rotate_token.yml`` is made of; what is broken is found by its look."""
    look, rotate = plays("rotate_token.yml")
    rest = [{**WORK[0], "ansible.builtin.command": "true"}]
    return [with_work(look, last=1), {**rotate, "tasks": [rotate["tasks"][0], *rest]}]


def results(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the result of each host as the summary has it."""
    known = ("deployed", "changed", "unchanged", "failed", "unreachable", "not begun", "would change")
    rows = (
        ended.stdout[ended.stdout.index("PLAY RECAP") :].partition("\nHost ")[2].partition("\n\n")[0].splitlines()[1:]
    )
    return {
        row.split()[0]: next(result for result in known if row.split(None, 1)[1].startswith(result)) for row in rows
    }


def test_a_host_that_is_down_stops_no_other_and_is_named_with_the_command_for_it(fleet: Fleet) -> None:
    (main,) = plays("site.yml")
    ended = fleet.run([with_work(main, kept=1)], "down a b")
    assert ended.returncode == 4
    assert results(ended) == {"down": "unreachable", "a": "deployed", "b": "deployed"}
    assert "Work  SSH is refused: nobody listens at that address and port" in ended.stdout
    assert (
        f"down can't be reached: ssh: connect to host 127.0.0.1 port {fleet.port}: Connection refused" in ended.stdout
    )
    assert ended.stdout.rstrip().endswith("site.yml --limit down")


def test_the_canary_is_the_first_host_that_answers(fleet: Fleet) -> None:
    ended = fleet.run(site(), "down a b c", "-e", "site_serial=1,100%", broken="a")
    assert ended.returncode == 4
    assert results(ended) == {"down": "unreachable", "a": "failed", "b": "not begun", "c": "not begun"}
    assert "Say so The disk of a is full." in " ".join(ended.stdout.split())
    assert ended.stdout.count("changed: [") == 0
    again = fleet.run(site(), "down a b c", "-e", '{"site_serial": [1, "100%"]}')
    assert results(again) == {"down": "unreachable", "a": "deployed", "b": "deployed", "c": "deployed"}
    worked = [line for line in again.stdout.splitlines() if line.startswith("changed: [")]
    assert worked[0] == "changed: [a]"


def test_a_failure_in_a_batch_stops_the_next_one_and_nobody_of_its_own(fleet: Fleet) -> None:
    ended = fleet.run(site(), "a b c d e", "-e", "site_serial=3,100%", broken="a")
    assert ended.returncode == 2
    assert results(ended) == {"a": "failed", "b": "deployed", "c": "deployed", "d": "not begun", "e": "not begun"}
    assert "a failed, see above: nothing has been changed on d, e." in " ".join(ended.stdout.split())
    assert "site.yml -e site_serial=3,100% --limit a,d,e" in ended.stdout


def test_without_batches_each_host_ends_for_itself(fleet: Fleet) -> None:
    (main,) = plays("site.yml")
    ended = fleet.run([with_work(main, kept=1)], "a b c", broken="b")
    assert ended.returncode == 2
    assert results(ended) == {"a": "deployed", "b": "failed", "c": "deployed"}
    assert "TASK [Go no further" not in ended.stdout


def test_sizes_that_are_none_are_refused_before_a_host_is_reached(fleet: Fleet) -> None:
    ended = fleet.run(site(), "a b", "-e", "site_serial=lots")
    assert ended.returncode == 2
    assert "site_serial is lots, which is no number of hosts. Nothing has been changed." in " ".join(
        ended.stdout.split()
    )
    assert results(ended) == {"a": "failed", "b": "not begun"}


def test_batches_that_no_play_could_see_are_refused(fleet: Fleet) -> None:
    (main,) = plays("site.yml")
    ended = fleet.run([with_work(main, kept=2)], "a b", serial="1,100%")
    assert ended.returncode == 2
    said = " ".join(ended.stdout.split())
    assert "site_serial is given by the inventory" in said
    assert "Give it on the command line: -e site_serial=1,100%" in said
    assert ended.stdout.count("changed: [") == 0
    assert results(ended) == {"a": "failed", "b": "not begun"}


def test_a_host_that_is_down_stops_no_rotation_and_is_not_its_canary(fleet: Fleet) -> None:
    ended = fleet.run(rotation(), "down a b")
    assert ended.returncode == 4
    assert results(ended) == {"down": "unreachable", "a": "deployed", "b": "deployed"}
    rotated = ended.stdout.partition("PLAY [Rotate]")[2].partition("PLAY RECAP")[0]
    assert rotated.count("PLAY [Rotate]") == 1, "a came before b"
    assert rotated.index("[a]") < rotated.index("PLAY [Rotate]") < rotated.index("changed: [b]")


def test_what_a_host_lacks_that_is_up_stops_a_rotation_everywhere(fleet: Fleet) -> None:
    ended = fleet.run(rotation(), "down a b", broken="b")
    assert ended.returncode == 2
    assert results(ended) == {"down": "unreachable", "a": "not begun", "b": "failed"}
    assert "PLAY [Rotate]" not in ended.stdout


def test_one_happy_host_is_no_news(fleet: Fleet) -> None:
    (main,) = plays("site.yml")
    ended = fleet.run([with_work(main, kept=1)], "a")
    assert ended.returncode == 0
    assert "Result" not in ended.stdout


def test_check_mode_tells_what_would_change_and_another_callback_turns_it_not_off(fleet: Fleet) -> None:
    play = {"hosts": "docker_hosts", "gather_facts": False}
    copied = {"ansible.builtin.copy": {"content": "x", "dest": "{{ broken }}/{{ inventory_hostname }}", "mode": "0600"}}
    beside = {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"}
    ended = fleet.run([{**play, "tasks": [copied]}], "a b", "--check", broken=str(fleet.folder), **beside)
    assert ended.returncode == 0
    assert results(ended) == {"a": "would change", "b": "would change"}
    assert "All 2 hosts are done." in ended.stdout
    assert "ansible.builtin.copy ---" in ended.stdout, "the other one is there as well"


def test_output_for_a_machine_stays_what_it_is(fleet: Fleet) -> None:
    (main,) = plays("site.yml")
    ended = fleet.run([with_work(main, kept=1)], "down a", ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
    assert json.loads(ended.stdout)["stats"]["down"]["unreachable"] == 1
    assert "can't be reached" not in ended.stdout + ended.stderr


def test_a_secret_in_a_result_is_told_nowhere(fleet: Fleet) -> None:
    failing = {"ansible.builtin.fail": {"msg": "canary {{ item }}"}, "loop": ["canary"], "no_log": True}
    shown = {"ansible.builtin.command": "sh -c 'echo canary >&2; exit 1'"}
    for task in (failing, shown):
        ended = fleet.run(
            [{"hosts": "docker_hosts", "gather_facts": False, "tasks": [task]}], "a b", "-e", "key=canary"
        )
        summary = ended.stdout[ended.stdout.index("PLAY RECAP") :]
        assert results(ended) == {"a": "failed", "b": "failed"}
        assert "canary" not in summary


def test_a_host_whose_failure_was_mended_is_done(fleet: Fleet) -> None:
    block = {
        "block": [{"ansible.builtin.fail": {"msg": "no"}}],
        "rescue": [{"ansible.builtin.debug": {"msg": "mended"}}],
    }
    ignored = {"ansible.builtin.fail": {"msg": "no"}, "ignore_errors": True}
    ended = fleet.run([{"hosts": "docker_hosts", "gather_facts": False, "tasks": [block, ignored]}], "a b")
    assert results(ended) == {"a": "unchanged", "b": "unchanged"}


def test_a_host_that_is_kept_for_a_report_counts_as_unreachable(fleet: Fleet) -> None:
    look = {"name": "Look", "ansible.builtin.ping": {}, "ignore_unreachable": True, "register": "look"}
    verdict = {"ansible.builtin.assert": {"that": "look.ping is defined", "fail_msg": "no"}}
    ended = fleet.run([{"hosts": "docker_hosts", "gather_facts": False, "tasks": [look, verdict]}], "a down")
    assert ended.returncode == 2
    assert results(ended) == {"a": "unchanged", "down": "unreachable"}


def test_both_playbooks_with_batches_have_the_gate_that_the_summary_knows() -> None:
    source = (ROOT / "plugins" / "callback" / "closing_summary.py").read_text()
    (deploy,), (_, rotate) = plays("site.yml"), plays("rotate_token.yml")
    for play in (deploy, rotate):
        gate = play["tasks"][0]
        assert f'GATE: Final = "{gate["name"]}"' in source
        assert gate["run_once"] is True


def test_the_example_inventory_has_its_groups() -> None:
    command = [str(Path(PLAYBOOK).with_name("ansible-inventory")), "-i", "inventory/example"]
    told = subprocess.run([*command, "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    found = json.loads(told.stdout)
    kinds = ["provider_google", "provider_other", "account_shared", "stack_assistant", "stack_own"]
    assert found["docker_hosts"]["children"] == kinds
    hosts = ["assistant-1.example.com", "assistant-2.example.com"]
    assert (found["provider_google"]["hosts"], found["stack_assistant"]["hosts"]) == (hosts, hosts)
    graph = subprocess.run([*command, "--graph"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"@{kind}:" in graph for kind in kinds)
    declared = [
        set(yaml.safe_load((ROOT / f"inventory/example/group_vars/{kind}/main.yml").read_text())) for kind in kinds[1:]
    ]
    common = set(yaml.safe_load((ROOT / "inventory/example/group_vars/docker_hosts/main.yml").read_text()))
    assert sum(map(len, [common, *declared])) == len(set().union(common, *declared)), "no variable is set by two kinds"


def test_hosts_work_side_by_side_and_one_that_falls_silent_is_given_up() -> None:
    dump = [str(Path(PLAYBOOK).with_name("ansible-config")), "dump", "--only-changed", "--type", "all"]
    told = subprocess.run(
        dump, cwd=ROOT, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=True
    )
    assert "DEFAULT_FORKS" in told.stdout
    assert "= 20" in told.stdout
    assert "ServerAliveInterval" in told.stdout
