"""Lookup plugin `images_digest`: one short digest over the inputs of an image."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError  # type: ignore[import-untyped]
from ansible.plugins.lookup import LookupBase  # type: ignore[import-untyped]

DOCUMENTATION = r"""
name: images_digest
author: Token Keeper contributors
version_added: 0.1.0
short_description: Digest of files, directories and values that an image is built from
description:
  - Reads the given files, and every source file below the given directories, on the controller.
  - The digest depends on relative names and contents, not on modes or times, so that two clones agree.
  - Byte code, caches and hidden files are left out.
options:
  _terms:
    description: Files and directories.
    type: list
    elements: path
  extra:
    description: Further input, any value that can be written as JSON.
    type: raw
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ lookup('images_digest', 'src/token_keeper', 'requirements/keeper.txt', extra=['base:1']) }}"
"""

RETURN = r"""
_raw:
  description: The first twelve hex digits of a SHA-256.
  type: list
  elements: str
"""

LENGTH = 12


def _sources(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise AnsibleLookupError(f"an image is built from {root}, and it is not there: is the checkout complete?")
    return sorted(
        path
        for path in root.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
    )


@functools.cache
def _contents(root: Path) -> bytes:
    """Return name and digest of each file, a line each; one task asks for the same ones several times."""
    lines = (
        f"{path.relative_to(root.parent).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in _sources(root)
    )
    return "".join(lines).encode()


def digest(terms: list[str], extra: object = None) -> str:
    """Return the digest of the files under `terms` and of `extra`.

    Raises AnsibleLookupError where a term names neither a file nor a directory.
    """
    total = hashlib.sha256()
    for term in terms:
        total.update(_contents(Path(term)))
    total.update(json.dumps(extra, sort_keys=True, default=str).encode())
    return total.hexdigest()[:LENGTH]


class LookupModule(LookupBase):  # type: ignore[misc]
    """The plugin as Ansible calls it."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return a list with the one digest."""
        self.set_options(var_options=variables, direct=kwargs)
        return [digest([str(term) for term in terms], self.get_option("extra"))]
