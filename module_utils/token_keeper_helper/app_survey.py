"""An application that somebody else has written: its services, who runs them, and where they have their token."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from . import app_consumers, compose_config, image_user
from .engine import Engine

APP_SERVICES_INFO: Final[dict[str, dict[str, Any]]] = {
    "project_src": {"type": "path"},
    "definition": {"type": "dict"},
    "project_name": {"type": "str", "default": ""},
    "files": {"type": "list", "elements": "str", "default": []},
    "profiles": {"type": "list", "elements": "str", "default": []},
    "env_files": {"type": "list", "elements": "str", "default": []},
    "override": {"type": "path", "default": ""},
    "consumers": {"type": "list", "elements": "str", "default": []},
    "others": {"type": "list", "elements": "str", "default": []},
    "token_path": {"type": "str", "default": ""},
    "file": {"type": "str", "default": "token.json"},
    "variables": {"type": "list", "elements": "str", "default": []},
    "users": {"type": "dict", "default": {}},
    "uid": {"type": "int"},
    "gid": {"type": "int"},
    "docker_cli": {"type": "str", "default": "docker"},
}


def survey(engine: Engine, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the application, and return what putting a token into it takes; never its environment.

    Args:
        engine: where it runs.
        parameters: a task's, as :data:`APP_SERVICES_INFO` has them.

    Raises:
        ModuleFailure: there is no project, or Compose or the engine could not be asked.
    """
    project = _project(parameters)
    config = compose_config.read(engine, project)
    services: dict[str, dict[str, Any]] = config["services"]
    choice = app_consumers.choose(
        services, parameters["consumers"], parameters["token_path"], parameters["file"], parameters["variables"]
    )
    named = [name for name in parameters["others"] if name not in choice.consumers]
    # services often share an image
    inspect = functools.cache(functools.partial(image_user.inspect, engine))
    resolve = functools.cache(functools.partial(image_user.resolve, engine))
    told, missing = {}, []
    for name in [*choice.consumers, *(name for name in named if name in services)]:
        # Compose gives what it builds without a name this one
        image = str(services[name].get("image") or f"{config.get('name') or project.name}-{name}")
        user = str(parameters["users"].get(name) or services[name].get("user") or "")
        told[name] = {
            **_running(inspect, resolve, image, user, str(services[name].get("working_dir") or "")),
            **_configured(services[name]),
        }
        if told[name]["uid"] is None:
            missing.append(name)
    in_the_way, warnings = _obstacles(services, told, choice, named=bool(parameters["token_path"]))
    problems = [
        *choice.problems,
        *(f"there is no service {name}, which app_stack_secrets names" for name in named if name not in services),
        *in_the_way,
    ]
    uid, gid, wrong = _owner({name: told[name] for name in choice.consumers}, parameters["uid"], parameters["gid"])
    return {
        "project": str(config.get("name") or project.name),
        "folder": project.folder,
        "real_folder": os.path.realpath(project.folder),
        "files": list(project.files),
        "all_services": sorted(services),
        "jobs": [name for name in app_consumers.jobs(services) if name not in choice.consumers],
        "published": {name: ports for name in sorted(services) if (ports := app_consumers.published(services[name]))},
        "services": told,
        "consumers": list(choice.consumers),
        "directory": choice.place.directory,
        "file": choice.place.file,
        "uid": uid,
        "gid": gid,
        "missing": missing,
        "problems": [*problems, *wrong],
        "warnings": warnings,
    }


