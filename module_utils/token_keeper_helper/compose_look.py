"""Looks whether a compose project is as its file would make it: a program that is sent to the host's Python on stdin.

It runs there by itself, with Python 3.9 or later and nothing but the standard library, and prints one JSON object. What
Compose itself would go by is compared: the hash of each service's configuration and its image, which it has written on
the containers, their networks, their number, and whether they are well. Whatever is not known for certain is left to
Compose.

What it is to look at stands in its first argument, as JSON: ``cli`` (the docker command), ``project``, ``folder``,
``folder_mode``, and ``file``, ``file_mode`` and ``sha256`` of the compose file in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

LABEL = "com.docker.compose."
TOLD = ("service", "config-hash", "image", "oneoff")


def mode_of(path: Path) -> str:
    """Return the mode of a file as chmod takes it, or nothing where there is none."""
    try:
        return f"{stat.S_IMODE(path.stat().st_mode):04o}"
    except OSError:
        return ""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or nothing where it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def ask_all(commands: dict[str, list[str]]) -> dict[str, str] | None:
    """Run commands at once and return what each printed, or nothing at all if one of them failed."""
    try:
        running = {
            name: subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            for name, argv in commands.items()
        }
    except OSError:
        return None
    printed = {name: command.communicate()[0] for name, command in running.items()}
    return None if any(command.returncode for command in running.values()) else printed


def objections(told: dict[str, str]) -> list[str]:
    """Say what keeps the project from being as its file would make it."""
    config = json.loads(told["config"])
    services, networks = config["services"], config.get("networks") or {}
    hashes = dict(line.split() for line in told["hashes"].splitlines())
    images = dict(line.split("|") for line in told["images"].splitlines())
    found: dict[str, int] = {}
    said: list[str] = []
    for line in told["containers"].splitlines():
        name, state, status, joined, service, config_hash, image, oneoff = line.split("|")
        if oneoff == "True":
            continue
        found[service] = found.get(service, 0) + 1
        if service not in services:
            said.append(f"{name} is of no service")
        elif config_hash != hashes.get(service):
            said.append(f"{name} has another configuration")
        elif image != images.get(services[service].get("image", "")):
            said.append(f"{name} has another image")
        elif {networks[each]["name"] for each in services[service].get("networks") or {}} - set(joined.split(",")):
            said.append(f"{name} is not in all of its networks")
        elif state != "running" or ("healthcheck" in services[service] and "(healthy)" not in status):
            said.append(f"{name} is not well: {status}")
    for service, wanted in services.items():
        replicas = (wanted.get("deploy") or {}).get("replicas", wanted.get("scale", 1))
        if found.get(service, 0) != replicas:
            said.append(f"{service} has {found.get(service, 0)} of {replicas} containers")
        if wanted.get("pull_policy", "missing") not in ("missing", "if_not_present", "never") or "build" in wanted:
            said.append(f"{service} may have a newer image")
    return said


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """Return whether folder and file are as asked, and what else Compose would have to do."""
    folder = Path(os.path.expanduser(asked["folder"]))
    file = folder / asked["file"]
    as_asked = {
        "folder": folder.is_dir() and mode_of(folder) == asked["folder_mode"],
        "file": digest_of(file) == asked["sha256"] and mode_of(file) == asked["file_mode"],
    }
    if not all(as_asked.values()):
        return {**as_asked, "objections": ["the file is not there yet, or is another one"]}
    docker, project = asked["cli"], asked["project"]
    # No file is named, as where it is brought up: one beside it that Compose takes too (compose.override.yml) counts
    compose = [docker, "compose", "--project-name", project, "--project-directory", str(folder)]
    labels = [f'{{{{.Label "{LABEL}{name}"}}}}' for name in TOLD]
    told = ask_all(
        {
            "config": [*compose, "config", "--format", "json"],
            "hashes": [*compose, "config", "--hash", "*"],
            "images": [docker, "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}}|{{.ID}}"],
            "containers": [
                *[docker, "ps", "--all", "--filter", f"label={LABEL}project={project}", "--format"],
                "|".join(["{{.Names}}", "{{.State}}", "{{.Status}}", "{{.Networks}}", *labels]),
            ],
        }
    )
    if told is None:
        return {**as_asked, "objections": ["the docker command failed"]}
    try:
        return {**as_asked, "objections": objections(told)}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return {**as_asked, "objections": [f"the docker command said something unknown ({type(error).__name__})"]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(json.loads(sys.argv[1]))) + "\n")
