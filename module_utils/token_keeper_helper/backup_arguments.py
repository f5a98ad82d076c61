"""Argument specifications of the actions that back a token up, put it back, replace it, and hand it out."""

from __future__ import annotations

from typing import Any, Final

from .arguments import TOKEN_VOLUME, TOKEN_VOLUME_INFO, ArgumentSpec

_REACH: Final = ("volume", "docker_cli", "docker_host", "image", "file", "uid", "gid")
_PLACE: Final[ArgumentSpec] = {name: TOKEN_VOLUME_INFO[name] for name in _REACH}

TOKEN_BACKUP: Final[ArgumentSpec] = {
    **_PLACE,
    "folder": {"type": "str", "required": True},
    "keep": {"type": "int", "default": 10},
    "always": {"type": "bool", "default": False},
}

TOKEN_RESTORE: Final[ArgumentSpec] = {
    **_PLACE,
    "mode": TOKEN_VOLUME["mode"],
    "folder": {"type": "str", "required": True},
    "backup_file": {"type": "str", "default": ""},
    "force": {"type": "bool", "default": False},
}

TOKEN_DOCUMENT: Final[ArgumentSpec] = {
    **_PLACE,
    "mode": TOKEN_VOLUME["mode"],
    "document_file": {"type": "str", "default": "-"},
    "timeout": {"type": "float", "default": 300.0},
    "force": {"type": "bool", "default": False},
}

TOKEN_REVEAL: Final[ArgumentSpec] = {
    **_PLACE,
    "to": {"type": "str", "default": ""},
    "force": {"type": "bool", "default": False},
}

NO_CONSTRAINTS: Final[dict[str, Any]] = {}
