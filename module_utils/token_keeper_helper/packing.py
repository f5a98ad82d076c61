"""Packs modules of this package into one program, which a host's Python gets on stdin."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).resolve().parent
_IMPORTED: Final = re.compile(r"^ *from \.(\w*) import ([\w, ]+|\([^)]*\))", re.MULTILINE)
_BEGIN: Final = """
import base64, os, sys
packed = os.memfd_create("token_keeper_helper")
os.write(packed, base64.b64decode({archive!r}))
sys.path.insert(0, f"/proc/self/fd/{{packed}}")
sys.dont_write_bytecode = True
from {package}.{module} import main
main({asked!r})
"""
"""The modules lie in memory, as a file without a name: nothing is left on the host, whatever happens."""


def program(module: str, asked: Mapping[str, Any]) -> bytes:
    """Return a program that calls ``main`` of a module of this package with a question, as JSON.

    Args:
        module: its name, such as ``looking``. It imports nothing but Python's own library, and modules of this package
            by ``from . import`` at the beginning of a line.
        asked: what its ``main`` is given, as JSON. It travels on stdin with the program.
    """
    archive = packed(module)
    text = _BEGIN.format(archive=archive, package=_FOLDER.name, module=module, asked=json.dumps(asked))
    return text.encode()


@functools.cache
def packed(module: str) -> bytes:
    """Return a module and all that it imports of this package, as a zip archive in base 64."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(_sources(module).items()):
            archive.writestr(f"{_FOLDER.name}/{name}.py", source)
    return base64.b64encode(content.getvalue())


def _sources(module: str) -> dict[str, str]:
    """Return the source of a module and of all that it imports of this package, by their names."""
    found, wanted = {"__init__": ""}, {module}
    while wanted:
        name = wanted.pop()
        found[name] = (_FOLDER / f"{name}.py").read_text()
        for source, names in _IMPORTED.findall(found[name]):
            imported = (
                {source} if source else {each.split()[0] for each in names.strip("()").split(",") if each.strip()}
            )
            wanted |= imported - found.keys()
    return found
