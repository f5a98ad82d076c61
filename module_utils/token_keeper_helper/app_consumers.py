"""Which services of an application get the token, and where: found in its own configuration, or said by the operator.

Pure functions over what ``docker compose config`` tells. What they return holds names, paths and numbers, and no value
of the environment except a path of the token.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

DIRECTORY: Final = "/app/tokens"
"""Where the token is looked for if the application doesn't say."""

_SYSTEM: Final = re.compile(
    r"/(bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)?|/usr/.*"
)
"""Folders that images have files in."""

Service = Mapping[str, Any]


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


def choose(services: Mapping[str, Service], named: Sequence[str], path: str, file: str) -> Choice:
    """Choose the services that get the token.

    Args:
        services: the application's, as Compose resolves them.
        named: those that the operator has named; empty finds them.
        path: the document's path in their containers; empty finds it.
        file: the document's name where the path is to be found.
    """
    place, problem = _place(services, path, file)
    unknown = [name for name in named if name not in services]
    found = named or [name for name, service in services.items() if _uses(service, place)]
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
        )
    return Choice(place, tuple(name for name in found if name in services), tuple(problems))


def obstacle(name: str, service: Service, working_dir: str, place: Place) -> str:
    """Say why no volume can be mounted where a service has its token; empty if one can.

    A volume hides what the image has in that folder, and a file can't be mounted alone: when it is replaced, the
    container keeps the old one. A folder that the application mounts something at already is its own choice.
    """
    hidden = _SYSTEM.fullmatch(place.directory) is not None or place.directory == posixpath.normpath(working_dir or "/")
    if not hidden or place.directory in targets(service):
        return ""
    return (
        f"{name} reads {place.path}, and {place.directory} is a folder with files of its image, which a volume would "
        "hide; the file alone can't be mounted, because a container keeps the old one when it is replaced. Where the "
        "app takes the path from its environment, name another one to it and to the kit: app_stack_environment: "
        f"{{ITS_VARIABLE: {DIRECTORY}/{place.file}}} and app_stack_token_path: {DIRECTORY}/{place.file}. Where it does "
        "not, see docs/your-app.md"
    )


def targets(service: Service) -> list[str]:
    """Return where a service mounts volumes, folders, files and memory."""
    mounts = [posixpath.normpath(str(mount["target"])) for mount in service.get("volumes") or []]
    return mounts + [posixpath.normpath(str(entry).partition(":")[0]) for entry in _list(service.get("tmpfs"))]


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
