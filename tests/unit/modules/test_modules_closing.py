"""The end of a run over many hosts, as a person reads it, and the command that does what is left."""

from __future__ import annotations

import shlex

import pytest
from module_utils.token_keeper_helper import closing
from module_utils.token_keeper_helper.closing import Ending

COMMAND = ["/venv/bin/ansible-playbook", "-i", "inventory/production", "site.yml"]
REFUSED = (
    "Task failed: Failed to connect to the host via ssh: ssh: connect to host 192.0.2.4 port 22: Connection refused"
)


def text(*endings: Ending, command: list[str] = COMMAND) -> str:
    """Return what is printed."""
    return "\n".join(line for line, _ in closing.lines(endings, command))


def test_every_host_has_a_row_with_result_task_and_reason() -> None:
    told = text(
        Ending("one", "deployed"),
        Ending("two", closing.UNCHANGED),
        Ending(
            "three", closing.FAILED, "app_stack : Check the port", "The port 8080 is taken. Nothing has been changed."
        ),
        Ending("four", closing.UNREACHABLE, "docker_host : Look", REFUSED),
        Ending("five", closing.NOT_BEGUN),
    )
    head, one, two, three, four, five = told.splitlines()[:6]
    assert head.split() == ["Host", "Result", "At", "Why"]
    assert one.split() == ["one", "deployed"]
    assert two.split() == ["two", "unchanged"]
    assert three == "three  failed       app_stack : Check the port  The port 8080 is taken. Nothing has been changed."
    assert four.endswith("SSH is refused: nobody listens at that address and port")
    assert five == "five   not begun"
    assert (
        "four can't be reached: ssh: connect to host 192.0.2.4 port 22: Connection refused\n    See that sshd" in told
    )
    assert "2 of 5 hosts are done." in told
    assert told.endswith("    ansible-playbook -i inventory/production site.yml --limit three,four,five")


def test_hosts_with_the_same_obstacle_share_its_remedy() -> None:
    told = text(*(Ending(name, closing.UNREACHABLE, "Look", REFUSED) for name in ("one", "two")))
    assert told.count("See that sshd runs there") == 1
    assert "No host is done." in told


def test_where_nothing_is_left_there_is_neither_a_reason_nor_a_command() -> None:
    assert text(Ending("one", "deployed"), Ending("two", closing.UNCHANGED)).splitlines() == [
        "Host  Result",
        "one   deployed",
        "two   unchanged",
        "",
        "All 2 hosts are done.",
    ]


def test_one_host_that_failed_is_told_to_run_the_same_again() -> None:
    told = text(Ending("one", closing.FAILED, "Check", "The port is taken."))
    assert told.endswith("one   failed  Check  The port is taken.\n\nWhen that is mended, run the same command again.")


def test_a_reason_is_one_printable_line_and_not_too_long() -> None:
    assert closing.short("one\n  two\x1b[2J") == "one two?[2J"
    cut = closing.short("word " * 100)
    assert (len(cut) <= 160, cut[-2:]) == (True, "d…")


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"msg": "it broke"}, "it broke"),
        ({"msg": "Task failed: it broke", "stdout": "secret"}, "it broke"),
        ({"msg": ["one", "two"]}, "one; two"),
        ({"reason": "no such file"}, "no such file"),
        ({"stderr": "secret", "exception": "secret"}, ""),
        (
            {"msg": "One or more items failed", "results": [{"msg": "fine"}, {"failed": True, "msg": "that one"}]},
            "that one",
        ),
        (
            {"msg": "All items completed", "results": [{"msg": "fine"}, {"unreachable": True, "msg": "Broken pipe"}]},
            "Broken pipe",
        ),
        ({"censored": "hidden", "changed": False}, "no_log hides why"),
        ({"msg": "x", "results": [{"failed": True, "censored": "hidden"}]}, "no_log hides why"),
        ({"failed": True, "msg": "secret", "_ansible_no_log": True}, "no_log hides why"),
    ],
)
def test_nothing_of_a_result_is_told_but_the_message_that_no_log_has_left(result: dict[str, object], told: str) -> None:
    assert closing.reason(result) == told


@pytest.mark.parametrize(
    ("given", "again"),
    [
        ("site.yml", "site.yml --limit a,b"),
        ("-i x -K -J site.yml -vv", "-i x -K -J site.yml -vv --limit a,b"),
        ("site.yml -l old --limit older --limit=oldest -lx --lim y", "site.yml --limit a,b"),
        ("site.yml -e site_serial=1,25%", "site.yml -e site_serial=1,25% --limit a,b"),
        ("rotate_token.yml -e mode=client", "rotate_token.yml -e mode=client --limit a,b"),
        ("site.yml -e @answer.yml", "site.yml -e @answer.yml --limit a,b"),
        ("site.yml --extra-vars=mode=x --extra mode=y -emode=z", "site.yml -e mode=x -e mode=y -e mode=z --limit a,b"),
        ("site.yml --check --diff -f 50", "site.yml --check --diff -f 50 --limit a,b"),
        ("site.yml -CDe mode=x", "site.yml -CD -e mode=x --limit a,b"),
        ("site.yml -kl old", "site.yml -k --limit a,b"),
        ("--list-hosts site.yml", "--list-hosts site.yml --limit a,b"),
    ],
)
def test_the_command_is_the_run_s_own_with_another_limit(given: str, again: str) -> None:
    assert closing.again(["/x/ansible-playbook", *given.split()], ["a", "b"]) == f"ansible-playbook {again}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("vault_key=canary", "vault_key=…"),
        ("mode=client vault_key=canary", "mode=client vault_key=…"),
        ("mode='canary canary'", "mode=…"),
        ('{"vault_key": "canary"}', "…"),
        ("mode='canary", "…"),
        ("", "…"),
    ],
)
def test_what_may_be_secret_is_not_repeated(given: str, told: str) -> None:
    words = ["ansible-playbook", "site.yml", "-e", given]
    assert shlex.split(closing.again(words, ["a"]))[3] == told
    assert "canary" not in closing.again(words, ["a"])
    printed = text(Ending("a", closing.FAILED, "T", "why"), Ending("b", closing.NOT_BEGUN), command=words)
    assert "canary" not in printed
    assert "it may be a secret" in printed


def test_hosts_whose_names_mean_something_to_a_shell_are_quoted() -> None:
    assert closing.again(["ansible-playbook", "site.yml"], ["a b"]) == "ansible-playbook site.yml --limit 'a b'"
