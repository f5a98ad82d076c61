"""Secrets of an application, such as a model's key: each service finds its own as files in a small volume."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .arguments import usage
from .engine import HELPER_LABEL, Engine
from .engine_errors import engine_failure, last_line
from .failure import ModuleFailure

APP_SECRETS: Final[dict[str, dict[str, Any]]] = {
    "secrets": {"type": "dict", "required": True, "no_log": True},
    "volumes": {"type": "list", "elements": "dict", "required": True},
    "image": {"type": "str", "required": True},
    "owner": {"type": "str", "required": True},
    "docker_cli": {"type": "str", "default": "docker"},
}
VOLUME_LABEL: Final = "io.token-keeper.role=secrets"
_FOLDER: Final = "/secrets"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MODE: Final = re.compile(r"0?[46][04]0")
_VOLUME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def deliver(engine: Engine, script: str, parameters: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Bring every service's secrets into its volume, on the helper's stdin.

    Args:
        engine: where the volumes are.
        script: the program that writes them, ``secret_files.py``.
        parameters: a task's, as :data:`APP_SECRETS` has them.
        check_mode: change nothing.

    Returns:
        changed, the names of the secrets that changed by volume, and each volume's revision. No value, and no
        fingerprint: a password may be short enough to be guessed by it.

    Raises:
        ModuleFailure: a secret is none, or the engine refused.
    """
    wanted = [_files(parameters["secrets"], volume) for volume in parameters["volumes"]]
    if not check_mode:
        for volume in parameters["volumes"]:
            _check_owner(volume)
    revisions, news = {}, {}
    for volume, files in zip(parameters["volumes"], wanted):  # noqa: B905 - Python 3.9 has no strict
        name = str(volume["volume"])
        if engine.volume(name) is None or volume["uid"] is None:
            if check_mode:
                revisions[name], news[name] = 1, sorted(files)
                continue
            _create(engine, name, parameters["owner"])
        order = {"files": files, "uid": volume["uid"], "gid": volume["gid"], "dry_run": check_mode}
        told = _written(engine, parameters["image"], name, script, json.dumps(order).encode())
        revisions[name] = int(told["revision"])
        if told["changed"] or told["gone"]:
            news[name] = [*told["changed"], *(f"-{one}" for one in told["gone"])]
    listed = "".join(f"{volume}: {', '.join(names)}\n" for volume, names in news.items())
    return {
        "changed": bool(news),
        "replaced": news,
        "revisions": revisions,
        "diff": {"before": "", "after": listed, "after_header": "secrets that change, by volume"},
    }


def _files(secrets: Mapping[str, Any], volume: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    if not _VOLUME.fullmatch(str(volume["volume"])):
        raise usage(f"{volume['volume']!r} is not the name of a Docker volume", "correct the project's name")
    return {str(name): _file(str(name), secrets[name]) for name in volume["names"]}


def _check_owner(volume: Mapping[str, Any]) -> None:
    """In check mode the image that says so may not be there yet."""
    if volume["uid"] is None or volume["gid"] is None:
        raise usage(f"nobody knows whose the secrets in {volume['volume']} are", "have the service's image on the host")


def _file(name: str, secret: Mapping[str, Any]) -> dict[str, str]:
    """Return one secret as the helper takes it; a message names it and never shows it."""
    if not _NAME.fullmatch(name):
        raise usage(f"app_stack_secrets has {name!r}, which is not a file's name", "such as llm_api_key")
    value, mode = secret.get("value"), str(secret.get("mode") or "0400")
    if not isinstance(value, str) or not value:
        raise usage(f"app_stack_secrets: {name} has no value, or one that is no text", "encrypt it with ansible-vault")
    if not _MODE.fullmatch(mode):
        raise usage(f"app_stack_secrets: the mode {mode} of {name} lets others read it", 'such as "0400", in quotes')
    return {"value": value, "mode": mode}


def _create(engine: Engine, name: str, owner: str) -> None:
    labels = [f"--label={VOLUME_LABEL}", f"--label=io.token-keeper.project={owner}"]
    made = engine.docker("volume", "create", *labels, name)
    if made.exit_code != 0:
        raise _refused(name, made.stderr)


def _written(engine: Engine, image: str, volume: str, script: str, stdin: bytes) -> dict[str, Any]:
    completed = engine.docker(*_argv(image, volume, script), stdin=stdin)
    if completed.exit_code == 0:
        told: dict[str, Any] = json.loads(completed.stdout)
        return told
    raise engine_failure(completed, engine.where, image=image, volume=volume) or _refused(volume, completed.stderr)


def _argv(image: str, volume: str, script: str) -> Sequence[str]:
    return [
        "run",
        "--rm",
        "--interactive",
        "--pull=never",
        "--log-driver=none",
        "--read-only",
        "--cap-drop=ALL",
        "--cap-add=CHOWN",
        "--cap-add=DAC_READ_SEARCH",
        "--security-opt=no-new-privileges",
        "--network=none",
        "--user=0:0",
        "--pids-limit=64",
        "--memory=128m",
        f"--label={HELPER_LABEL}",
        f"--mount=type=volume,source={volume},target={_FOLDER},volume-nocopy",
        "--entrypoint=python",
        image,
        "-I",
        "-c",
        script,
        _FOLDER,
    ]


def _refused(volume: str, stderr: str) -> ModuleFailure:
    return ModuleFailure(
        "VolumeError",
        "SecretsNotWritten",
        f"the secrets could not be written into the volume {volume}: {last_line(stderr)}",
        "correct what it names, then run the play again",
    )
