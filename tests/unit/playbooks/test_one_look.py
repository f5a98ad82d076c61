"""What a run makes of what it has seen: when that is believed, and when it looks again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.plugins.loader import filter_loader, init_plugin_loader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[3]
LOADER = DataLoader()
EXPECTED = [{"service": "api", "containers": 1, "processes": 1}, {"service": "celery", "containers": 2, "processes": 4}]
SERVICES = [{"service": name} for name in ("api", "celery", "celery")]


@pytest.fixture(scope="module", autouse=True)
def _filters() -> None:
    init_plugin_loader()
    for role in ("refresh_health", "app_stack"):
        filter_loader.add_directory(str(ROOT / "roles" / role / "filter_plugins"))


def loaded(path: str) -> Any:
    return LOADER.load_from_file(str(ROOT / path), trusted_as_template=True)


def tasks(of: Any) -> Iterator[dict[str, Any]]:
    for one in of:
        yield one
        yield from tasks(one.get("tasks", []))


def rendered(value: Any, role: str, **known: Any) -> Any:
    variables = {**loaded(f"roles/{role}/defaults/main.yml"), **loaded(f"roles/{role}/vars/main.yml"), **known}
    return Templar(LOADER, variables=variables).template(value)


def glance(**seen: Any) -> dict[str, Any]:
    """What is noted of a look."""
    note = next(one for one in loaded("roles/refresh_health/tasks/glance.yml") if "set_fact" in str(list(one)))
    noted: dict[str, Any] = rendered(
        note["ansible.builtin.set_fact"]["refresh_health_glance"],
        "refresh_health",
        refresh_health_volume="v",
        refresh_health_file="token.json",
        refresh_health_expected=EXPECTED,
        __refresh_health_before=seen,
    )
    return noted


def believed(noted: dict[str, Any], **known: Any) -> bool:
    """Whether the proof takes a look for its own, in site.yml."""
    proof = next(one for one in tasks(loaded("playbooks/site.yml")) if one["name"] == "Proof")
    usual = {
        "app_stack_untouched": True,
        "oauth_token_changed": False,
        "token_volume_initialised": {"changed": False},
        "refresh_health_glance": noted,
    }
    return bool(rendered(proof["vars"]["refresh_health_looked"], "refresh_health", **{**usual, **known}))


WELL = {"status": {"generation": 3}, "silent": [], "consumers": SERVICES}


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"app_stack_untouched": False},
        {"oauth_token_changed": True},
        {"token_volume_initialised": {"changed": True, "results": []}},
    ],
)
def test_a_look_is_the_proof_s_where_nothing_was_touched_after_it(known: dict[str, Any]) -> None:
    assert believed(glance(**WELL), **known) is not bool(known)


@pytest.mark.parametrize(
    "seen",
    [
        {"skipped": True, "changed": False},
        {"failed": False, "msg": "no image"},
        {**WELL, "silent": [{"url": "http://127.0.0.1:8080", "why": "connection refused"}]},
        {**WELL, "consumers": SERVICES[:2]},
    ],
    ids=["no volume", "it failed", "a page is silent", "one is missing"],
)
def test_a_look_that_came_too_early_is_not(seen: dict[str, Any]) -> None:
    """A host that has just started brings its containers up by itself, while this runs."""
    assert believed(glance(**seen)) is False


@pytest.mark.parametrize(("objections", "replaced"), [([], False), (["app-api-1 has another image"], True)])
def test_what_an_earlier_play_of_the_run_has_done_is_not_this_one_s(objections: list[str], replaced: bool) -> None:
    note = next(one for one in loaded("roles/app_stack/tasks/run.yml") if one["name"].startswith("Note whether"))
    noted = rendered(
        note["ansible.builtin.set_fact"],
        "app_stack",
        app_stack_project="app",
        ansible_check_mode=False,
        __app_stack_there={"folder": True, "file": True, "objections": objections},
        __app_stack_compose={"changed": True},
        __app_stack_up={"changed": True},
    )
    assert noted == {"app_stack_replaced": replaced, "app_stack_untouched": not replaced}


@pytest.mark.parametrize(
    ("exchanges", "provider", "well"),
    [
        (1, 1, True),
        (1, None, True),
        ("1", "1", True),
        ("1", "", True),
        (2, 2, False),
        ("2", "2", False),
        (1, 2, False),
        ("1", "2", False),
        (0, 0, False),
    ],
)
def test_one_exchange_is_one_by_either_ansible(exchanges: Any, provider: Any, well: bool) -> None:
    """The earlier ansible-core makes texts of numbers, and an empty one of none."""
    check = next(one for one in loaded("roles/refresh_health/tasks/exchanged.yml") if one["name"].endswith("once"))
    that = check["ansible.builtin.assert"]["that"]
    result = {"exchanges": exchanges, "provider_exchanges": provider}
    known = {"refresh_health_result": result, "__refresh_health_exchanges_expected": [1]}
    held = [rendered(trust_as_template("{{ " + one + " }}"), "refresh_health", **known) for one in that]
    assert all(held) is well
    # Whether it is said at all goes by the same
    whole = loaded("roles/refresh_health/vars/main.yml")["__refresh_health_exchanged_as_expected"]
    assert rendered(whole, "refresh_health", **known, __refresh_health_renews=True) is well
    assert rendered(whole, "refresh_health", **known, __refresh_health_renews=False) is True


@pytest.mark.parametrize(
    ("more", "well"),
    [
        ({}, True),
        ({"volume_exists": False, "status": None}, False),
        ({"document": {"state": "corrupt"}}, False),
        ({"document": {"state": "sound", "settled": False}}, False),
        ({"conditions": [{"type": "ReauthRequired", "status": "True"}]}, False),
        ({"conditions": [{"type": "ReauthRequired", "status": "False"}]}, True),
        ({"document": {"state": "sound", "expires_in": -5}}, True),
    ],
)
def test_a_token_that_is_well_is_not_judged_any_further(more: dict[str, Any], well: bool) -> None:
    status = {"document": {"state": "sound", "expires_in": 900}, "conditions": []}
    before: dict[str, Any] = {"volume_exists": True, "status": {**status, **more}}
    before.update({name: value for name, value in more.items() if name in before})
    whole = loaded("roles/refresh_health/vars/main.yml")["__refresh_health_well"]
    known = {"__refresh_health_before": before, "refresh_health_mode": "auto"}
    assert rendered(whole, "refresh_health", **known) is well
    # One that has run out is renewed, unless nothing may be
    run_out = status["document"] | more.get("document", {})
    looked = rendered(whole, "refresh_health", **{**known, "refresh_health_mode": "observe"})
    assert looked is (well and run_out.get("expires_in", -1) > 0)


COUNTER = {"refresh_health_counter_url": "http://provider.example/counters"}


@pytest.mark.parametrize("variables", [{}, COUNTER], ids=["no counter", "a counter"])
@pytest.mark.parametrize("count", [None, 0, 4])
@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(("mode", "proven"), [("force", True), ("auto", False), ("auto", True)])
def test_nothing_is_exchanged_whose_proof_could_not_be_had(
    mode: str, proven: bool, writable: bool, count: int | None, variables: dict[str, str]
) -> None:
    """One condition says so, and hides none of the two checks."""
    known = {
        "refresh_health_mode": mode,
        "__refresh_health_proof": {"writable": writable, "proven": proven},
        "__refresh_health_before": {"counter": {"count": count, "why": "" if count is not None else "no answer"}},
        **variables,
    }
    steps = loaded("roles/refresh_health/tasks/unprovable.yml")
    held = []
    for step in steps:
        if rendered(trust_as_template("{{ " + step["when"] + " }}"), "refresh_health", **known):
            (check,) = loaded(f"roles/refresh_health/tasks/{step['ansible.builtin.import_tasks']}")
            that = trust_as_template("{{ " + check["ansible.builtin.assert"]["that"] + " }}")
            held.append(rendered(that, "refresh_health", **known))
    whole = loaded("roles/refresh_health/vars/main.yml")["__refresh_health_provable"]
    assert rendered(whole, "refresh_health", **known) is all(held)


@pytest.mark.parametrize(("count", "well"), [(5, True), (None, False)])
def test_a_provider_that_stopped_counting_is_said(count: int | None, well: bool) -> None:
    known = {
        "refresh_health_result": {"exchanges": 1, "provider_exchanges": 1 if well else None},
        "__refresh_health_exchanges_expected": [1],
        "__refresh_health_renews": True,
        "__refresh_health_after": {"counter": {"count": count}},
        **COUNTER,
    }
    whole = loaded("roles/refresh_health/vars/main.yml")["__refresh_health_exchanged_as_expected"]
    assert rendered(whole, "refresh_health", **known) is well
