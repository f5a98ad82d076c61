"""The doctor's examination: everything that may be wrong with a token, its volume and those who use it, in one look.

It changes nothing, asks the provider nothing, and holds the lock for a moment only. What is inside the volume is judged
there, by the helper; what only the engine or the Docker host knows is judged here.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from . import consumers, heartbeats
from .accesses import Access, accesses_of, examine_accesses, examine_keepers, examine_other_mounts
from .aside import Aside
from .consumers import Report
from .container import Container
from .failure import ModuleFailure
from .finding import Finding, of_inside, worst_first
from .helper import Helper
from .lock_holder import Holder, holders_of
from .stack_health import examine_stack
from .volume_kind import examine_kind

_PAUSE: Final = 1.5
"""Seconds after which a consumer that is behind is looked at again: it may have been about to follow."""

_PAGE_TIMEOUT: Final = 5.0
_OWNER_REASONS: Final = frozenset({"WrongOwner", "LockOpen"})
_AT_STAKE: Final = ("VolumeUnusable", "LockHeld", "NoSpace", "NoInodes", "ExchangeOpen")
"""With any of them, a process may have a reply of the provider that could not be written yet, and that ends with it."""

_OPEN: Final = 0o044
"""Bits of a mode by which others may open a folder."""

_ENDING: Final = frozenset({"restart", "recreate"})


@dataclasses.dataclass(frozen=True)
class Examination:
    """What an examination has found.

    Attributes:
        findings: the worst first.
        accesses: the containers that have the volume.
        generation: of the document; ``None`` where that can't be told.
    """

    findings: tuple[Finding, ...]
    accesses: tuple[Access, ...] = ()
    generation: int | None = None


class Doctor:
    """Examines one token.

    Args:
        helper: reaches the volume.
        parameters: a task's, as :data:`~.doctor_arguments.TOKEN_DOCTOR` has them.
    """

    def __init__(self, helper: Helper, parameters: Mapping[str, Any]) -> None:
        self.helper = helper
        self.mode = str(parameters["mode"]).rjust(4, "0")
        self.project = str(parameters["project"] or "")
        self.compose_file = str(parameters["compose_file"] or "")
        self.timeout = float(parameters["timeout"])
        self._path = str(parameters["path"])
        self._expected: Sequence[Mapping[str, Any]] = parameters["expected"] or []
        self._urls: Sequence[str] = parameters["heartbeat_urls"]
        processes = {str(one["service"]): int(one.get("processes") or 0) for one in self._expected}
        self._expectation = consumers.expectation_of(
            {
                "heartbeat_urls": self._urls,
                "expect_processes": {service: number for service, number in processes.items() if number},
                "expect_generation": None,
                "path": self._path,
                "timeout": 0.0,
            }
        )

    @property
    def has_compose(self) -> bool:
        """Whether there is a Compose file to make containers by."""
        return bool(self.project and self.compose_file) and os.path.isfile(self.compose_file)

    def examine(self) -> Examination:
        """Look at everything.

        Raises:
            ModuleFailure: the engine can't be asked, or the helper's image is not there.
        """
        engine, volume = self.helper.engine, self.helper.volume
        found = engine.volume(volume)
        if found is None:
            containers = [Container(told) for told in engine.containers()]
            return Examination(tuple(worst_first([_no_volume(volume), *self._stack(containers)])))
        looking = Aside(self.helper.examine)
        containers = [Container(told) for told in engine.containers()]
        mountpoint = str(found.get("Mountpoint") or "")
        report = self._report(mountpoint)
        inside, trouble = self._inside(looking)
        accesses = accesses_of(
            containers, report, volume=volume, mountpoint=mountpoint, path=self._path, file=self.helper.file
        )
        holders = holders_of(str(inside.get("lock") or ""), containers)
        findings = [
            *examine_kind(found),
            *trouble,
            *self._judged_inside(inside, accesses, holders),
            *self._stack(containers),
            *self._mounts(containers, accesses),
            *examine_accesses(self.helper, accesses, report, holders),
            *examine_keepers(accesses, self.project),
        ]
        generation = int(report.status["generation"]) if report is not None else None
        return Examination(tuple(worst_first(_spared(findings))), tuple(accesses), generation)

    def _report(self, mountpoint: str) -> Report | None:
        """Return what is proven of the consumers; ``None`` where the volume can't be looked into."""
        asking = partial(heartbeats.fetch_all, self._urls, _PAGE_TIMEOUT) if self._urls else None
        try:
            report = consumers.watch(self.helper, mountpoint, self._expectation, asking)
            if any(not (consumer.converged or consumer.final) for consumer in report.consumers):
                time.sleep(_PAUSE)
                report = consumers.watch(self.helper, mountpoint, self._expectation, asking)
        except ModuleFailure as failure:
            if failure.kind in {"EngineError", "ImageError"} and failure.reason != "EngineRefused":
                raise
            return None
        return report

    def _inside(self, looking: Aside[dict[str, Any]]) -> tuple[dict[str, Any], list[Finding]]:
        try:
            return looking.answer(), []
        except ModuleFailure as failure:
            if failure.kind in {"EngineError", "ImageError"} and failure.reason != "EngineRefused":
                raise
            return {}, [Finding("Volume", "error", "VolumeUnusable", failure.message, failure.remedy)]

    def _judged_inside(
        self, inside: Mapping[str, Any], accesses: Sequence[Access], holders: Sequence[Holder]
    ) -> Iterator[Finding]:
        for told in inside.get("findings") or []:
            finding = of_inside(told)
            if finding.level == "ok":
                yield finding
            elif finding.reason in _OWNER_REASONS:
                yield self._with_owner(finding, accesses)
            elif finding.reason == "LockHeld":
                yield _with_holders(finding, holders)
            elif finding.reason == "AccessTokenOver":
                yield _with_keepers(finding, accesses)
            else:
                yield finding

    def _with_owner(self, finding: Finding, accesses: Sequence[Access]) -> Finding:
        """Have the volume given to its owner, unless containers that run as somebody else would lose it."""
        if finding.reason == "LockOpen" and int(self.mode, 8) & _OPEN:
            return dataclasses.replace(finding, remedy=f"token_volume_mode is {self.mode}: 0700 keeps all others out")
        uid, gid = self.helper.uid, self.helper.gid
        others = [access.container.name for access in accesses if not access.container.is_user(uid)]
        if others:
            names = ", ".join(others)
            return dataclasses.replace(
                finding,
                remedy=f"{names} run as another user: decide for one (token_volume_uid), then site.yml",
                mend="",
                work=(),
            )
        mend = (
            f"the volume and what is in it is given to {uid}:{gid}, mode {self.mode}, by a helper with CAP_CHOWN alone"
        )
        if finding.mend:  # from inside, which is less
            return finding
        return dataclasses.replace(finding, mend=mend, work=("owner",))

    def _stack(self, containers: Sequence[Container]) -> Iterator[Finding]:
        if self.project:
            yield from examine_stack(containers, self._expected, project=self.project, compose=self.has_compose)

    def _mounts(self, containers: Sequence[Container], accesses: Sequence[Access]) -> Iterator[Finding]:
        if self.project:
            yield from examine_other_mounts(
                containers,
                accesses,
                [str(one["service"]) for one in self._expected],
                project=self.project,
                path=self._path,
                file=self.helper.file,
                engine=self.helper.engine if self.has_compose else None,
            )


