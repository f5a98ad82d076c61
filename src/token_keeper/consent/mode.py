"""How a person is asked: through a browser here, through one elsewhere, or in two runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Literal

Mode = Literal["loopback", "paste", "two_step"]


def choose_mode(*, terminal: bool, environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Mode:
    """Return the mode that fits a machine.

    Args:
        terminal: whether there is somebody at a terminal who can be asked.
        environ: the environment; by default this process's.
        platform: as :data:`sys.platform`.

    Returns:
        ``loopback`` where a browser can be opened here: the environment variable BROWSER says so, or there is a desktop
        and this is no SSH session. Else ``paste`` with a terminal, and ``two_step`` without.
    """
    given = os.environ if environ is None else environ
    if given.get("BROWSER"):
        return "loopback"
    remote = bool(given.get("SSH_CONNECTION") or given.get("SSH_TTY"))
    desktop = platform in {"darwin", "win32"} or bool(given.get("DISPLAY") or given.get("WAYLAND_DISPLAY"))
    if desktop and not remote:
        return "loopback"
    return "paste" if terminal else "two_step"
