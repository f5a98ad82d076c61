"""Opening the consent page in a browser, without ever waiting for that browser."""

from __future__ import annotations

import os
import threading
import webbrowser
from collections.abc import Callable

Opener = Callable[[str], bool]
"""Takes an address, returns whether it could be opened; may block as long as the browser runs."""

_IN_THE_TERMINAL = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})


def opener(command: str | None = None) -> Opener:
    """Return what opens an address.

    Args:
        command: what :func:`webbrowser.get` takes: a browser's name, or a command with ``%s`` for the address, and
            ``&`` as its last word to leave it running. Without it the environment variable BROWSER decides, then
            the desktop.
    """

    def open_address(url: str) -> bool:
        try:
            if command:
                return _named(command).open(url)
            if os.environ.get("BROWSER"):
                return webbrowser.open(url)
            browser = webbrowser.get()
            # found by itself, a browser for terminals would take over this one, and no consent page works in it
            return browser.basename not in _IN_THE_TERMINAL and browser.open(url)
        except (webbrowser.Error, OSError, ValueError):
            return False

    return open_address


def _named(command: str) -> webbrowser.BaseBrowser:
    try:
        return webbrowser.get(command)
    except webbrowser.Error:
        if "%s" in command:
            raise
        return webbrowser.get(f"{command} %s")


def open_in_background(open_address: Opener, url: str, on_failure: Callable[[], None]) -> None:
    """Open an address in a thread of its own and return at once.

    Args:
        open_address: what opens it.
        url: the address.
        on_failure: called in that thread when it could not be opened.
    """

    def run() -> None:
        try:
            opened = open_address(url)
        except Exception:
            # whatever it was, the address can still be opened by hand
            opened = False
        if not opened:
            on_failure()

    threading.Thread(target=run, name="consent-browser", daemon=True).start()