def _no_volume(name: str) -> Finding:
    return Finding(
        "Volume",
        "error",
        "VolumeMissing",
        f"there is no Docker volume named {name}",
        "ansible-playbook site.yml makes it and obtains a token; or correct the name (token_volume_name)",
        where=name,
    )


def _spared(findings: Sequence[Finding]) -> list[Finding]:
    """Leave running containers to a person while what a process alone may have would end with it."""
    reasons = {finding.reason for finding in findings}
    cause = next((reason for reason in _AT_STAKE if reason in reasons), None)
    if cause is None:
        return list(findings)
    why = f"first see to {cause}: a process in it may have a reply of the provider that nobody else has; then "
    return [
        dataclasses.replace(one, remedy=why + one.remedy, mend="", work=()) if set(one.work[:1]) & _ENDING else one
        for one in findings
    ]


def _with_holders(finding: Finding, holders: Sequence[Holder]) -> Finding:
    """Name who keeps the lock; one that is paused can go on."""
    if not holders:
        return finding
    message = f"the lock of the volume is kept from everybody by {', '.join(map(str, holders))}"
    paused = [one.container.name for one in holders if one.container is not None and one.container.state == "paused"]
    if paused:
        name = paused[0]
        mend = f"{name} goes on"
        return dataclasses.replace(
            finding, message=message, remedy=f"docker unpause {name}", mend=mend, work=("unpause", name)
        )
    names = [one.container.name for one in holders if one.container is not None]
    look = f"docker top {names[0]}; docker restart {names[0]} ends it" if names else f"kill {holders[0].pid} ends it"
    remedy = (
        f"{look}: an answer of the provider that this process alone may have would be lost, so that is a person's to do"
    )
    return dataclasses.replace(finding, message=message, remedy=remedy)


def _with_keepers(finding: Finding, accesses: Sequence[Access]) -> Finding:
    keepers = [access.container for access in accesses if access.container.is_keeper]
    running = [one for one in keepers if one.state == "running" and not one.ends_again_and_again]
    well = [one.name for one in running if one.health in {"", "healthy"}]
    if well:
        return dataclasses.replace(finding, message=f"{finding.message}, although the keeper {well[0]} runs")
    why = f"the keeper {keepers[0].name} is {keepers[0].state}" if keepers else "no keeper runs on this volume"
    return dataclasses.replace(finding, message=f"{finding.message}: {why}")
