"""What the docker command says when it fails, as failures with a remedy."""

from __future__ import annotations

import re
from typing import Final

from .failure import ModuleFailure
from .process import Completed

_UNREACHABLE: Final = re.compile(
    r"cannot connect to the docker daemon|failed to connect to the docker api|error during connect"
    r"|is the docker daemon running|unable to resolve docker endpoint|unable to parse docker host|context not found"
    r"|invalid bind address|dial (unix|tcp)",
    re.IGNORECASE,
)
_LOST: Final = re.compile(r"error waiting for container", re.IGNORECASE)
_FORBIDDEN: Final = re.compile(r"permission denied while trying to connect", re.IGNORECASE)
_NO_IMAGE: Final = re.compile(r"unable to find image|no such image|pull access denied", re.IGNORECASE)
_NO_NETWORK: Final = re.compile(r"network (\S+) not found|could not find network", re.IGNORECASE)
_NO_VOLUME: Final = re.compile(r"no such volume", re.IGNORECASE)
_OLD_CLI: Final = re.compile(r"unknown flag|unknown shorthand flag|requires api version", re.IGNORECASE)
_NOT_FOUND: Final = re.compile(r"executable file not found|no such file or directory", re.IGNORECASE)

_MAX_DETAIL: Final = 300


def no_volume(name: str) -> ModuleFailure:
    """Return the failure for a volume that does not exist."""
    return ModuleFailure(
        "VolumeError",
        "VolumeMissing",
        f"there is no Docker volume named {name}",
        "create it with the role token_volume, or with community.docker.docker_volume, or correct the name",
    )


def last_line(text: str) -> str:
    """Return the line of a command's stderr that tells most, cut to what fits in a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # the docker command ends many errors with a hint at its own help
    telling = [line for line in lines if not line.lower().startswith(("see 'docker", "run 'docker", "usage:"))]
    return (telling or lines or ["it said nothing"])[-1][:_MAX_DETAIL]


def engine_failure(
    completed: Completed, where: str, *, image: str = "", network: str = "", volume: str = ""
) -> ModuleFailure | None:
    """Tell what the docker command itself stumbled over.

    Args:
        completed: a docker command that failed.
        where: the engine's address, for the message.
        image: the image that was to be run.
        network: the network that it was to join.
        volume: the volume in question.

    Returns:
        A failure, or ``None`` if the command did what it should and something inside the container went wrong.
    """
    said = completed.stderr
    if _FORBIDDEN.search(said):
        return ModuleFailure(
            "EngineError",
            "EngineForbidden",
            f"this user may not use the Docker Engine at {where}",
            "add the user to the group docker, or use become",
        )
    if _UNREACHABLE.search(said):
        return ModuleFailure(
            "EngineError",
            "EngineUnreachable",
            f"no Docker Engine answers at {where}",
            "start it (systemctl start docker), install it with the role docker_host, or correct docker_host",
        )
    if completed.exit_code in {1, 125} and _LOST.search(said):
        what = f"the work on volume {volume}" if volume else "the work"
        return ModuleFailure(
            "EngineError",
            "EngineLost",
            f"the Docker Engine at {where} went away during {what}, so how that ended is not known",
            "see that the engine is back (systemctl status docker), then run the play again: it looks at what is there "
            "first, and a volume holds the whole old document or the whole new one",
        )
    if completed.exit_code in {1, 125}:
        return _refused(said, where, image, network, volume)
    if completed.exit_code in {126, 127}:
        return _not_started(said, image)
    return None


def _refused(said: str, where: str, image: str, network: str, volume: str) -> ModuleFailure | None:
    """Tell what the engine refused to do."""
    if image and _NO_IMAGE.search(said):
        return ModuleFailure(
            "ImageError",
            "ImageMissing",
            f"the image {image} is not on the Docker host",
            "run the role images first, or name an image that is there; helpers never pull one",
        )
    if network and _NO_NETWORK.search(said):
        return ModuleFailure(
            "NetworkError",
            "NetworkMissing",
            f"there is no Docker network named {network}",
            "create it with community.docker.docker_network, or name one by which the provider is reached",
        )
    if _NO_VOLUME.search(said):
        return no_volume(volume or "of that name")
    if _OLD_CLI.search(said):
        return ModuleFailure(
            "EngineError",
            "EngineTooOld",
            f"the docker command or the engine at {where} is too old: {last_line(said)}",
            "Docker 20.10 or newer is needed; install it with the role docker_host",
        )
    if said.lstrip().lower().startswith(("docker:", "error response from daemon", "error:")):
        return ModuleFailure(
            "EngineError",
            "EngineRefused",
            f"the Docker Engine at {where} refused: {last_line(said)}",
            "correct what it names, then run the play again",
        )
    return None


def _not_started(said: str, image: str) -> ModuleFailure:
    """Tell a docker command that is missing from an image without the program."""
    if said.lstrip().lower().startswith("docker: error response") or "oci runtime" in said.lower():
        what = "has no token-keeper command" if _NOT_FOUND.search(said) else "cannot be started"
        return ModuleFailure(
            "ImageError",
            "ImageUnsuitable",
            f"the image {image} {what}: {last_line(said)}",
            "use the keeper image that the role images makes",
        )
    return ModuleFailure(
        "EngineError",
        "DockerCommandMissing",
        f"the docker command cannot be run on this host: {last_line(said)}",
        "install the Docker command line with the role docker_host, or name its path with docker_cli",
    )
