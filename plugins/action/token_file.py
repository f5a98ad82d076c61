"""The action ``token_file``: takes a token document over from a file of the Docker host, or puts it back into one.

The document goes from the file to the helper, or from the helper to the file, on the host alone: neither the controller
nor anything that Ansible prints sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ansible.module_utils  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.arguments import helper_of, usage
    from module_utils.token_keeper_helper.controller import HelperAction
    from module_utils.token_keeper_helper.engine import HELPER_LABEL, Engine
    from module_utils.token_keeper_helper.engine_errors import last_line
    from module_utils.token_keeper_helper.failure import ModuleFailure
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.helper import DIRECTORY, Helper
    from module_utils.token_keeper_helper.outcome import Outcome
    from module_utils.token_keeper_helper.process import Completed
else:
    # Ansible finds a project's module_utils for modules only; this is the same folder, under the same name
    _SHARED = str(Path(__file__).resolve().parents[2] / "module_utils")
    if _SHARED not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(_SHARED)
    from ansible.module_utils.token_keeper_helper.arguments import helper_of, usage
    from ansible.module_utils.token_keeper_helper.controller import HelperAction
    from ansible.module_utils.token_keeper_helper.engine import HELPER_LABEL, Engine
    from ansible.module_utils.token_keeper_helper.engine_errors import last_line
    from ansible.module_utils.token_keeper_helper.failure import ModuleFailure
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.helper import DIRECTORY, Helper
    from ansible.module_utils.token_keeper_helper.outcome import Outcome
    from ansible.module_utils.token_keeper_helper.process import Completed

TOKEN_FILE: Final[dict[str, dict[str, Any]]] = {
    "source": {"type": "str", "required": True},
    "direction": {"type": "str", "choices": ["in", "out"], "default": "in"},
    "volume": {"type": "str", "required": True},
    "file": {"type": "str", "default": "token.json"},
    "image": {"type": "str", "required": True},
    "uid": {"type": "int", "required": True},
    "gid": {"type": "int", "required": True},
    "docker_cli": {"type": "str", "default": "docker"},
    "docker_host": {"type": "str"},
}
_IN: Final = 'test -f "$0" && test -r "$0" || exit 66; exec "$@" <"$0"'
# Whole or not at all, and with the owner and mode of the one before, where there is one. A link stays one. A shell ends
# without its EXIT trap when a signal kills it, and a copy of the secrets would stay.
_OUT: Final = (
    'f=$(readlink -f "$0") || f=$0; test ! -d "$f" || { echo "$f is a folder" >&2; exit 1; }; '
    "umask 077; t=; trap 'rm -f \"$t\"' EXIT; trap 'exit 1' HUP INT TERM; "
    't=$(mktemp "$f.XXXXXX") || exit; "$@" >"$t" && test -s "$t" || exit; '
    'if test -e "$f"; then cmp -s "$f" "$t" && { echo same; exit 0; }; '
    'chown --reference="$f" "$t" && chmod --reference="$f" "$t" || exit; else chown "$O" "$t" || exit; fi; '
    'sync "$t" && mv -fT "$t" "$f"'
)
_NO_FILE: Final = 66


class ActionModule(HelperAction):
    """Moves a document between a file of the host and the volume.

    Options:
        source: the file, by its full path on the Docker host.
        direction: ``in`` pushes it into the volume under the store's rules; ``out`` writes the file anew.
        volume, file, image, uid, gid: as those of ``token_volume``.

    Returns:
        what ``token_volume`` returns for a document; for ``out`` whether the file is another now.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task and return its result, which holds no secret."""
        super().run(tmp, task_vars)
        return concluded(self._work, check_mode=self._task.check_mode)

    def _work(self) -> dict[str, Any]:
        parameters = self.parameters(TOKEN_FILE, {})
        if not parameters["source"].startswith("/"):
            raise usage("source is not the full path of a file on the Docker host", "such as /srv/assistant/token.json")
        move = self._take if parameters["direction"] == "in" else self._give
        return move(parameters)

    def _take(self, parameters: dict[str, Any]) -> dict[str, Any]:
        source = parameters["source"]

        def reading(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
            if stdin is None:
                return self.run_on_host(argv)
            done = self.run_on_host(["sh", "-c", _IN, source, *argv])
            if done.exit_code == _NO_FILE:
                raise ModuleFailure(
                    "TokenMissing", "FileMissing", f"there is no file {source} that can be read", "correct its path"
                )
            return done

        helper = helper_of(parameters, reading)
        header = f"{helper.file} in volume {helper.volume}"
        # where it is missing a run of the helper would make it, with nobody's owner
        if helper.engine.volume(helper.volume) is None:
            if not self._task.check_mode:
                raise _missing(helper)
            return Outcome(True, "Created", header).as_result()
        dry = ["--dry-run"] if self._task.check_mode else []
        reply = helper.run("push", *dry, stdin=b"")
        told = (reply["changed"], reply["reason"], header, reply["before"], reply["after"], reply["generation"])
        return Outcome(*told).as_result()

    def _give(self, parameters: dict[str, Any]) -> dict[str, Any]:
        helper = helper_of(parameters, self.run_on_host)
        if self._task.check_mode:
            return {"changed": True}
        if helper.engine.volume(helper.volume) is None:
            raise _missing(helper)
        # what an app wrote last nobody may have looked at: half a document, or one with a spent refresh token
        helper.run("policy")
        helper.run("show")
        command = f"O={helper.uid}:{helper.gid}; {_OUT}"
        done = self.run_on_host(["sh", "-c", command, parameters["source"], *_reader(helper)])
        if done.exit_code != 0:
            raise ModuleFailure(
                "StorageError",
                "FileNotWritten",
                f"the token could not be written to {parameters['source']}: {last_line(done.stderr)}",
                "see that its folder is there, may be written to, and has room; the token is still in the volume",
            )
        return {"changed": done.stdout.strip() != "same"}


def _missing(helper: Helper) -> ModuleFailure:
    return ModuleFailure(
        "VolumeError",
        "VolumeMissing",
        f"there is no volume {helper.volume} {helper.engine.where}",
        "make it first, by site.yml or role token_volume",
    )


def _reader(helper: Helper) -> list[str]:
    """Return the command that writes the document, secrets and all, to its standard output, and to no log."""
    engine: Engine = helper.engine
    return engine.argv(
        "run",
        "--rm",
        "--pull=never",
        "--log-driver=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=none",
        f"--user={helper.uid}:{helper.gid}",
        f"--label={HELPER_LABEL}",
        f"--mount=type=volume,source={helper.volume},target={DIRECTORY},volume-nocopy,readonly",
        "--entrypoint=cat",
        helper.image,
        f"{DIRECTORY}/{helper.file}",
    )
