"""Every token of a host, and those who use each, in one look: what is wrong with one is a part of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from .arguments import TOKEN_VOLUME_INFO, helper_of
from .expected import missing
from .failure import ModuleFailure
from .process import Runner
from .survey import survey

_AT_ONCE: Final = 4
"""Each look is a container that starts, and some docker commands."""

_TOLD: Final = ("volume_exists", "status", "consumers", "silent")
_SHARED: Final = ("image", "uid", "gid", "path", "docker_cli", "docker_host")


def look_at_all(parameters: Mapping[str, Any], run: Runner) -> dict[str, Any]:
    """Look at every token that the parameters name, side by side.

    Args:
        parameters: a task's, as :data:`~.arguments.TOKEN_STATUS_INFO` has them.
        run: runs a command on the Docker host.

    Returns:
        The result of the module ``token_status_info``. What keeps one token from being looked at is its ``error``, and
        keeps no other.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tokens = list(pool.map(lambda token: _look(token, parameters, run), parameters["tokens"]))
    return {"changed": False, "tokens": tokens}


def _look(token: Mapping[str, Any], parameters: Mapping[str, Any], run: Runner) -> dict[str, Any]:
    asked = _asked(token, parameters)
    found: dict[str, Any] = {
        **{name: token[name] for name in ("name", "volume", "file", "app")},
        "volume_exists": None,
        "status": None,
        "consumers": [],
        "silent": [],
        "missing": [],
        "error": None,
    }
    try:
        looked = survey(helper_of(asked, run), asked)
    except ModuleFailure as failure:
        return {**found, "error": failure.as_result()["error"]}
    found.update({name: looked[name] for name in _TOLD})
    if token["app"]:
        found["missing"] = missing([consumer["service"] for consumer in looked["consumers"]], parameters["expected"])
    return found


def _asked(token: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``token_volume_info`` would be asked for this token.

    The pages of heartbeats tell which generation of the application's token a process uses. Of the other tokens they
    know nothing, so their consumers are judged by what is read in them.
    """
    asked = {name: option.get("default") for name, option in TOKEN_VOLUME_INFO.items()}
    asked.update({name: parameters[name] for name in _SHARED})
    asked.update(volume=token["volume"], file=token["file"], consumers=True)
    if token["app"]:
        reporting = {one["service"]: one["processes"] for one in parameters["expected"] if one["processes"] > 0}
        asked.update(heartbeat_urls=parameters["heartbeat_urls"], expect_processes=reporting)
    return asked
