"""What a run does next, and how it goes back, by the rotation's record alone; which hosts share a grant."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLUGIN = Path(__file__).resolve().parents[3] / "roles" / "rotation" / "filter_plugins" / "rotation_plan.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rotation_plan", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rotation_plan"] = module
    spec.loader.exec_module(module)
    return module


rotation = load()


def status(phase: str | None = None, *, client: bool = False, staged: bool = False, **more: Any) -> dict[str, Any]:
    """Status of a volume whose last rotation is in this phase."""
    before = "g2" if client else "g1"
    record = {"id": "r", "mode": "x", "phase": phase, "grant_before": before, "grant_after": "g2"} if phase else None
    waiting = {"state": "sound", "refusal": None} if staged else None
    return {"grant": "g2", "rotation_record": record, "staged": waiting, **more}


NOTHING = {"finish": None, "watched": False, "waits": False, "begin": True, "stage": False}


@pytest.mark.parametrize("phase", [None, "retired", "rolled_back"])
def test_a_rotation_that_is_over_leaves_nothing_to_do(phase: str | None) -> None:
    assert rotation.plan(status(phase), "refresh") == NOTHING
    assert rotation.plan(status(phase), "client") == NOTHING
    assert rotation.plan(status(phase), "reconsent") == {**NOTHING, "stage": True}


@pytest.mark.parametrize("phase", ["staged", "checked"])
def test_a_document_that_waits_needs_no_other_consent(phase: str) -> None:
    assert rotation.plan(status(phase, staged=True), "reconsent") == {**NOTHING, "waits": True}
    assert rotation.plan(status(phase, staged=True), "refresh") == {**NOTHING, "waits": True}


@pytest.mark.parametrize(("phase", "watched"), [("promoted", False), ("converged", True)])
@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("mode", ["refresh", "reconsent", "client"])
def test_what_is_live_and_unfinished_is_finished_first(phase: str, watched: bool, client: bool, mode: str) -> None:
    found = rotation.plan(status(phase, client=client), mode)
    assert (found["finish"], found["watched"]) == ("client" if client else "reconsent", watched)
    # the grant that a person has just consented to is the one that was asked for
    assert found["begin"] == (mode != "reconsent" or client)


def test_a_grant_that_somebody_else_has_replaced_is_nobody_s_rotation_any_more() -> None:
    assert rotation.plan(status("promoted", grant="g3"), "refresh") == NOTHING


@pytest.mark.parametrize(
    ("found", "reason", "way"),
    [
        (status("promoted"), "NotConverged", "grant"),
        (status("promoted"), "", "grant"),
        (status("promoted", client=True), "NotReady", "client"),
        (status("converged"), "ForeignWriter", "none"),
        (status("retired"), "", "none"),
        (status("rolled_back"), "", "none"),
        (status(), "ClientRejected", "none"),
        (status("staged", staged=True), "Unreachable", "none"),
        (status("staged", staged=True), "StagedExpired", "unstage"),
        (status("staged", staged={"x": 1}), "", "none"),
        ({**status("staged"), "staged": {"state": "sound", "refusal": "401"}}, "Refused", "unstage"),
        ({**status("staged"), "staged": {"state": "corrupt"}}, "StagedCorrupt", "unstage"),
        (None, "EngineUnreachable", "none"),
    ],
)
def test_the_way_back_is_told_by_the_phase(found: dict[str, Any] | None, reason: str, way: str) -> None:
    assert rotation.way_back(found, reason) == way


def test_where_there_was_no_grant_before_there_is_none_to_go_back_to() -> None:
    found = status("promoted")
    found["rotation_record"]["grant_before"] = None
    assert rotation.way_back(found, "NotConverged") == "none"


def volume(current: str, superseded: tuple[str, ...] = (), rotation: str = "yes", state: str = "sound") -> Any:
    document = {"state": state, "refresh_token_fingerprint": current}
    return {"document": document, "lineage": {"superseded": list(superseded), "grants": []}, "rotation": rotation}


@pytest.mark.parametrize(
    ("hosts", "groups"),
    [
        ({"a": volume("1"), "b": volume("2")}, []),
        ({"a": volume("1"), "b": volume("1")}, [["a", "b"]]),
        # b has gone on with the grant, and a's refresh token is spent: whoever uses that ends both
        ({"a": volume("1"), "b": volume("2", ("1",))}, [["a", "b"]]),
        ({"c": volume("3"), "b": volume("3", ("1",)), "a": volume("1")}, [["a", "b", "c"]]),
        ({"a": volume("1"), "b": volume("1"), "c": volume("5"), "d": volume("5")}, [["a", "b"], ["c", "d"]]),
        ({"a": volume("1", rotation="no"), "b": volume("1", rotation="no")}, []),
        ({"a": volume("1", rotation="unknown"), "b": volume("1", rotation="unknown")}, [["a", "b"]]),
        ({"a": volume("1"), "b": None}, []),
        ({"a": volume("1", state="missing"), "b": volume("1", state="missing")}, []),
    ],
)
def test_hosts_that_share_a_grant_are_found(hosts: dict[str, Any], groups: list[list[str]]) -> None:
    assert rotation.shared(hosts) == groups


def test_hosts_are_named_in_a_sentence() -> None:
    assert rotation.names([["a", "b", "c"], ["d", "e"]]) == "a, b and c; d and e"


def test_of_several_tokens_only_the_one_that_is_rotated_is_asked_for() -> None:
    calendar, reports = {"name": "calendar"}, {"name": "reports", "file": "reports.json"}
    elsewhere = {"name": "elsewhere", "volume": "other"}
    tokens = [calendar, reports, elsewhere]
    assert rotation.tokens_of(tokens, "data", "token.json") == [calendar]
    assert rotation.tokens_of(tokens[1:], "data", "reports.json") == [reports]
    assert rotation.tokens_of([], "data", "token.json") == []


def test_who_has_reported_is_to_be_there_at_the_end() -> None:
    beat = {"pid": 1, "generation": 4}
    seen = [("api", [beat]), ("celery", [beat, beat]), ("celery", [beat]), ("somebody", [])]
    consumers = [{"service": service, "processes": processes} for service, processes in seen]
    assert rotation.containers(consumers) == {"api": 1, "celery": 2}
    assert rotation.containers([]) == {}


def holding(token: str, *superseded: str, earlier: tuple[str, ...] = (), rotation: str = "no") -> dict[str, Any]:
    grants = [{"refresh_token_fingerprint": each} for each in (token, *earlier)]
    document = {"state": "sound", "refresh_token_fingerprint": token}
    return {"rotation": rotation, "document": document, "lineage": {"superseded": list(superseded), "grants": grants}}


@pytest.mark.parametrize(
    ("here", "there", "held"),
    [
        (holding("a"), holding("a"), True),  # of a provider that does not rotate, which refuses nothing
        (holding("a"), holding("b"), False),
        (holding("b", "a", earlier=("a",)), holding("a"), True),  # has gone live here, and waits for its end
        (holding("b", "a", earlier=("a",)), holding("a2", "a", rotation="yes"), True),
        (holding("b", "a"), holding("a"), True),
        (holding("b", "a"), holding("c", "a"), False),  # each has one of its own by now
        (holding("a"), None, False),
        (None, holding("a"), False),
    ],
)
def test_a_grant_that_another_host_uses_is_not_ended(
    here: dict[str, Any] | None, there: dict[str, Any] | None, held: bool
) -> None:
    assert rotation.held_elsewhere({"here": here, "there": there}, "here") is held
    assert rotation.held_elsewhere({"here": here}, "here") is False
