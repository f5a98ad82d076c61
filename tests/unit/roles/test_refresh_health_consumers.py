"""The filters by which role refresh_health says who lags and what is proven."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLUGIN = Path(__file__).resolve().parents[3] / "roles" / "refresh_health" / "filter_plugins" / "consumers.py"
EXPECTED = [{"service": "api", "containers": 1}, {"service": "celery", "containers": 2}]


@pytest.fixture(scope="module")
def filters() -> ModuleType:
    """Return the plugin, which lies where Ansible looks for it and not on Python's path."""
    spec = importlib.util.spec_from_file_location("refresh_health_consumers", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def consumer(container: str, service: str, **more: Any) -> dict[str, Any]:
    return {
        "container": container,
        "service": service,
        "level": "process",
        "generation": 7,
        "converged": True,
        "reason": "",
        **more,
    }


def everybody(**second_worker: Any) -> list[dict[str, Any]]:
    return [consumer("a-1", "api"), consumer("c-1", "celery"), consumer("c-2", "celery", **second_worker)]


def test_nobody_lags_when_all_have_converged(filters: ModuleType) -> None:
    assert filters.lagging(everybody(), EXPECTED) == []


def test_a_consumer_that_lags_is_named_with_its_reason(filters: ModuleType) -> None:
    behind = everybody(converged=False, reason="not at generation 7: process 12 has 6")
    assert filters.lagging(behind, EXPECTED) == ["c-2: not at generation 7: process 12 has 6"]


@pytest.mark.parametrize(("generation", "said"), [(6, "uses generation 6"), (None, "uses an unknown generation")])
def test_without_a_reason_its_generation_is_told(filters: ModuleType, generation: int | None, said: str) -> None:
    assert filters.lagging(everybody(converged=False, generation=generation), EXPECTED) == [f"c-2: {said}"]


def test_a_container_that_is_not_there_is_missed(filters: ModuleType) -> None:
    assert filters.lagging(everybody()[:2], EXPECTED) == ["celery: 1 of 2 containers run with the volume mounted"]


def test_a_consumer_that_nobody_expects_has_to_follow_as_well(filters: ModuleType) -> None:
    stranger = consumer("x-1", "x", converged=False, reason="it reads another document than the volume holds")
    assert filters.lagging([*everybody(), stranger], EXPECTED) == [
        "x-1: it reads another document than the volume holds"
    ]


def test_the_weakest_level_is_the_proof(filters: ModuleType) -> None:
    assert filters.level(everybody()) == "process"
    assert filters.level(everybody(level="container")) == "container"
    assert filters.level([*everybody(level="container"), consumer("x", "x", level="mount")]) == "mount"
    assert filters.level([]) == "none"


def test_ansible_finds_the_filters(filters: ModuleType) -> None:
    names = {"identities", "lagging", "level", "missing"}
    assert set(filters.FilterModule().filters()) == {f"refresh_health_{name}" for name in names}


def test_services_with_too_few_containers_are_named(filters: ModuleType) -> None:
    assert filters.missing(["api", "celery", "celery"], EXPECTED) == []
    assert filters.missing(["api", "celery", "other"], EXPECTED) == [
        "celery: 1 of 2 containers run with the volume mounted"
    ]
    assert len(filters.missing([], EXPECTED)) == 2


def test_what_runs_is_told_in_an_order_that_holds(filters: ModuleType) -> None:
    one = {"container": "b-1", "service": "api", "image": "sha256:a", "config_hash": "9a"}
    other = {"container": "a-1", "service": "redis", "image": "", "config_hash": ""}
    assert filters.identities([other, one]) == filters.identities([one, other]) == ["api sha256:a 9a", "redis  "]
