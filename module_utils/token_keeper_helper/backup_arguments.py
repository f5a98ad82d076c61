"""Argument specifications of the modules that back a token up, put it back, and replace it."""

from __future__ import annotations

from typing import Any, Final

from .arguments import ArgumentSpec

_PLACE: Final[ArgumentSpec] = {
    "volume": {"type": "str", "required": True},
    "docker_cli": {"type": "str", "default": "docker"},
    "docker_host": {"type": "str"},
    "image": {"type": "str", "required": True},
    "file": {"type": "str", "default": "token.json"},
    "uid": {"type": "int", "default": 999},
    "gid": {"type": "int", "default": 999},
}

TOKEN_BACKUP: Final[ArgumentSpec] = {
    **_PLACE,
    "folder": {"type": "str", "required": True},
    "keep": {"type": "int", "default": 10},
    "always": {"type": "bool", "default": False},
}

TOKEN_RESTORE: Final[ArgumentSpec] = {
    **_PLACE,
    "mode": {"type": "str", "default": "0700"},
    "folder": {"type": "str", "required": True},
    "backup_file": {"type": "str", "default": ""},
    "force": {"type": "bool", "default": False},
}

TOKEN_DOCUMENT: Final[ArgumentSpec] = {
    **_PLACE,
    "mode": {"type": "str", "default": "0700"},
    "document_file": {"type": "str", "default": "-"},
    "timeout": {"type": "float", "default": 300.0},
    "force": {"type": "bool", "default": False},
}

NO_CONSTRAINTS: Final[dict[str, Any]] = {}
