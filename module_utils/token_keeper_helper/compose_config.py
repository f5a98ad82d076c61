"""Somebody's Compose project as Compose itself reads it, in memory only: its environment may hold secrets."""

from __future__ import annotations

import dataclasses
import json
import os
import re
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
        dotenv: the text of its ``.env``, or of the files in its place; only ``COMPOSE_FILE`` and
            ``COMPOSE_PATH_SEPARATOR`` are told.
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


def project_in(
    folder: str, given: Sequence[str], *, without: str = "", env_files: Sequence[str] = (), **more: Any
) -> Project:
    """Return the Compose project in a folder of this host.

    Args:
        folder: the project's folder.
        given: files that were asked for, relative to it.
        without: a file that is left out.
        env_files: files that variables are taken from in place of ``.env``.
        more: other attributes of the project.

    Raises:
        ModuleFailure: ``ProjectMissing``: there is no such folder, or no Compose file in it. ``ProjectElsewhere``:
            its ``COMPOSE_FILE`` makes another folder the project's.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise _missing(f"{folder} can't be looked into: {error.strerror}") from None
    dotenv = ""
    for name in env_files or ([".env"] if ".env" in names else []):
        path = os.path.join(folder, name)
        try:
            # the mark that Windows puts at the beginning is none of the first name
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                dotenv += file.read() + "\n"
        except OSError as error:
            raise _missing(f"{path} can't be read: {error.strerror}") from None
    files = files_of(folder, names, dotenv, given, without=without)
    absent = [file for file in files if not os.path.isfile(file)]
    if absent or not files:
        raise _missing(f"there is no {', '.join(absent)}" if absent else f"{folder} has no Compose file")
    if not given and os.path.dirname(os.path.normpath(files[0])) != os.path.normpath(folder):
        raise _elsewhere(folder, files, env_files)
    return Project(folder, files, env_files=env_files, **more)


def read(engine: Engine, project: Project) -> dict[str, Any]:
    """Return the whole project as ``docker compose config`` resolves it.

    Raises:
        ModuleFailure: ``ProjectUnreadable``. Of Compose's own message only what can't be a value is told.
    """
    stdin = json.dumps({"name": project.name, **project.definition}).encode() if project.definition else None
    argv = project.argv(engine, "config", "--format", "json")
    completed = engine.docker(*argv, stdin=stdin)
    try:
        found = json.loads(completed.stdout) if completed.exit_code == 0 else None
    except ValueError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("services"), dict):
        plain: dict[str, Any] = _plain(found)
        return plain
    failure = engine_failure(completed, engine.where) if completed.exit_code == 127 else None
    see = shlex.join(["docker", *project.argv(engine, "config", "--quiet")])
    raise failure or ModuleFailure(
        "ProjectError",
        "ProjectUnreadable",
        f"Compose can't read the project in {project.folder}{_why(completed.stderr)}"
        if project.definition is None
        else "Compose can't read app_stack_services as the services of a project",
        f"see {see}" if project.definition is None else "write each service as in a Compose file, and at least one",
    )


_KNOWN_REASONS: Final = (
    (
        re.compile(r"required variable (\w+) is missing a value"),
        "{} has no value, neither in its .env nor in the environment of the user who runs this",
    ),
    (re.compile(r"env file (\S+) not found"), "there is no {}, which an env_file of it names"),
    (re.compile(r"yaml: (?:.*: )?line (\d+)"), "it is no YAML from line {} on"),
    (
        re.compile(r"(?:invalid project name|project name must not be empty)()"),
        "its name is none that Compose takes; app_stack_compose_name gives it one of small letters, digits, - and _",
    ),
    (re.compile(r"empty compose file()"), "a file of it is empty"),
    (re.compile(r"services\.([\w.-]+) [Aa]dditional propert"), "service {} has a key that Compose doesn't know"),
    (re.compile(r'service "([\w.-]+)" has neither an image nor a build'), "service {} has neither image nor build"),
)
"""What Compose says and quotes no value in, with what is told of it."""


def _why(stderr: str) -> str:
    """Return what may be told of why Compose has refused: names and lines, and no value."""
    for known, told in _KNOWN_REASONS:
        if match := known.search(stderr):
            return ": " + told.format(match[1])
    return "; why is not shown here, because it may quote values"


def _plain(value: Any) -> Any:
    """Return what Compose prints with every ``$$`` as the ``$`` that it stands for: its output is a Compose file."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


_ASSIGNMENT: Final = re.compile(
    r"""\s*(?:export\s+)?(\w+)\s*[=:]\s*(?:'([^']*)'|"((?:\\.|[^"\\])*)"|(.*?)(?:\s+#.*|\s*)$)"""
)
_REFERENCE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")


def _variables(dotenv: str) -> dict[str, str]:
    """Return which files a ``.env`` chooses, with the variables in that put in, as Compose reads it."""
    found: dict[str, str] = {}
    for line in dotenv.splitlines():
        if match := _ASSIGNMENT.match(line):
            name, literal, quoted, bare = match.groups()
            value = quoted if quoted is not None else bare or ""
            found[name] = literal if literal is not None else _REFERENCE.sub(lambda one: _value(found, one), value)
    return {name: found[name] for name in ("COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR") if name in found}


def _value(known: Mapping[str, str], reference: re.Match[str]) -> str:
    name = reference[1] or reference[2]
    return os.environ.get(name) or known.get(name) or reference[3] or ""


def _missing(what: str) -> ModuleFailure:
    return ModuleFailure(
        "ProjectError",
        "ProjectMissing",
        f"{what}: no Compose project to put the token into",
        "correct app_stack_compose_dir, the project's folder on the Docker host, and app_stack_compose_files",
    )


def _elsewhere(folder: str, files: Sequence[str], env_files: Sequence[str]) -> ModuleFailure:
    """Return the failure for a project whose folder is, to Compose, the one of its first file."""
    there = os.path.dirname(os.path.normpath(files[0]))
    names = ", ".join(os.path.relpath(file, there) for file in files)
    variables = ", ".join(env_files) or os.path.join(folder, ".env")
    return ModuleFailure(
        "ProjectError",
        "ProjectElsewhere",
        f"COMPOSE_FILE names {files[0]} first, so to Compose the project's folder, which its name and its "
        f"relative paths come from, is {there} and not {folder}",
        f"say so: app_stack_compose_dir: {there}, app_stack_compose_files: [{names}] and "
        f"app_stack_compose_env_files: [{variables}]",
    )
