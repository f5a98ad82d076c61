"""Whether a file on the controller is the program that it is taken for: its checksum, and what machine it is for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_MACHINES: Final = {
    # e_machine, width in bits, byte order: what `uname -m` calls it (System V ABI, chapter 4)
    (3, 32, "little"): "i386",
    (21, 64, "little"): "ppc64le",
    (22, 64, "big"): "s390x",
    (40, 32, "little"): "armv7l",
    (62, 64, "little"): "x86_64",
    (183, 64, "little"): "aarch64",
    (243, 64, "little"): "riscv64",
}


def obstacle(name: str, checksum: str, architecture: str) -> str:
    """Say why a file may not be installed as a program; empty where it may.

    Args:
        name: the file's path; ``~`` is the home of who runs Ansible.
        checksum: SHA-256, as hex digits, with or without ``sha256:`` before them.
        architecture: the host's, as ``uname -m`` says it.
    """
    path = Path(name).expanduser()
    wanted = checksum.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        return (
            f"docker_host_compose_checksum is {checksum!r}, and a SHA-256 has 64 hex digits. Take the one that its "
            f"publisher names; `sha256sum {name}` says what the file has."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"{path} on the controller cannot be read: {error.strerror}."
    if (found := hashlib.sha256(content).hexdigest()) != wanted:
        return f"{path} has the SHA-256 {found}, and docker_host_compose_checksum is {wanted}. Get it again."
    if not (machine := _machine(content)):
        return f"{path} is no program: it is no ELF file."
    if machine != architecture:
        return f"{path} is a program for {machine}, and the host is {architecture}."
    return ""


def _machine(content: bytes) -> str:
    if content[:4] != b"\x7fELF" or len(content) < 20:
        return ""
    bits = {1: 32, 2: 64}.get(content[4], 0)
    order = "big" if content[5] == 2 else "little"
    number = int.from_bytes(content[18:20], order)  # type: ignore[arg-type]
    return _MACHINES.get((number, bits, order), f"machine {number} of {bits} bits")


class FilterModule:
    """The filters by the names that templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {"docker_host_program_obstacle": obstacle}
