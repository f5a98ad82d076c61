"""Whether an application goes on saying that it can serve."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from typing import Final

from ansible.module_utils.urls import open_url  # type: ignore[import-untyped]

from .heartbeats import is_here

_TIMEOUT: Final = 5.0
_PAUSE: Final = 0.25
_PATIENCE: Final = 2
"""Answers in a row that have to be bad: one alone may be a connection that was lost."""


def ask(url: str) -> str:
    """Ask once; returns why it is not ready, or an empty text."""
    try:
        with open_url(url, timeout=_TIMEOUT, use_proxy=not is_here(url), http_agent="token-keeper"):
            return ""
    except (OSError, ValueError, http.client.HTTPException) as error:
        # an HTTP error is an OSError too; an answer that is none of HTTP isn't
        code = getattr(error, "code", None)
        return f"it answered {code}" if code else str(getattr(error, "reason", None) or error)[:200]


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
