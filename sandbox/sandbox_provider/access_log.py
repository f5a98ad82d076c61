"""The access log: method, path, status, milliseconds; never a query, a header or a body."""

from __future__ import annotations

import logging
import time
from typing import Final
from urllib.parse import quote

from flask import Flask, Response, g, request

from sandbox_provider.faults import SILENT

_LOG: Final = logging.getLogger("sandbox_provider.access")


def log_requests(app: Flask) -> None:
    """Let ``app`` write one line for each request."""

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def finish(response: Response) -> Response:
        milliseconds = (time.perf_counter() - g.started) * 1000
        fault = f" fault={g.fault}" if "fault" in g else ""
        status = "-" if g.get("fault") in SILENT else response.status_code
        # quoted again: the path arrives decoded, and a line break in it would forge a line here
        path = quote(request.path, safe="/:@!$&'()*+,;=~")
        _LOG.info("%s %s %s %.1f ms%s", request.method, path, status, milliseconds, fault)
        return response
