"""A file of the Docker host that an application has its token in: into the volume, and back.

The document goes from the file to the helper, or from the helper to the file, on the host alone, through pipes of a
shell: neither a module nor the controller nor anything that Ansible prints sees it.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Any, Final

from .engine import HELPER_LABEL
from .engine_errors import last_line, no_volume
from .failure import ModuleFailure
from .helper import DIRECTORY, Helper
from .process import Completed

_IN: Final = 'test -f "$0" && test -r "$0" || exit 66; exec "$@" <"$0"'
# Whole or not at all, and with the owner and mode of the one before, where there is one. A link stays one. A shell ends
# without its EXIT trap when a signal kills it, and a copy of the secrets would stay.
_READ: Final = (
    'f=$(readlink -f "$0") || f=$0; test ! -d "$f" || { echo "$f is a folder" >&2; exit 1; }; '
    "umask 077; t=; trap 'rm -f \"$t\"' EXIT; trap 'exit 1' HUP INT TERM; "
    't=$(mktemp "$f.XXXXXX") || exit; "$@" >"$t" && test -s "$t" || exit; '
    'if test -e "$f"; then cmp -s "$f" "$t" && { echo same; exit 0; }; '
)
_OUT: Final = (
    f'{_READ} chown --reference="$f" "$t" && chmod --reference="$f" "$t" || exit; '
    'else chown "$O" "$t" || exit; fi; sync "$t" && mv -fT "$t" "$f"'
)
# A file that is mounted alone is the same file as long as its container lives. It is written by one call, and never
# cut: blanks, which JSON allows at its end, fill up what was longer before, so that no reader sees half a document.
_INTO: Final = (
    f'{_READ} n=$(($(stat -c %s "$f") - $(stat -c %s "$t"))); '
    'test "$n" -le 0 || printf "%*s" "$n" "" >>"$t" || exit; '
    'dd if="$t" of="$f" bs=1M conv=notrunc,fsync status=none; else echo "$f is gone" >&2; exit 1; fi'
)
_NO_FILE: Final = 66
_HALF: Final = frozenset({"NotJSON", "Empty"})
_SETTLE: Final = 2.0
"""Seconds that an app may take to rewrite its file in place."""

Signature = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class HostFile:
    """The file, and the helper that has the volume.

    Attributes:
        path: its full path on the Docker host.
        helper: reaches into the token volume.
    """

    path: str
    helper: Helper

    def signature(self) -> Signature | None:
        """Return what changes whenever somebody writes the file; ``None`` where there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def take(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Push the file into the volume under the store's rules, as what an app has made of its token.

        Args:
            dry_run: say what would happen and change nothing.

        Returns:
            The helper's answer: ``changed``, ``reason``, ``before``, ``after`` and ``generation``.

        Raises:
            ModuleFailure: ``FileMissing``; or the store refused, ``Superseded`` if the volume's is the newer one; or
                the engine could not run the helper.
        """
        helper, options = self.helper, [*(["--dry-run"] if dry_run else []), "--adopt"]
        if dry_run and helper.engine.volume(helper.volume) is None:
            helper = dataclasses.replace(helper, volume="")  # a run of it would make the volume, with nobody's owner
        deadline = time.monotonic() + _SETTLE
        while True:
            try:
                return dataclasses.replace(helper, engine=self._reading()).run("push", *options, stdin=b"")
            except ModuleFailure as failure:
                if failure.reason not in _HALF or time.monotonic() >= deadline:
                    raise
            time.sleep(0.1)

    def give(self, *, in_place: bool = False) -> dict[str, Any]:
        """Write the volume's document into the file.

        Args:
            in_place: keep the file itself, because containers have it mounted alone.

        Returns:
            ``changed``, and the document's facts as ``after``.

        Raises:
            ModuleFailure: ``FileNotWritten``, or the volume holds no document, or the engine could not run the helper.
        """
        helper = self.helper
        if helper.engine.volume(helper.volume) is None:
            raise no_volume(helper.volume)
        # what an app wrote last nobody may have looked at: half a document, or one with a spent refresh token
        helper.run("policy")
        facts = helper.run("show")
        command = f"O={helper.uid}:{helper.gid}; {_INTO if in_place else _OUT}"
        done = helper.engine.run(["sh", "-c", command, self.path, *_reader(helper)])
        if done.exit_code != 0:
            raise ModuleFailure(
                "StorageError",
                "FileNotWritten",
                f"the token could not be written to {self.path}: {last_line(done.stderr)}",
                "see that its folder is there, may be written to, and has room; the token is still in the volume",
            )
        return {"changed": done.stdout.strip() != "same", "after": facts}

    def _reading(self) -> Any:
        """Return the engine with the file as the standard input of the commands that take one."""
        engine = self.helper.engine

        def run(argv: Sequence[str], stdin: bytes | None = None) -> Completed:
            if stdin is None:
                return engine.run(argv)
            done = engine.run(["sh", "-c", _IN, self.path, *argv])
            if done.exit_code == _NO_FILE:
                raise ModuleFailure(
                    "TokenMissing", "FileMissing", f"there is no file {self.path} that can be read", "correct its path"
                )
            return done

        return dataclasses.replace(engine, run=run)


def _reader(helper: Helper) -> list[str]:
    """Return the command that writes the document, secrets and all, to its standard output, and to no log."""
    return helper.engine.argv(
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
