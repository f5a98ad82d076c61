"""Somebody's Compose project as Compose itself reads it, in memory only: its environment may hold secrets."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .engine import Engine
from .engine_errors import engine_failure
from .failure import ModuleFailure

# The order in which Compose looks for them
_BASES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES: Final = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


@dataclasses.dataclass(frozen=True)
class Project:
    """A Compose project: a folder with files, or a definition that is still to be written.

    Attributes:
        folder: what relative paths in its files are relative to.
        files: its files by their full paths, in order.
        name: its name; empty leaves that to Compose.
        profiles: profiles that are switched on, besides those of its own ``.env``.
        env_files: files that variables are taken from in place of ``.env``.
        definition: what the one file would hold.
    """

    folder: str
    files: Sequence[str] = ()
    name: str = ""
    profiles: Sequence[str] = ()
    env_files: Sequence[str] = ()
    definition: Mapping[str, Any] | None = None

    def argv(self, engine: Engine, *command: str) -> list[str]:
        """Return the words after ``docker`` of a Compose command."""
        words = ["compose", "--project-directory", self.folder]
        words += ["--project-name", self.name] if self.name else []
        words += [word for file in self.env_files for word in ("--env-file", file)]
        words += [word for profile in self.profiles for word in ("--profile", profile)]
        words += [word for file in (["-"] if self.definition else self.files) for word in ("--file", file)]
        return [*words, *command]


def files_of(folder: str, names: Iterable[str], dotenv: str, given: Sequence[str], *, without: str = "") -> list[str]:
    """Return the files of the project in a folder, as Compose would choose them.

    Args:
        folder: the project's folder.
        names: what is in it.
        dotenv: the text of its ``.env``; only ``COMPOSE_FILE`` and ``COMPOSE_PATH_SEPARATOR`` are looked at.
        given: files that were asked for; they go before everything else.
        without: a file that is left out, such as one that was generated.
    """
    known = set(names)
    told = _variables(dotenv)
    if given:
        chosen = list(given)
    elif told.get("COMPOSE_FILE"):
        chosen = told["COMPOSE_FILE"].split(told.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
    else:
        bases = [name for name in _BASES if name in known]
        overrides = [name for name in _OVERRIDES if name in known]
        chosen = [*bases[:1], *(overrides[:1] if bases else [])]
    return [path for path in (os.path.join(folder, name) for name in chosen) if path != without]


def project_in(folder: str, given: Sequence[str], *, without: str = "", **more: Any) -> Project:
    """Return the Compose project in a folder of this host.

    Raises:
        ModuleFailure: ``ProjectMissing``: there is no such folder, or no Compose file in it.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise _missing(f"{folder} can't be looked into: {error.strerror}") from None
    dotenv = ""
    if ".env" in names:
        try:
            with open(os.path.join(folder, ".env"), encoding="utf-8", errors="replace") as file:
                dotenv = file.read()
        except OSError as error:
            raise _missing(f"{folder}/.env can't be read: {error.strerror}") from None
    files = files_of(folder, names, dotenv, given, without=without)
    absent = [file for file in files if not os.path.isfile(file)]
    if absent or not files:
        raise _missing(f"there is no {', '.join(absent)}" if absent else f"{folder} has no Compose file")
    return Project(folder, files, **more)


def read(engine: Engine, project: Project) -> dict[str, Any]:
    """Return the whole project as ``docker compose config`` resolves it.

    Raises:
        ModuleFailure: ``ProjectUnreadable``. Compose's own message is left out: it may quote values.
    """
    stdin = json.dumps({"name": project.name, **project.definition}).encode() if project.definition else None
    argv = project.argv(engine, "config", "--format", "json")
    completed = engine.docker(*argv, stdin=stdin)
    try:
        found = json.loads(completed.stdout) if completed.exit_code == 0 else None
    except ValueError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("services"), dict):
        return found
    failure = engine_failure(completed, engine.where) if completed.exit_code == 127 else None
    see = shlex.join(["docker", *project.argv(engine, "config", "--quiet")])
    raise failure or ModuleFailure(
        "ProjectError",
        "ProjectUnreadable",
        f"Compose can't read the project in {project.folder}; why is not shown here, because it may quote values"
        if project.definition is None
        else "Compose can't read app_stack_services as the services of a project",
        f"see {see}" if project.definition is None else "write each service as in a Compose file, and at least one",
    )


def _variables(dotenv: str) -> dict[str, str]:
    found = {}
    for line in dotenv.splitlines():
        name, _, value = line.strip().partition("=")
        name = name[7:].strip() if name.startswith("export ") else name.strip()
        if name in ("COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR"):
            found[name] = value.strip().strip("\"'")
    return found


def _missing(what: str) -> ModuleFailure:
    return ModuleFailure(
        "ProjectError",
        "ProjectMissing",
        f"{what}: no Compose project to put the token into",
        "correct app_stack_compose_dir, the project's folder on the Docker host, and app_stack_compose_files",
    )
