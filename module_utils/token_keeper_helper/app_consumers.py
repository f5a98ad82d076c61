"""Which services of an application get the token, and where: found in its own configuration, or said by the operator.

Pure functions over what ``docker compose config`` tells. What they return holds names, paths and numbers, and no value
of the environment except a path of the token.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

DIRECTORY: Final = "/app/tokens"
"""Where the token is looked for if the application doesn't say."""

_ELSEWHERE: Final = "/app/token"
"""Where it may go where something else is in that folder."""

_SYSTEM: Final = re.compile(
    r"/(bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)?|/usr/.*"
)
"""Folders that images have files in."""

_TOLD: Final = 5
"""How many names of files a message has."""

Service = Mapping[str, Any]
Look = Callable[[str], "Sequence[str] | None"]  # in quotes for Python 3.9 on the host
"""Tells the names in a folder of the host; ``None`` where there is no such folder, or it may not be looked into."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the token document is in the application's containers."""

    directory: str
    file: str

    @property
    def path(self) -> str:
        """The document's full path."""
        return posixpath.join(self.directory, self.file)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Who gets the token, where, and what is wrong with that, a sentence each."""

    place: Place
    consumers: tuple[str, ...]
    problems: tuple[str, ...] = ()


def choose(
    services: Mapping[str, Service], named: Sequence[str], path: str, file: str, variables: Sequence[str] = ()
) -> Choice:
    """Choose the services that get the token.

    Args:
        services: the application's, as Compose resolves them.
        named: those that the operator has named; empty finds them.
        path: the document's path in their containers; empty finds it.
        file: the document's name where the path is to be found.
        variables: those that the operator sets to the document's path; who has one of them reads it there.
    """
    place, problem = _place(services, path, file)
    unknown = [name for name in named if name not in services]
    found = named or [
        name
        for name, service in services.items()
        if _uses(service, place) or set(variables) & set(_environment(service))
    ]
    problems = [problem] if problem else []
    if unknown:
        problems.append(
            f"app_stack_consumers names {', '.join(unknown)}; the services are {', '.join(sorted(services))}"
            + ", besides those of profiles that are off (app_stack_compose_profiles)"
        )
    elif not found and not problem:
        problems.append(
            f"no service mounts {place.directory} or has a variable with {place.path}: name those that get it in "
            f"app_stack_consumers ({', '.join(sorted(services))}), and its path in app_stack_token_path"
            if services
            else "the project has no service, or only some of profiles that are off: name these in "
            "app_stack_compose_profiles"
        )
    return Choice(place, tuple(name for name in found if name in services), tuple(problems))


def obstacle(name: str, service: Service, working_dir: str, place: Place) -> str:
    """Say why no volume can be mounted where a service has its token; empty if one can.

    A volume hides what the image has in that folder, and a file can't be mounted alone: when it is replaced, the
    container keeps the old one. A folder that the application mounts something at already is its own choice.
    """
    if not holds_code(working_dir, place) or place.directory in targets(service):
        return ""
    return (
        f"{name} reads {place.path}, and {place.directory} is a folder with files of its image, which a volume would "
        "hide; the file alone can't be mounted, because a container keeps the old one when it is replaced. "
        + _way_out(service, place)
    )


def holds_code(working_dir: str, place: Place) -> bool:
    """Tell whether the token's folder is one that an image has files in, or the one that the service starts in."""
    return _SYSTEM.fullmatch(place.directory) is not None or place.directory == posixpath.normpath(working_dir or "/")


def hidden(name: str, service: Service, place: Place, look: Look) -> str:
    """Say what else a service has in the folder of its token, which it would not see any more; empty if nothing.

    The volume takes the place of what is mounted there, a folder of the host or a volume, whole.

    Args:
        name: the service's.
        service: as Compose resolves it.
        place: where the token is.
        look: tells what is in a folder of the host; nothing where it can't be told.
    """
    mount = next((one for one in _mounts(service) if _target(one) == place.directory), None)
    if mount is None or mount.get("type") not in ("bind", "volume"):
        return ""
    bound = mount["type"] == "bind"
    more = sorted(one for one in (look(str(mount["source"])) or () if bound else ()) if not _own(one, place.file))
    names = [f"{', '.join(more[:_TOLD])}{', ...' if len(more) > _TOLD else ''} in {mount['source']}"] if more else []
    beneath = re.compile(rf"(?:^|[^\w.-]){re.escape(place.directory)}/([^/\s:;,?&'\"]+)")
    for variable, value in sorted(_environment(service).items()):
        if any(not _own(match[1], place.file) for match in beneath.finditer(value)):
            names.append(f"what its variable {variable} names")
    if not names:
        return ""
    return (
        f"{name} has more in {place.directory} than the token ({'; '.join(names)}), which it would not see any more: a "
        "volume takes the place of the whole folder. " + _way_out(service, place)
    )


def unmountable(name: str, service: Service, place: Place, look: Look) -> str:
    """Say why nothing can be mounted at a folder inside one that a service mounts read-only; empty if it can."""
    above = [one for one in _mounts(service) if place.directory.startswith(_target(one).rstrip("/") + "/")]
    mount = max(above, key=lambda one: len(_target(one)), default=None)
    if mount is None or mount.get("type") != "bind" or not mount.get("read_only"):
        return ""
    if place.directory in targets(service):
        return ""
    folder = posixpath.join(str(mount["source"]), posixpath.relpath(place.directory, _target(mount)))
    if look(folder) is not None or look(str(mount["source"])) is None:
        return ""
    return (
        f"{name} mounts {_target(mount)} read-only, and the engine can't make {place.directory} in there to mount the "
        f"token at: make the folder {folder} on the Docker host. {_way_out(service, place)}"
    )


