"""The task ``token_migration``: its options, and what comes of it as a task's result."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import rendering
from .arguments import helper_of, usage
from .compose_config import Project
from .host_file import HostFile
from .migration import Migration
from .process import Runner
from .replacing import Step

TOKEN_MIGRATION: Final[dict[str, dict[str, Any]]] = {
    "to": {"type": "str", "choices": ["volume", "file"], "required": True},
    "source": {"type": "str", "required": True},
    "project_src": {"type": "path", "required": True},
    "project_name": {"type": "str", "required": True},
    "files": {"type": "list", "elements": "str", "required": True},
    "override": {"type": "path", "required": True},
    "profiles": {"type": "list", "elements": "str", "default": []},
    "env_files": {"type": "list", "elements": "str", "default": []},
    "services": {"type": "list", "elements": "str", "required": True},
    "directory": {"type": "str", "required": True},
    "keepers": {"type": "list", "elements": "str", "default": []},
    "how": {"type": "dict", "default": {}},
    "pull": {"type": "str", "choices": ["always", "missing", "never", "policy"], "default": "policy"},
    "timeout": {"type": "float", "default": 120.0},
    "settle": {"type": "float", "default": 5.0},
    "life": {"type": "float", "default": 900.0},
    "wait": {"type": "float", "default": 0.0},
    "volume": {"type": "str", "required": True},
    "file": {"type": "str", "default": "token.json"},
    "image": {"type": "str", "required": True},
    "uid": {"type": "int", "default": 999},
    "gid": {"type": "int", "default": 999},
    "docker_cli": {"type": "str", "default": "docker"},
    "docker_host": {"type": "str"},
}
_HOWS: Final = ("start_first", "stop_first")


def migrated(parameters: Mapping[str, Any], run: Runner, *, check_mode: bool) -> dict[str, Any]:
    """Do the task, and return its result.

    Args:
        parameters: a task's, as :data:`TOKEN_MIGRATION` has them.
        run: runs commands on the Docker host.
        check_mode: say what would happen and change nothing.

    Raises:
        ModuleFailure: an option makes no sense, or see :meth:`.migration.Migration.run`.
    """
    migration = _migration(parameters, run)
    plan, way, foreseen = migration.foresee()
    strangers = migration.strangers()
    if not check_mode:
        way = migration.run()
    changed = bool(plan or migration.given or migration.taken) or (check_mode and bool(foreseen["changed"]))
    return {
        "changed": changed,
        "plan": [str(step) for step in plan],
        "way": "service by service" if way.one_by_one else "all at once" if plan else "nobody is replaced",
        "why": way.why,
        "services": migration.done,
        "taken": migration.taken,
        "given": migration.given,
        "diff": _diff(plan, migration, foreseen),
        "warnings": [_warning(name, migration.file.path) for name in strangers],
    }


def _migration(parameters: Mapping[str, Any], run: Runner) -> Migration:
    if not parameters["source"].startswith("/"):
        raise usage("source is not the full path of a file on the Docker host", "such as /srv/assistant/token.json")
    for name, how in parameters["how"].items():
        if how not in _HOWS or name not in parameters["services"]:
            raise usage(
                f"app_stack_migrate_how has {name}: {how}, and the services are {', '.join(parameters['services'])}",
                f"name one of them, with {' or '.join(_HOWS)}",
            )
    helper = helper_of(parameters, run)
    folder = posixpath.normpath(parameters["directory"])
    return Migration(
        engine=helper.engine,
        project=Project(
            parameters["project_src"],
            parameters["files"],
            name=parameters["project_name"],
            profiles=parameters["profiles"],
            env_files=parameters["env_files"],
        ),
        override=parameters["override"],
        file=HostFile(parameters["source"], helper),
        to_volume=parameters["to"] == "volume",
        services=parameters["services"],
        targets=(folder, posixpath.join(folder, parameters["file"])),
        **{name: parameters[name] for name in ("keepers", "how", "pull", "timeout", "settle", "life", "wait")},
    )


def _diff(plan: Sequence[Step], migration: Migration, foreseen: Mapping[str, Any]) -> dict[str, Any]:
    file, volume = migration.file.path, f"volume {migration.file.helper.volume}"
    left, gone_to = (file, volume) if migration.to_volume else (volume, file)
    heading = f"{migration.file.helper.file} in {volume}"
    taken = [foreseen.get("before"), foreseen["after"]] if migration.to_volume else [None, None]
    diff = rendering.diff(heading, *taken)
    diff["before"]["services"] = {step.service: left for step in plan}
    diff["after"]["services"] = {step.service: gone_to for step in plan}
    return diff


def _warning(name: str, path: str) -> str:
    return (
        f"container {name} has {path}, or its folder, too, and is not among the services that change their place: if "
        "it renews the token there, a provider that rotates refresh tokens ends the grant of all. Stop it, or have it "
        "use the same place"
    )
