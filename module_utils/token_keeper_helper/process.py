"""Commands on the Docker host: what runs them, and what they end with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]


@dataclasses.dataclass(frozen=True)
class Completed:
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """Runs a command on the Docker host.

    A module runs it as a child process, an action plugin through the connection; everything else of this package is
    the same for both.
    """

    def __call__(self, argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        """Run ``argv`` with ``stdin`` as its input, and wait for its end; a missing program is exit code 127."""
        ...


class ModuleRunner:
    """Runs commands as children of a module."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def __call__(self, argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        """Run a command; see :class:`Runner`."""
        try:
            exit_code, stdout, stderr = self._module.run_command(
                list(argv), data=stdin, binary_data=True, errors="replace", handle_exceptions=False
            )
        except OSError as error:
            return Completed(127, "", f"{argv[0]}: {error.strerror}")
        return Completed(exit_code, stdout, stderr)
