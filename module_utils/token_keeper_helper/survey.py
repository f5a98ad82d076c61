"""Everything that a run has to know of a token, of those who use it and of what they stand on, in one look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from . import consumers, counter, heartbeats, readiness, rendering
from .aside import Aside
from .helper import Helper

_COMPOSE: Final = "com.docker.compose."
_TOLD: Final = ("service", "image", "config_hash")
_HEARTBEATS_TIMEOUT: Final = 5.0
"""Seconds for a page that is asked once; who is waited for is asked again and again, and more briefly."""


def survey(helper: Helper, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the volume, and at all else that the parameters name.

    The pages are asked while the helper looks into the volume. None of them makes it fail: what one doesn't tell, and
    why, is a part of the answer.

    Args:
        helper: reaches the volume.
        parameters: a task's, as :data:`~.arguments.TOKEN_VOLUME_INFO` has them.

    Returns:
        The result of the module ``token_volume_info``.

    Raises:
        ModuleFailure: the engine or the volume could not be asked.
    """
    expectation = consumers.expectation_of(parameters)
    engine = Aside(helper.engine.version) if parameters["engine"] else None
    pages = _Pages(parameters)
    found = helper.engine.volume(helper.volume)
    result: dict[str, Any] = {"changed": False, "volume_exists": found is not None, "status": None}
    if parameters["consumers"]:
        result.update({"consumers": [], "lagging": [], "silent": []})
    containers: Sequence[Mapping[str, Any]] | None = None
    if found is not None and parameters["consumers"]:
        urls, waits = parameters["heartbeat_urls"], expectation.generation is not None
        patience = heartbeats.TIMEOUT if waits else _HEARTBEATS_TIMEOUT
        report = consumers.watch(
            helper,
            str(found.get("Mountpoint") or ""),
            expectation,
            (lambda: heartbeats.fetch_all(urls, patience)) if urls else None,
        )
        containers = report.running
        result.update(
            status=rendering.status_part(report.status),
            consumers=[consumer.as_dict() for consumer in report.consumers],
            lagging=report.lagging,
            silent=[{"url": url, "why": why} for url, why in report.silent.items()],
        )
    elif found is not None:
        result["status"] = rendering.status_part(helper.run("status"))
    if parameters["project"]:
        running = helper.engine.running() if containers is None else containers
        result["project_containers"] = project_containers(running, parameters["project"])
    if engine is not None:
        result["engine"] = engine.answer()
    return {**result, **pages.answers()}


def project_containers(running: Sequence[Mapping[str, Any]], project: str) -> list[dict[str, str]]:
    """Return which service, of which image and which configuration, each container of a Compose project runs."""
    found = []
    for container in running:
        labels = container["Config"].get("Labels") or {}
        if labels.get(f"{_COMPOSE}project") == project:
            told = {name: str(labels.get(_COMPOSE + name.replace("_", "-"), "")) for name in _TOLD}
            found.append({"container": str(container["Name"]).lstrip("/"), **told})
    return sorted(found, key=lambda one: one["container"])


class _Pages:
    """What is asked beside the volume: at once, or where consumers are waited for, when they have followed."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._waits = parameters["expect_generation"] is not None
        self._questions: dict[str, Callable[[], dict[str, Any]]] = {}
        if parameters["ready_url"]:
            self._questions["ready"] = partial(readiness.look, parameters["ready_url"])
        if parameters["counter_url"]:
            self._questions["counter"] = partial(counter.look, parameters["counter_url"])
        self._asked = {} if self._waits else self._ask()

    def answers(self) -> dict[str, Any]:
        """Return what each page told."""
        asked = self._ask() if self._waits else self._asked
        return {name: aside.answer() for name, aside in asked.items()}

    def _ask(self) -> dict[str, Aside[dict[str, Any]]]:
        return {name: Aside(question) for name, question in self._questions.items()}
