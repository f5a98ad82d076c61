"""Whether the application's containers are there, run and are well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .container import Container
from .finding import Finding

_DOWN = frozenset({"exited", "created", "dead"})


def examine_stack(
    containers: Sequence[Container], expected: Sequence[Mapping[str, Any]], *, project: str, compose: bool
) -> Iterator[Finding]:
    """Judge the containers of a Compose project.

    Args:
        containers: all that the engine has.
        expected: services that must be there, each with the number of its ``containers``.
        project: the project's name.
        compose: whether there is a Compose file to make them by.
    """
    mine = [container for container in containers if container.project == project and not container.is_task]
    names = {str(wanted["service"]) for wanted in expected}
    # a job that ran once, such as the migration of a database, must not be run again
    done = [container for container in mine if container.is_done and container.service not in names]
    judged = [finding for container in mine if container not in done and (finding := _judged(container)) is not None]
    yield from judged
    for wanted in expected:
        service, number = str(wanted["service"]), int(wanted.get("containers") or 1)
        there = sum(container.service == service for container in mine)
        if there < number:
            yield Finding(
                "Containers",
                "error",
                "ContainerMissing",
                f"of the service {service} there are {there} of {number} containers",
                "ansible-playbook site.yml makes them again",
                f"the service {service} is brought up from its Compose file" if compose else "",
                service,
                ("up", service) if compose else (),
            )
    if mine and not judged:
        yield Finding("Containers", "ok", "", f"{len(mine) - len(done)} containers of {project} run and are well")


def _judged(container: Container) -> Finding | None:
    name, state, keeper = container.name, container.state, _keeper(container)
    logs = f"docker logs --tail 50 {name}"
    if state in _DOWN:
        why = f"{name} does not run ({state}, {container.ending}){keeper}"
        return _finding("ContainerDown", why, f"docker start {name}; {logs}", f"{name} is started", ("start", name))
    if state == "paused":
        why = f"{name} is paused: it holds whatever it holds, the lock too, and renews nothing"
        return _finding("ContainerPaused", why, f"docker unpause {name}", f"{name} goes on", ("unpause", name))
    if container.ends_again_and_again:
        why = f"{name} ends again and again ({container.ending}){keeper}"
        return Finding("Containers", "error", "ContainerRestarting", why, f"{logs} says why; then site.yml", where=name)
    if container.health == "unhealthy":
        said = f": {container.last_check}" if container.last_check else ""
        why = f"{name} is unhealthy{said}{keeper}"
        return _finding(
            "ContainerUnhealthy", why, f"{logs}; docker restart {name}", f"{name} is restarted", ("restart", name)
        )
    if container.health == "starting":
        why = f"{name} is starting: whether it is well is not known yet"
        return Finding("Containers", "info", "ContainerStarting", why, "look again in a minute", where=name)
    return None


def _finding(reason: str, why: str, remedy: str, mend: str, work: tuple[str, str]) -> Finding:
    return Finding("Containers", "error", reason, why, remedy, mend, work[1], work)


def _keeper(container: Container) -> str:
    return ", and so nobody renews the token ahead of the consumers" if container.is_keeper else ""
