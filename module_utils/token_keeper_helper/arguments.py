"""Argument specifications that the token modules and their action plugins share, and checks that need no engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .engine import Engine
from .failure import ModuleFailure
from .helper import Helper, Outward
from .process import Runner

ArgumentSpec = dict[str, dict[str, Any]]

_VOLUME: Final[ArgumentSpec] = {
    "volume": {"type": "str", "required": True},
    "docker_cli": {"type": "str", "default": "docker"},
    "docker_host": {"type": "str"},
}
_HELPER: Final[ArgumentSpec] = {
    "image": {"type": "str"},
    "file": {"type": "str", "default": "token.json"},
    "uid": {"type": "int", "default": 999},
    "gid": {"type": "int", "default": 999},
}
_OUTWARD: Final[ArgumentSpec] = {
    "network": {"type": "str", "default": "bridge"},
    "environment": {"type": "dict", "default": {}},
    "ca_bundle": {"type": "str"},
}
_PROVIDER: Final[ArgumentSpec] = {
    "rotation": {"type": "str", "choices": ["yes", "no", "unknown"]},
    "reuse_grace": {"type": "float"},
}

TOKEN_VOLUME: Final[ArgumentSpec] = {
    **_VOLUME,
    **_HELPER,
    **_PROVIDER,
    "state": {"type": "str", "choices": ["present", "refreshed", "cleared", "absent"], "default": "present"},
    "mode": {"type": "str", "default": "0700"},
    "document": {"type": "dict", "no_log": True},
    "seen": {"type": "dict"},
    "expect": {"type": "int"},
    "force": {"type": "bool", "default": False},
    "expires_in": {"type": "float"},
    **_OUTWARD,
    "reason": {"type": "str", "default": "Cleared"},
}
TOKEN_VOLUME_CONSTRAINTS: Final[dict[str, Any]] = {
    "required_if": [
        ("state", "present", ("image",)),
        ("state", "refreshed", ("image",)),
        ("state", "cleared", ("image",)),
    ],
    "mutually_exclusive": [("expect", "force")],
    "required_by": {
        "expect": ("document",),
        "expires_in": ("document",),
        "rotation": ("document",),
        "reuse_grace": ("document",),
    },
}

TOKEN_VOLUME_INFO: Final[ArgumentSpec] = {
    **_VOLUME,
    **_HELPER,
    "image": {"type": "str", "required": True},
    "consumers": {"type": "bool", "default": False},
    "path": {"type": "str", "default": "/app/tokens"},
    "expect_generation": {"type": "int"},
    "expect_processes": {"type": "dict"},
    "heartbeat_urls": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 30.0},
    "project": {"type": "str"},
    "ready_url": {"type": "str"},
    "counter_url": {"type": "str"},
    "engine": {"type": "bool", "default": False},
}

TOKEN_STATUS_INFO: Final[ArgumentSpec] = {
    "tokens": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "volume": {"type": "str", "required": True},
            "file": {"type": "str", "default": "token.json"},
            "app": {"type": "bool", "default": False},
        },
    },
    "image": {"type": "str", "required": True},
    "uid": {"type": "int", "default": 999},
    "gid": {"type": "int", "default": 999},
    "path": {"type": "str", "default": "/app/tokens"},
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
    "heartbeat_urls": {"type": "list", "elements": "str", "default": []},
    "docker_cli": {"type": "str", "default": "docker"},
    "docker_host": {"type": "str"},
}

OAUTH_TOKEN: Final[ArgumentSpec] = {
    **_VOLUME,
    **_HELPER,
    **_PROVIDER,
    **_OUTWARD,
    "image": {"type": "str", "required": True},
    "consent": {"type": "str", "choices": ["auto", "loopback", "paste", "two_step", "none"], "default": "auto"},
    "answer": {"type": "raw", "no_log": True},
    "seen": {"type": "dict"},
    "stage": {"type": "bool", "default": False},
    "provider": {"type": "raw"},
    "client_secrets": {"type": "dict", "no_log": True},
    "client_secrets_file": {"type": "str", "no_log": False},
    "scopes": {"type": "list", "elements": "str", "required": True},
    "auth_uri": {"type": "str"},
    "token_uri": {"type": "str", "no_log": False},
    "consumer_token_uri": {"type": "str", "no_log": False},
    "issuer": {"type": "str"},
    "extra_params": {"type": "dict", "default": {}},
    "redirect_port": {"type": "int", "default": 0},
    "timeout": {"type": "float", "default": 300.0},
    "browser": {"type": "str"},
    "reconsent": {"type": "bool", "default": False},
    "account": {"type": "str"},
    "allow_http": {"type": "bool", "default": False},
}
OAUTH_TOKEN_CONSTRAINTS: Final[dict[str, Any]] = {
    "required_one_of": [("client_secrets", "client_secrets_file")],
    "mutually_exclusive": [("client_secrets", "client_secrets_file")],
}

_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_FILE_NAME: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.@+-]*")
_MODE: Final = re.compile(r"0?7[0-7]0")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# proxies are named with and without a scheme, and a token may stand without a colon; a full path may have what it likes
_CREDENTIALS: Final = re.compile(r"\s*(?!/[^/]).*@", re.DOTALL)
_MOUNTABLE: Final = re.compile(r"/[^,\n]+")


def engine_of(parameters: Mapping[str, Any], run: Runner) -> Engine:
    """Return the engine that a task's parameters name."""
    return Engine(run, parameters["docker_cli"], parameters["docker_host"])


