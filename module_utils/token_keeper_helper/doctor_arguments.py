"""Argument specification of ``token_doctor``."""

from __future__ import annotations

from typing import Final

from .arguments import TOKEN_VOLUME, TOKEN_VOLUME_INFO, ArgumentSpec

_REACH: Final = ("volume", "docker_cli", "docker_host", "file", "uid", "gid", "mode")

TOKEN_DOCTOR: Final[ArgumentSpec] = {
    **{name: TOKEN_VOLUME[name] for name in _REACH},
    "image": {"type": "str", "required": True},
    "path": TOKEN_VOLUME_INFO["path"],
    "heartbeat_urls": TOKEN_VOLUME_INFO["heartbeat_urls"],
    "project": {"type": "str"},
    "compose_file": {"type": "path"},
    "expected": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "service": {"type": "str", "required": True},
            "containers": {"type": "int", "default": 1},
            "processes": {"type": "int", "default": 0},
        },
    },
    "repair": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 90.0},
}
