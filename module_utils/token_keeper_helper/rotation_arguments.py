"""Argument specification of ``token_rotation``."""

from __future__ import annotations

from typing import Any, Final

from .arguments import TOKEN_VOLUME, ArgumentSpec

STEPS: Final = (
    "stage", "check", "promote", "watch", "retire", "unstage", "rollback", "reclient", "restore_client", "revoke",
)  # fmt: skip
"""What the module does; ``stage`` and ``reclient`` read a secret, and are the action plugin's alone."""

_REACH: Final = (
    "volume", "docker_cli", "docker_host", "image", "file", "uid", "gid", "network", "environment", "ca_bundle",
)  # fmt: skip

TOKEN_ROTATION: Final[ArgumentSpec] = {
    **{name: TOKEN_VOLUME[name] for name in _REACH},
    "image": {"type": "str", "required": True},
    "step": {"type": "str", "required": True, "choices": list(STEPS)},
    "document": {"type": "dict", "no_log": True},
    "expires_in": {"type": "float"},
    "client_secrets": {"type": "dict", "no_log": True},
    "client_secrets_file": {"type": "str", "no_log": False},
    "check_url": {"type": "str"},
    "tokeninfo": {"type": "bool", "default": False},
    "revocation_url": {"type": "str"},
    "revocation": {"type": "str", "choices": ["off", "token", "grant"], "default": "off"},
    "grant": {"type": "str"},
    "local": {"type": "bool", "default": False},
    "unchecked": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "path": {"type": "str", "default": "/app/tokens"},
    "expect_generation": {"type": "int"},
    "expect_processes": {"type": "dict"},
    "expect_containers": {"type": "dict"},
    "heartbeat_urls": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 30.0},
    "ready_url": {"type": "str"},
    "ready_seconds": {"type": "float", "default": 3.0},
}
TOKEN_ROTATION_CONSTRAINTS: Final[dict[str, Any]] = {
    "required_if": [
        ("step", "stage", ("document",)),
        ("step", "check", ("check_url",)),
        ("step", "rollback", ("grant",)),
        ("step", "reclient", ("client_secrets", "client_secrets_file"), True),
        ("step", "revoke", ("revocation_url", "local"), True),
        ("revocation", "token", ("revocation_url",)),
    ],
    "mutually_exclusive": [("client_secrets", "client_secrets_file")],
}