def helper_of(parameters: Mapping[str, Any], run: Runner) -> Helper:
    """Return the helper that a task's parameters describe.

    Raises:
        ModuleFailure: a name could be taken for something else on the helper's command line.
    """
    check_names(parameters)
    return Helper(
        engine_of(parameters, run),
        parameters["image"],
        parameters["volume"],
        parameters["file"],
        parameters["uid"],
        parameters["gid"],
    )


def outward_of(parameters: Mapping[str, Any]) -> Outward:
    """Return the way to the provider that a task's parameters describe.

    Raises:
        ModuleFailure: a variable is none, or holds a password, or the certificates are not named by a full path. The
            message never quotes a value.
    """
    environment = parameters["environment"] or {}
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(str(name)) or not isinstance(value, str):
            raise usage(
                f"environment has {name!r}, which is not a variable's name with a text",
                'such as {HTTPS_PROXY: "http://proxy.example:3128", NO_PROXY: ".example"}, numbers in quotes',
            )
        if _CREDENTIALS.match(value):
            raise usage(
                f"the variable {name} in environment holds a name, a token or a password before an @, which everybody "
                "on the Docker host could read",
                "use a proxy that lets the Docker host pass without them",
            )
    bundle = parameters["ca_bundle"]
    if bundle and not _MOUNTABLE.fullmatch(bundle):
        raise usage(
            f"ca_bundle {bundle!r} is not the full path of a file that Docker can mount",
            "name a file on the Docker host, without a comma, such as /etc/ssl/certs/ca-certificates.crt",
        )
    return Outward(parameters["network"], environment, bundle or None)


def check_names(parameters: Mapping[str, Any]) -> None:
    """Check what can be checked before anything is run.

    Raises:
        ModuleFailure: ``UsageError`` with the option's name.
    """
    volume, file, mode = parameters["volume"], parameters["file"], parameters.get("mode", "0700")
    if not _VOLUME_NAME.fullmatch(volume):
        raise usage(
            f"{volume!r} is not the name of a Docker volume",
            "name a named volume such as token_data; a folder of the host is not one",
        )
    if not _FILE_NAME.fullmatch(file):
        raise usage(
            f"{file!r} is not the name of a file in the volume", "name a file such as token.json, without a folder"
        )
    if not _MODE.fullmatch(mode):
        raise usage(
            f"mode {mode!r} is not one for a token volume",
            'let the owner in and nobody outside the group, in quotes, such as "0700"',
        )


def usage(message: str, remedy: str) -> ModuleFailure:
    """Return the failure for options that do not make sense."""
    return ModuleFailure("UsageError", "OptionInvalid", message, remedy)
