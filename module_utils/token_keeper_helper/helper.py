"""The helper: a short-lived container of the keeper image that reaches into one token volume."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from .engine import HELPER_LABEL, Engine
from .engine_errors import engine_failure, last_line
from .failure import ModuleFailure
from .process import Completed

DIRECTORY: Final = "/app/tokens"
"""Where a helper mounts the volume; consumers may mount it elsewhere."""

_KILLED: Final = 137
_CA_BUNDLE: Final = "/etc/ssl/token-keeper-ca.pem"
"""Where a helper finds the certificates that it is given."""


@dataclasses.dataclass(frozen=True)
class Outward:
    """How a helper reaches the provider.

    Attributes:
        network: Docker network with a way there.
        environment: variables without secrets, such as ``HTTPS_PROXY``; they are on the docker command's line.
        ca_bundle: file on the Docker host with the certificates to trust; ``None`` trusts the image's.
    """

    network: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ca_bundle: str | None = None

    @property
    def options(self) -> list[str]:
        """Options of ``docker run``."""
        variables = dict(self.environment)
        mounts = []
        if self.ca_bundle:
            mounts = [f"--mount=type=bind,source={self.ca_bundle},target={_CA_BUNDLE},readonly"]
            variables.update(SSL_CERT_FILE=_CA_BUNDLE, REQUESTS_CA_BUNDLE=_CA_BUNDLE)
        return [*mounts, *(f"--env={name}={value}" for name, value in variables.items())]


@dataclasses.dataclass(frozen=True)
class Helper:
    """Runs verbs of ``token-keeper`` on a token document, each in a container of its own.

    The container has a read-only root, no capabilities, no network unless it has to exchange, and log driver ``none``:
    the engine keeps nothing of what it says. What goes in as a secret goes in on stdin.

    Attributes:
        engine: where it runs.
        image: the keeper image.
        volume: name of the token volume; it must exist, as ``docker run`` would create it. Empty is a folder in memory.
        file: name of the token document in it.
        uid: user that the consumers run as.
        gid: group of the same.
    """

    engine: Engine
    image: str
    volume: str
    file: str = "token.json"
    uid: int = 999
    gid: int = 999

    def argv(self, verb: str, *options: str, outward: Outward | None = None, with_stdin: bool = False) -> list[str]:
        """Return the command line for a verb, run as the consumers' user."""
        return self._argv(f"{self.uid}:{self.gid}", [], outward, [verb, *options], with_stdin=with_stdin)

    def run(
        self, verb: str, *options: str, outward: Outward | None = None, stdin: bytes | None = None
    ) -> dict[str, Any]:
        """Run a verb and return its JSON.

        Args:
            verb: a verb of ``token-keeper``.
            options: its options.
            outward: the way to the provider; ``None`` is no network at all.
            stdin: what it reads, such as a document.

        Raises:
            ModuleFailure: the engine could not run it, or the verb ended with an error.
        """
        argv = self.argv(verb, *options, outward=outward, with_stdin=stdin is not None)
        return self._answer(self.engine.run(argv, stdin), outward)

    def examine(self, *, repair: bool = False) -> dict[str, Any]:
        """Have the doctor look into the volume; an error that it finds is an answer, and no failure.

        Args:
            repair: mend what can be mended there without a person.

        Raises:
            ModuleFailure: the engine could not run it.
        """
        completed = self.engine.run(self.argv("doctor", *(["--repair"] if repair else [])), None)
        answer = _json_object(completed.stdout)
        if answer is not None and isinstance(answer.get("findings"), list):
            return answer
        return self._answer(completed, None)

    def initialise(self, mode: str, *, force: bool = False, dry_run: bool) -> dict[str, Any]:
        """Give the volume its owner and mode: the one verb that runs as root.

        It has CAP_CHOWN and nothing else; a dry run has CAP_DAC_READ_SEARCH instead, and can only look, though
        everywhere, so that its answer is the real run's.

        Args:
            mode: the mode of the volume's directory.
            force: take over a volume that holds other things than token documents.
            dry_run: say what would change and change nothing.

        Raises:
            ModuleFailure: as :meth:`run`; ``ForeignContent`` for somebody else's volume.
        """
        verb = ["init-volume", "--uid", str(self.uid), "--gid", str(self.gid), "--mode", mode]
        asked = [option for option, wanted in (("--force", force), ("--dry-run", dry_run)) if wanted]
        right = "DAC_READ_SEARCH" if dry_run else "CHOWN"
        argv = self._argv("0:0", ["--cap-add", right], None, verb + asked)
        try:
            return self._answer(self.engine.run(argv, None), None)
        except ModuleFailure as failure:
            if failure.reason != "ForeignContent":
                raise
            raise ModuleFailure(
                failure.kind,
                failure.reason,
                failure.message,
                "name a volume of its own for the token; force, in the role token_volume_force, takes over this one "
                "with all that is in it",
            ) from None

    def _argv(
        self, user: str, rights: list[str], outward: Outward | None, verb: list[str], *, with_stdin: bool = False
    ) -> list[str]:
        return self.engine.argv(
            "run",
            "--rm",
            *(["--interactive"] if with_stdin else []),
            "--pull=never",
            "--log-driver=none",
            "--read-only",
            "--cap-drop=ALL",
            *rights,
            "--security-opt=no-new-privileges",
            f"--network={outward.network if outward else 'none'}",
            f"--user={user}",
            "--pids-limit=64",
            "--memory=256m",
            f"--label={HELPER_LABEL}",
            f"--mount=type=volume,source={self.volume},target={DIRECTORY},volume-nocopy"
            if self.volume
            else f"--tmpfs={DIRECTORY}:uid={self.uid},gid={self.gid},mode=0700",
            "--tmpfs=/tmp",
            "--env=TOKEN_KEEPER_SERVICE=ansible",
            *(outward.options if outward else []),
            self.image,
            f"--path={DIRECTORY}/{self.file}",
            *verb,
            "--json",
        )

    def _answer(self, completed: Completed, outward: Outward | None) -> dict[str, Any]:
        answer = _json_object(completed.stdout)
        error = answer.get("error") if answer is not None else None
        if completed.exit_code != 0 and isinstance(error, dict):
            raise ModuleFailure(
                str(error.get("type", "HelperError")),
                str(error.get("reason", "HelperFailed")),
                self._placed(str(error.get("message", "the helper failed"))),
                str(error.get("remedy", "")),
            )
        if completed.exit_code == 0 and answer is not None:
            return answer
        raise self._failure(completed, outward)

    def _placed(self, message: str) -> str:
        """Name the volume in a message that knows only the path inside the helper."""
        return f"volume {self.volume}: {message}" if self.volume else message

    def _failure(self, completed: Completed, outward: Outward | None) -> ModuleFailure:
        if completed.exit_code != 0:
            network = outward.network if outward else ""
            failure = engine_failure(
                completed, self.engine.where, image=self.image, network=network, volume=self.volume
            )
            if failure is not None:
                return failure
        if completed.exit_code == _KILLED:
            return ModuleFailure(
                "HelperError",
                "HelperKilled",
                f"the helper for volume {self.volume} was killed",
                "look for a lack of memory on the Docker host (dmesg), then run the play again",
            )
        said = last_line(completed.stderr)
        return ModuleFailure(
            "ImageError",
            "ImageUnsuitable",
            f"the image {self.image} did not answer as the keeper does (exit code {completed.exit_code}): {said}",
            "use the keeper image that the role images makes, of the same release as these modules",
        )


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
