"""Whether an application says that it can serve, and goes on saying so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, Final

from . import pages

_TIMEOUT: Final = 5.0
_PAUSE: Final = 0.25
_PATIENCE: Final = 2
"""Answers in a row that have to be bad: one alone may be a connection that was lost."""
_MAX_FAILED: Final = 20
_MAX_WORDS: Final = 300


def ask(url: str) -> str:
    """Ask once; returns why it is not ready, or an empty text."""
    return pages.ask(url, _TIMEOUT).why


def look(url: str) -> dict[str, Any]:
    """Ask once, and read which of its checks failed.

    Returns:
        status: the HTTP status, -1 without an answer.
        failed: the messages of the checks that did, where the page lists them as the reference application does:
            ``{"checks": [{"ok": false, "message": TEXT}]}``.
        why: why there is no answer, or what the status says; empty for 2xx.
    """
    page = pages.ask(url, _TIMEOUT)
    return {"status": page.status, "failed": _failed(page.body), "why": page.why}


def _failed(body: bytes) -> list[str]:
    try:
        checks = json.loads(body)["checks"]
        return [str(check["message"])[:_MAX_WORDS] for check in checks if not check["ok"]][:_MAX_FAILED]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []  # another application's page, which says it by its status alone


class Readiness:
    """Asks again and again, until it is stopped or has fallen.

    Args:
        url: a page that answers 2xx while the application is ready; ``None`` asks nothing.
        once: asks once; for tests.
    """

    def __init__(self, url: str | None, once: Callable[[str], str] = ask) -> None:
        self._url = url
        self._once = once
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.obstacle = ""
        """Why it is not ready any more; empty as long as it is."""

    def __enter__(self) -> Readiness:
        if self._url:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._url:
            self._thread.join()

    def wait(self, seconds: float) -> str:
        """Wait so long, or until it has fallen; returns the obstacle."""
        if self._url and seconds > 0:
            self._thread.join(seconds)
        return self.obstacle

    def _run(self) -> None:
        bad = 0
        while not self._over.is_set():
            try:
                why = self._once(str(self._url))
            except Exception as error:  # whatever it is, nobody knows that it is ready
                why = f"it could not be asked ({type(error).__name__})"
            bad = bad + 1 if why else 0
            if bad >= _PATIENCE:
                self.obstacle = f"{self._url} is not ready any more: {why}"
                return
            self._over.wait(_PAUSE)
