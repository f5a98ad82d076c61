"""Packs modules of this package into one program, which a host's Python gets on stdin."""

from __future__ import annotations

import base64
import functools
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).resolve().parent
_IMPORTED: Final = re.compile(r"^ *from \.(\w*) import ([\w, ]+|\([^)]*\))", re.MULTILINE)
_BEGIN: Final = """
import base64, json, sys, zlib
from importlib.machinery import ModuleSpec

sources = json.loads(zlib.decompress(base64.b64decode({sources!r})))

class Sent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return ModuleSpec(name, Sent, is_package=name == {package!r}) if name in sources else None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(compile(sources[module.__name__], module.__name__, "exec"), vars(module))

sys.meta_path.insert(0, Sent)
from {package}.{module} import main
main({asked!r})
"""
"""The modules stay in the process: nothing is left on the host, whatever happens."""


def program(module: str, asked: Mapping[str, Any]) -> bytes:
    """Return a program that calls ``main`` of a module of this package with a question, as JSON.

    Args:
        module: its name, such as ``looking``. It imports nothing but Python's own library, and modules of this package
            by ``from . import`` at the beginning of a line.
        asked: what its ``main`` is given, as JSON. It travels on stdin with the program.
    """
    sources = packed(module)
    text = _BEGIN.format(sources=sources, package=_FOLDER.name, module=module, asked=json.dumps(asked))
    return text.encode()


@functools.cache
def packed(module: str) -> bytes:
    """Return a module and all that it imports of this package: their sources by their full names, compressed."""
    own = {f"{_FOLDER.name}.{name}": source for name, source in sorted(_sources(module).items())}
    return base64.b64encode(zlib.compress(json.dumps({_FOLDER.name: "", **own}).encode()))


def _sources(module: str) -> dict[str, str]:
    """Return the source of a module and of all that it imports of this package, by their names."""
    found: dict[str, str] = {}
    wanted = {module}
    while wanted:
        name = wanted.pop()
        found[name] = (_FOLDER / f"{name}.py").read_text()
        for source, names in _IMPORTED.findall(found[name]):
            imported = (
                {source} if source else {each.split()[0] for each in names.strip("()").split(",") if each.strip()}
            )
            wanted |= imported - found.keys()
    return found
