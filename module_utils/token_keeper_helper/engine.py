"""The Docker Engine, as far as the token modules ask it: volumes, and the containers that mount them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final

from .engine_errors import engine_failure, last_line
from .failure import ModuleFailure
from .process import Completed, Runner

HELPER_LABEL: Final = "io.token-keeper.role=helper"


@dataclasses.dataclass(frozen=True)
class Engine:
    """A Docker Engine, reached through the docker command on the host that a task runs on.

    The command rather than the SDK: its stdin is closed in one direction over every transport, an action plugin can
    run it through any connection, and the host needs no Python library.

    Attributes:
        run: runs a command on the Docker host.
        cli: the docker command or its path.
        host: the engine's address (``docker -H``); ``None`` leaves it to the docker command.
    """

    run: Runner
    cli: str = "docker"
    host: str | None = None

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line of a docker command."""
        address = ["-H", self.host] if self.host else []
        return [self.cli, *address, *arguments]

    @property
    def where(self) -> str:
        """The engine's address, for a message."""
        return self.host or "the docker command's default address"

    def docker(self, *arguments: str, stdin: bytes | None = None) -> Completed:
        """Run a docker command; its exit code is the caller's to judge."""
        return self.run(self.argv(*arguments), stdin)

    def volume(self, name: str) -> dict[str, Any] | None:
        """Return what ``docker volume inspect`` knows, or ``None`` if there is no such volume.

        Raises:
            ModuleFailure: the engine could not be asked.
        """
        completed = self.docker("volume", "inspect", name)
        if completed.exit_code == 0:
            found: list[dict[str, Any]] = self._decoded(completed, list)
            return found[0]
        failure = self._failure(completed, volume=name)
        if failure.reason == "VolumeMissing":
            return None
        raise failure

    def version(self) -> dict[str, str]:
        """Return the engine's version, and the context by which the docker command has found it.

        Raises:
            ModuleFailure: the engine could not be asked.
        """
        completed = self.docker("version", "--format", "{{json .}}")
        if completed.exit_code != 0:
            raise self._failure(completed)
        told: dict[str, Any] = self._decoded(completed, dict)
        client, server = told.get("Client") or {}, told.get("Server") or {}
        return {"version": str(server.get("Version") or ""), "context": str(client.get("Context") or "default")}

    def image(self, name: str) -> dict[str, Any] | None:
        """Return what ``docker image inspect`` knows, or ``None`` if there is no such image.

        Raises:
            ModuleFailure: the engine could not be asked.
        """
        completed = self.docker("image", "inspect", name)
        if completed.exit_code == 0:
            found: list[dict[str, Any]] = self._decoded(completed, list)
            return found[0]
        if "no such image" in completed.stderr.lower():
            return None
        raise self._failure(completed)

    def remove_volume(self, name: str) -> None:
        """Remove a volume and everything in it.

        Raises:
            ModuleFailure: the engine refused.
        """
        completed = self.docker("volume", "rm", name)
        if completed.exit_code != 0:
            raise self._failure(completed, volume=name)

    def users_of(self, volume: str, *, running: bool = False) -> list[str]:
        """Return the names of the containers that have the volume, with their states; helpers are left out.

        Args:
            volume: the volume's name.
            running: only those that run; otherwise stopped ones too.

        Raises:
            ModuleFailure: the engine could not be asked.
        """
        completed = self.docker(
            "ps",
            *([] if running else ["--all"]),
            "--filter",
            f"volume={volume}",
            "--format",
            '{{.Names}}\t{{.State}}\t{{.Label "io.token-keeper.role"}}',
        )
        if completed.exit_code != 0:
            raise self._failure(completed)
        rows = [line.split("\t") for line in completed.stdout.splitlines() if line]
        return [f"{row[0]} ({row[1]})" for row in rows if len(row) > 2 and row[2] != "helper"]

    def running(self) -> list[dict[str, Any]]:
        """Return ``docker inspect`` of every running container that is not a helper.

        Raises:
            ModuleFailure: the engine could not be asked.
        """
        return self._listed()

    def containers(self) -> list[dict[str, Any]]:
        """Return ``docker inspect`` of every container that is not a helper, running or not.

        Raises:
            ModuleFailure: the engine could not be asked.
        """
        return self._listed("--all")

    def _listed(self, *options: str) -> list[dict[str, Any]]:
        listed = self.docker("ps", *options, "--no-trunc", "--format", '{{.ID}}\t{{.Label "io.token-keeper.role"}}')
        if listed.exit_code != 0:
            raise self._failure(listed)
        rows = [line.split("\t") for line in listed.stdout.splitlines() if line]
        ids = [row[0] for row in rows if len(row) < 2 or row[1] != "helper"]
        return self.inspect(ids) if ids else []

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return ``docker inspect`` of containers; those that have ended meanwhile are left out."""
        completed = self.docker("inspect", "--type", "container", *ids)
        if completed.exit_code != 0 and "no such" not in completed.stderr.lower():
            raise self._failure(completed)
        found: list[dict[str, Any]] = self._decoded(completed, list)
        return found

    def _failure(self, completed: Completed, *, volume: str = "") -> ModuleFailure:
        return engine_failure(completed, self.where, volume=volume) or ModuleFailure(
            "EngineError",
            "EngineRefused",
            f"the docker command failed at {self.where}: {last_line(completed.stderr)}",
            "correct what it names, then run the play again",
        )

    def _decoded(self, completed: Completed, kind: type) -> Any:
        try:
            found = json.loads(completed.stdout)
        except ValueError:
            found = None
        if not isinstance(found, kind):
            raise ModuleFailure(
                "EngineError",
                "EngineAnswerUnknown",
                f"{self.cli} printed something other than Docker's JSON",
                "check that docker_cli names Docker's own command, 20.10 or newer",
            )
        return found
