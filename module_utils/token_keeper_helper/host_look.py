"""Looks at a Docker host: a program that is sent to the host's Python on stdin, in place of half a dozen modules.

It runs there by itself, with Python 3.9 or later and nothing but the standard library, and prints one JSON object. What
it is to look at stands in its first argument, as JSON: ``cli`` (the docker command), ``compose`` (whether to ask for
Compose's version), ``modules`` (of Python), and ``state`` (whether to list images, volumes, containers and networks).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

COMPOSE = "com.docker.compose."
CONTAINER = "|".join(
    [
        "container",
        f'{{{{.Label "{COMPOSE}project"}}}}',
        "{{.Names}}",
        f'{{{{.Label "{COMPOSE}project.working_dir"}}}}',
        "{{.Ports}}",
        f'{{{{.Label "{COMPOSE}service"}}}}',
        "{{.State}}",
        f'{{{{.Label "{COMPOSE}project.config_files"}}}}',
        '{{.Label "io.token-keeper.role"}}',
        '{{.Label "io.token-keeper.project"}}',
        "{{.Status}}",
    ]
)
NETWORK = f'network|{{{{.Label "{COMPOSE}project"}}}}|{{{{.Name}}}}'


def questions(asked: dict[str, Any]) -> dict[str, list[str]]:
    """Return what the docker command is asked, all at once."""
    found = {"docker": ["version", "--format", "{{json .}}"]}
    if asked["compose"]:
        found["compose"] = ["compose", "version", "--short"]
    if asked["state"]:
        found["images"] = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
        found["volumes"] = ["volume", "ls", "--format", "{{.Name}}"]
        found["containers"] = ["ps", "--all", "--format", CONTAINER]
        found["networks"] = ["network", "ls", "--format", NETWORK]
    return found


def begin(argv: list[str]) -> subprocess.Popen[str] | OSError:
    """Start a command, or return why it can't be."""
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace")
    except OSError as error:
        return error


def end(command: subprocess.Popen[str] | OSError) -> dict[str, Any]:
    """Wait for a command; a missing one is exit code 127, as a shell says it."""
    if isinstance(command, OSError):
        return {"rc": 127, "stdout": "", "stderr": str(command)}
    stdout, stderr = command.communicate()
    return {"rc": command.returncode, "stdout": stdout, "stderr": stderr}


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """Return all that was asked for."""
    commands = {name: begin([asked["cli"], *words]) for name, words in questions(asked).items()}
    modules = {module: importlib.util.find_spec(module) is not None for module in asked["modules"]}
    return {"modules": modules, **{name: end(command) for name, command in commands.items()}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(json.loads(sys.argv[1]))) + "\n")