def _obstacles(
    services: Mapping[str, Mapping[str, Any]],
    told: Mapping[str, Mapping[str, Any]],
    choice: app_consumers.Choice,
    *,
    named: bool,
) -> tuple[list[str], list[str]]:
    """Return why the token can't be where the application has it, and what the operator should know of that.

    What else is in that folder is hidden only where the operator has named it: then it is a warning.
    """
    problems, warnings = [], app_consumers.left_behind(services, choice)
    for name in choice.consumers:
        service, working_dir = services[name], told[name]["working_dir"]
        problems.append(app_consumers.obstacle(name, service, working_dir, choice.place))
        problems.append(app_consumers.unmountable(name, service, choice.place, _names_in))
        hides = app_consumers.hidden(name, service, choice.place, _names_in)
        if hides and app_consumers.holds_code(working_dir, choice.place):
            problems.append(hides)
        elif hides and named:
            warnings.append(hides)
        elif hides:
            problems.append(f"{hides}. Where it can do without, app_stack_token_path: {choice.place.path} says so")
    return [one for one in problems if one], warnings


def _names_in(folder: str) -> Sequence[str] | None:
    """Return what is in a folder of this host, or ``None`` where that can't be told."""
    try:
        return os.listdir(folder)
    except OSError:
        return None


def _project(parameters: Mapping[str, Any]) -> compose_config.Project:
    common = {name: parameters[name] for name in ("profiles", "env_files")}
    name = parameters["project_name"]
    if parameters["definition"] is not None:
        folder = os.path.dirname(parameters["override"]) or "/"
        return compose_config.Project(folder, name=name, definition=parameters["definition"], **common)
    # as Compose notes it on the containers
    folder = os.path.normpath(parameters["project_src"])
    return compose_config.project_in(folder, parameters["files"], without=parameters["override"], name=name, **common)


def _running(
    inspect: Callable[[str], image_user.Image | None],
    resolve: Callable[[str, str], tuple[int, int]],
    reference: str,
    user: str,
    working_dir: str,
) -> dict[str, Any]:
    """Return what is known of who runs a service, by the service itself or by its image."""
    image = inspect(reference)
    if image is None:
        known = image_user.numbers(user) if user else None
    else:
        user, working_dir = user or image.user, working_dir or image.working_dir
        known = resolve(reference, user)
    uid, gid = known or (None, None)
    return {"image": reference, "user": user, "uid": uid, "gid": gid, "working_dir": working_dir}


def _configured(service: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "containers": app_consumers.containers(service),
        "volumes": list(service.get("volumes") or []),
        "tmpfs": [service["tmpfs"]] if isinstance(service.get("tmpfs"), str) else list(service.get("tmpfs") or []),
        "networks": sorted(service.get("networks") or {}),
        "network_mode": str(service.get("network_mode") or ""),
        "secrets": bool(service.get("secrets")),
        "builds": bool(service.get("build")),
    }


def _owner(
    consumers: Mapping[str, Mapping[str, Any]], uid: int | None, gid: int | None
) -> tuple[int | None, int | None, Sequence[str]]:
    """Return who owns the token, and what is wrong with that: every file of the volume is its owner's alone."""
    owners = {(one["uid"], one["gid"]) for one in consumers.values() if one["uid"] is not None}
    if uid is not None:
        # who starts as root may go on as anybody
        others = sorted(name for name, one in consumers.items() if one["uid"] not in (None, 0, uid))
        if others:
            return (
                uid,
                gid,
                [
                    f"token_volume_uid is {uid}, and {_users(consumers, others)}: leave it out, so that it is found; "
                    f"where they differ, {_WAY_OUT}"
                ],
            )
        return uid, gid if gid is not None else next((g for u, g in owners if u == uid), uid), []
    if len({owner for owner, _ in owners}) > 1:
        return None, None, [f"one token can't be shared: {_users(consumers, sorted(consumers))}; {_WAY_OUT}"]
    if not owners:
        return None, None, []
    found, group = min(owners)
    return found, gid if gid is not None else group, []


_WAY_OUT: Final = (
    "every file of the token volume is its owner's alone (0600), so a group is no way. Run them as one user with "
    'app_stack_users (such as {web: "1000:1000"}), which puts user: into the override; or give each a token of its '
    "own; or name in app_stack_consumers only those that run as one"
)


def _users(consumers: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    return ", ".join(f"{name} runs as {consumers[name]['uid']}:{consumers[name]['gid']}" for name in names)
