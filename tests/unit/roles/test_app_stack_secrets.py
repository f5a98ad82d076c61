"""Which volumes with secrets go: those that no service is to have, if no container has them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from test_app_stack_migration import ROLE, told

THERE = ["theirs_secrets_web", "theirs_secrets_worker", "theirs_secrets_gone"]


@pytest.mark.parametrize(
    ("kept", "free", "check_mode", "leaving"),
    [
        (["theirs_secrets_web"], THERE, False, ["theirs_secrets_worker", "theirs_secrets_gone"]),
        (["theirs_secrets_web"], ["theirs_secrets_gone"], False, ["theirs_secrets_gone"]),
        (["theirs_secrets_web"], [], True, ["theirs_secrets_worker", "theirs_secrets_gone"]),
        (THERE, THERE, False, []),
        (None, THERE, False, THERE),
    ],
    ids=["taken out", "a stopped container has one", "check mode", "all are wanted", "teardown"],
)
def test_those_go_that_nobody_is_to_have(
    kept: list[str] | None, free: list[str], check_mode: bool, leaving: list[str]
) -> None:
    known: dict[str, Any] = {
        "ansible_check_mode": check_mode,
        "__app_stack_secrets_there": {"stdout_lines": THERE},
        "__app_stack_secrets_free": {"stdout_lines": free},
    }
    if kept is not None:
        known["__app_stack_secrets_kept"] = kept
    assert told("__app_stack_secrets_leaving", [], **known) == sorted(leaving)


def test_a_run_removes_what_was_taken_out() -> None:
    tasks = yaml.safe_load((ROLE / "tasks/run.yml").read_text())
    assert tasks[-1]["ansible.builtin.include_tasks"] == "absent_secrets.yml", "after the containers were made anew"