def left_behind(services: Mapping[str, Service], choice: Choice) -> list[str]:
    """Say which services have the old token's file or folder of the host and would go on with it, a sentence each."""
    place = choice.place
    old = {
        str(one["source"])
        for name in choice.consumers
        for one in _mounts(services[name])
        if one.get("type") == "bind"
        and (_target(one) == place.directory or posixpath.basename(_target(one)) == place.file)
    }
    return [
        f"{name} has {one['source']} at {_target(one)} and goes on with what is there, which is not the token of the "
        f"volume: if it uses it, name {name} in app_stack_consumers, and tell it {place.path}"
        for name, service in services.items()
        if name not in choice.consumers
        for one in _mounts(service)
        if one.get("type") == "bind" and str(one["source"]) in old
    ]


def jobs(services: Mapping[str, Service]) -> list[str]:
    """Return the services that do a thing and end, such as a migration: for what is done need not be done again.

    They are those whose end others wait for, and those that are never started again and that nobody needs to run. A
    service that says nothing of it may have been stopped by hand.
    """
    needed: dict[str, set[str]] = {}
    for service in services.values():
        for name, how in _dependencies(service).items():
            needed.setdefault(name, set()).add(how)
    ends = {"service_completed_successfully"}
    return sorted(
        name
        for name, service in services.items()
        if needed.get(name) == ends or (name not in needed and _never_again(service))
    )


def published(service: Service) -> list[dict[str, str]]:
    """Return the host's addresses and TCP ports, or ranges of them, that a service publishes."""
    ports = [port for port in service.get("ports") or [] if isinstance(port, Mapping)]
    return [
        {"address": str(port.get("host_ip") or ""), "port": str(port["published"])}
        for port in ports
        if port.get("published") and port.get("protocol", "tcp") == "tcp"
    ]


def targets(service: Service) -> list[str]:
    """Return where a service mounts volumes, folders, files and memory."""
    return [_target(mount) for mount in _mounts(service)] + [
        posixpath.normpath(str(entry).partition(":")[0]) for entry in _list(service.get("tmpfs"))
    ]


def token_variables(service: Service, place: Place) -> list[str]:
    """Return the names of the variables by which a service is told where its token is."""
    return sorted(name for name, value in _environment(service).items() if _normal(value) == place.path)


def containers(service: Service) -> int:
    """Return how many containers a service has."""
    replicas = (service.get("deploy") or {}).get("replicas")
    scale = service.get("scale")
    return int(scale if scale is not None else replicas if replicas is not None else 1)


def _place(services: Mapping[str, Service], path: str, file: str) -> tuple[Place, str]:
    """Return where the token is, and what is wrong with that."""
    if path:
        directory, name = posixpath.split(posixpath.normpath(path))
        wrong = "" if path.startswith("/") and name else f"app_stack_token_path {path} is not the full path of a file"
        return Place(directory, name), wrong
    found: set[str] = set()
    for service in services.values():
        values = [_normal(value) for value in _environment(service).values()]
        bound = [target for target in targets(service) if target.endswith(f"/{file}")]
        found |= {posixpath.dirname(value) for value in [*values, *bound] if posixpath.basename(value) == file}
    if len(found) > 1:
        paths = ", ".join(sorted(posixpath.join(directory, file) for directory in found))
        return Place(DIRECTORY, file), f"the services have several tokens ({paths}): name one in app_stack_token_path"
    return Place(found.pop() if found else DIRECTORY, file), ""


def _dependencies(service: Service) -> dict[str, str]:
    """Return the services that one waits for, and until when; a list of them Compose tells as a mapping."""
    given = service.get("depends_on") or {}
    return {str(name): str((how or {}).get("condition") or "service_started") for name, how in given.items()}


def _never_again(service: Service) -> bool:
    policy = (service.get("deploy") or {}).get("restart_policy") or {}
    return service.get("restart") == "no" or policy.get("condition") == "none"


def _way_out(service: Service, place: Place) -> str:
    """Say how an application that takes the token's path from its environment gets it elsewhere."""
    path = posixpath.join(DIRECTORY if place.directory != DIRECTORY else _ELSEWHERE, place.file)
    variable = next(iter(token_variables(service, place)), "ITS_VARIABLE")
    return (
        "Where the app takes the path from its environment, name another one to it and to the kit: "
        f"app_stack_environment: {{{variable}: {path}}} and app_stack_token_path: {path}. Where it does not, see "
        "docs/your-app.md"
    )


def _own(name: str, file: str) -> bool:
    """Tell whether a name in the token's folder is the token's, such as token.lock, or nothing that one would miss."""
    return name == "" or name.startswith((".", file, posixpath.splitext(file)[0] + "."))


def _mounts(service: Service) -> Sequence[Mapping[str, Any]]:
    return service.get("volumes") or []


def _target(mount: Mapping[str, Any]) -> str:
    return posixpath.normpath(str(mount["target"]))


def _uses(service: Service, place: Place) -> bool:
    return bool({place.directory, place.path} & set(targets(service)) or token_variables(service, place))


def _environment(service: Service) -> Mapping[str, str]:
    given = service.get("environment") or {}
    pairs = (entry.partition("=")[::2] for entry in given) if isinstance(given, list) else given.items()
    return {str(name): str(value) for name, value in pairs if value is not None}


def _normal(value: str) -> str:
    return posixpath.normpath(value) if value.startswith("/") and "\n" not in value else ""


def _list(given: Any) -> list[str]:
    return [str(entry) for entry in ([given] if isinstance(given, str) else given or [])]
