"""The steps of a rotation, each a verb of the helper that may be called again after a run that was cut short."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from . import consumers, heartbeats, rendering
from .arguments import outward_of, usage
from .engine_errors import no_volume
from .failure import ModuleFailure
from .helper import Helper, Outward
from .outcome import Outcome
from .readiness import Readiness

Step = Callable[[Helper, Mapping[str, Any], bool], Outcome]


def take(helper: Helper, parameters: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Take the step that the parameters name, and return the task's result.

    Args:
        helper: reaches the volume.
        parameters: a task's, as :data:`~.rotation_arguments.TOKEN_ROTATION` has them.
        check_mode: change nothing, here or at the provider.

    Raises:
        ModuleFailure: the helper's, or ``NotConverged`` and ``NotReady`` of the step ``watch``.
    """
    step = parameters["step"]
    if step not in _STEPS:
        raise usage(
            f"the step {step} did not pass through the action plugin token_rotation, which keeps its secret out of "
            "module arguments",
            "set action_plugins = plugins/action in ansible.cfg, or run the play from the folder that has it",
        )
    if helper.engine.volume(helper.volume) is None:
        raise no_volume(helper.volume)
    return _STEPS[step](helper, parameters, check_mode).as_result()


def staged(helper: Helper, document: bytes, expires_in: float | None, *, force: bool, check_mode: bool) -> Outcome:
    """Keep a document beside the current one until it is promoted."""
    options = ["--force"] if force else []
    if expires_in is not None:
        options.append(f"--expires-in={expires_in}")
    return _outcome(helper, helper.run("stage", *options, *_dry(check_mode), stdin=document))


def client_changed(helper: Helper, outward: Outward, client: bytes, *, force: bool, check_mode: bool) -> Outcome:
    """Give the document the new secret of its client, which one exchange proves good.

    Args:
        helper: reaches the volume.
        outward: the way to the provider.
        client: the client's JSON, as the provider's console offers it.
        force: do not wait for a back-off.
        check_mode: say whether the provider would be asked, and do not ask it.
    """
    options = [*(["--force"] if force else []), *_dry(check_mode)]
    return _outcome(helper, helper.run("reclient", *options, outward=outward, stdin=client))


def _check(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    if check_mode:
        return Outcome(False, "NotAsked", _header(helper))
    option = "--tokeninfo" if parameters["tokeninfo"] else "--url"
    return _outcome(helper, helper.run("check-staged", option, parameters["check_url"], outward=outward_of(parameters)))


def _promote(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    options = [f"--{name}" for name in ("force", "unchecked") if parameters[name]]
    return _outcome(helper, helper.run("promote", *options, *_dry(check_mode)))


def _retire(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    options = [*(["--force"] if parameters["force"] else []), *_dry(check_mode)]
    ending, outward = _ending(parameters)
    return _outcome(helper, helper.run("retire", *ending, *options, outward=outward))


def _unstage(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    ending, outward = _ending(parameters)
    return _outcome(helper, helper.run("unstage", *ending, *_dry(check_mode), outward=outward))


def _roll_back(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    grant = parameters["grant"]
    if check_mode:
        status = helper.run("status")
        there = status["grant"] == grant
        return Outcome(not there, "Unchanged" if there else "RolledBack", _header(helper), status["document"])
    reply = helper.run("rollback", "--grant", grant, outward=outward_of(parameters))
    return _outcome(helper, {"reason": "RolledBack" if reply["changed"] else "Unchanged", **reply})


def _restore_client(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    options = [*(["--force"] if parameters["force"] else []), *_dry(check_mode)]
    return _outcome(helper, helper.run("reclient", "--back", *options, outward=outward_of(parameters)))


def _revoke(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    url = parameters["revocation_url"]
    how = ["--local"] if parameters["local"] or not url else ["--url", url]
    outward = None if how == ["--local"] else outward_of(parameters)
    reply = helper.run("revoke", *how, *_dry(check_mode), outward=outward)
    said = {"reason": "Revoked" if reply["changed"] else "Unchanged", "after": None, **reply}
    more = {"at_provider": bool(reply["changed"] and reply["at_provider"])}
    return _outcome(helper, said, more)


def _watch(helper: Helper, parameters: Mapping[str, Any], check_mode: bool) -> Outcome:
    """See every consumer follow and the application stay ready; then note that in the rotation's record."""
    begun = time.monotonic()
    expectation = consumers.expectation_of(parameters)
    found = helper.engine.volume(helper.volume) or {}
    urls = parameters["heartbeat_urls"]
    with Readiness(parameters["ready_url"]) as readiness:

        def look() -> tuple[consumers.Report, list[str]]:
            asks = (lambda: heartbeats.fetch_all(urls)) if urls else None
            report = consumers.watch(helper, str(found.get("Mountpoint") or ""), expectation, asks)
            return report, _lagging(report, parameters["expect_containers"] or {})

        report, lagging = look()
        if not lagging and not readiness.wait(parameters["ready_seconds"] - (time.monotonic() - begun)):
            report, lagging = look()  # what was swapped may have ended one that has no page to ask
    if lagging:
        raise ModuleFailure(
            "RotationError",
            "NotConverged",
            f"not every consumer of volume {helper.volume} follows after {parameters['timeout']:g} s: "
            f"{'; '.join(lagging)}",
            "look at those containers (docker ps, docker logs)",
        )
    if readiness.obstacle:
        raise ModuleFailure("RotationError", "NotReady", readiness.obstacle, "look at docker logs of the application")
    if check_mode:
        return Outcome(False, "Watched", _header(helper), report.status["document"], report.status["document"])
    return _outcome(helper, helper.run("converged"))


def _lagging(report: consumers.Report, wanted: Mapping[str, Any]) -> list[str]:
    """Say who does not use the newest generation, and of which services too few containers run."""
    running = [consumer.service for consumer in report.consumers]
    missing = [
        f"{service}: {running.count(service)} of {number} containers run"
        for service, number in wanted.items()
        if running.count(service) < int(number)
    ]
    return missing + [
        f"{consumer.container}: {consumer.reason or 'uses another generation'}"
        for consumer in report.consumers
        if not consumer.converged
    ]


def _ending(parameters: Mapping[str, Any]) -> tuple[list[str], Outward | None]:
    """Return the options by which a grant is ended at the provider too, and the way there; neither where it is not."""
    if parameters["revocation"] == "off" or not parameters["revocation_url"]:
        return [], None
    return ["--revoke", parameters["revocation_url"], "--revocation", parameters["revocation"]], outward_of(parameters)


def _dry(check_mode: bool) -> list[str]:
    return ["--dry-run"] if check_mode else []


def _outcome(helper: Helper, reply: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> Outcome:
    return Outcome(
        reply["changed"],
        reply["reason"],
        _header(helper),
        reply["before"],
        reply["after"],
        reply["generation"],
        more={
            "staged": rendering.staged_part(reply.get("staged")),
            "rotation_record": rendering.rotation_part(reply.get("rotation_record")),
            **(more or {}),
        },
    )


def _header(helper: Helper) -> str:
    return f"{helper.file} in volume {helper.volume}"


_STEPS: Final[dict[str, Step]] = {
    "check": _check,
    "promote": _promote,
    "watch": _watch,
    "retire": _retire,
    "unstage": _unstage,
    "rollback": _roll_back,
    "restore_client": _restore_client,
    "revoke": _revoke,
}
