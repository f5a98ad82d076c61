"""What happens around each endpoint that can fail: counting, latency, faults."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Response, g
from werkzeug.exceptions import HTTPException

from sandbox_provider.provider import Provider


def guarded(provider: Provider, endpoint: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for the views of ``endpoint`` (a name of ``faults.ENDPOINTS``)."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def guarded_view(*args: object, **kwargs: object) -> Any:
            with provider.database.transaction():
                provider.counters.add(f"requests.{endpoint}")
                latency = provider.settings.read().latency
                fault = provider.faults.take(endpoint)
                if fault is not None:
                    provider.counters.add("faults.fired")
            if latency:
                provider.stopping.wait(latency)
            if fault is None:
                return view(*args, **kwargs)
            g.fault = fault.kind
            if fault.when == "after":
                with suppress(HTTPException):
                    view(*args, **kwargs)
            response: Response = provider.faults.answer(fault)
            return response

        return guarded_view

    return decorate
