"""The engine's configuration: merged with what is there, and never replaced."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[3] / "roles/docker_host/filter_plugins/daemon_json.py"
SPEC = importlib.util.spec_from_file_location("daemon_json", FILE)
assert SPEC is not None
assert SPEC.loader is not None
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)
DEFAULTS = {"log-driver": "json-file", "log-opts": {"max-size": "10m"}, "live-restore": True}


def merged(text: str, options: Any = None, defaults: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = MODULE.daemon_json(text, options or {}, defaults)
    return found


def test_nothing_is_rewritten_where_nothing_changes() -> None:
    text = '{ "debug":true,"labels":["a=ü"] }\n\n'
    found = merged(text, {"labels": ["a=ü"]})
    assert (found["content"], found["differing"], found["restart"]) == (text, [], False)


def test_what_is_there_stays_and_what_is_wanted_is_merged() -> None:
    found = merged(
        '{"dns": ["10.0.0.1"], "log-opts": {"max-file": "5", "max-size": "1m"}}', {"log-opts": {"max-size": "7m"}}
    )
    assert json.loads(found["content"]) == {"dns": ["10.0.0.1"], "log-opts": {"max-file": "5", "max-size": "7m"}}
    assert (found["differing"], found["restart"]) == (["log-opts"], True)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", DEFAULTS),
        ("\n", DEFAULTS),
        ('{"live-restore": false}', {**DEFAULTS, "live-restore": False}),
        ('{"log-driver": "journald"}', {"log-driver": "journald", "live-restore": True}),
    ],
)
def test_defaults_only_fill_what_is_missing(text: str, content: dict[str, Any]) -> None:
    assert json.loads(merged(text, None, DEFAULTS)["content"]) == content


@pytest.mark.parametrize(("text", "problem"), [("{torn", "it is no JSON"), ("[]", "no object"), ("null", "no object")])
def test_what_can_not_be_merged_with_is_left_alone(text: str, problem: str) -> None:
    found = merged(text, {"debug": True})
    assert problem in found["problem"]
    assert "content" not in found


@pytest.mark.parametrize(
    ("options", "restart", "kept"),
    [
        ({"debug": True}, False, False),
        ({"live-restore": True}, False, True),
        ({"live-restore": True, "bip": "10.9.0.1/24"}, True, True),
    ],
)
def test_only_what_the_engine_reads_at_its_start_alone_takes_a_restart(
    options: dict[str, Any], restart: bool, kept: bool
) -> None:
    found = merged("{}", options)
    assert (found["restart"], found["live_restore"]) == (restart, kept)
