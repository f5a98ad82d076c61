"""One GET for a JSON object: bounded in time and size, without redirects, and with nobody's password."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

_MAX_BODY: Final = 1_048_576


class FetchFailed(Exception):
    """There is no answer; the message says why, as the rest of a sentence that begins with the address."""


def fetch_json(
    url: str, *, deadline: float, headers: Mapping[str, str] | None = None, parameters: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Return the status and the decoded body, ``None`` where that is no JSON.

    Args:
        url: the address.
        deadline: seconds for all of it.
        headers: further headers, which may be secret.
        parameters: query parameters, which may be secret.

    Raises:
        FetchFailed: nothing came, not all of it came in time, or it is larger than a megabyte.
    """
    results: queue.SimpleQueue[tuple[int, bytes] | str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            results.put(_get(url, deadline, headers or {}, parameters or {}))
        except FetchFailed as error:
            results.put(str(error))
        except Exception as error:
            # its text may quote the request
            results.put(f"can't be reached ({type(error).__name__})")

    # in a thread, because a server that sends a byte now and then keeps to every other limit of time
    threading.Thread(target=ask, name="consent-fetch", daemon=True).start()
    try:
        result = results.get(timeout=deadline)
    except queue.Empty:
        raise _late(deadline) from None
    if isinstance(result, str):
        raise FetchFailed(result)
    status, body = result
    try:
        return status, json.loads(body)
    except (ValueError, RecursionError):
        return status, None


def _get(url: str, deadline: float, headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[int, bytes]:
    import requests  # noqa: PLC0415 - it takes 0.2 s, which the other parts of consent need not pay

    end = time.monotonic() + deadline
    with requests.Session() as session:
        # else requests looks for a password in ~/.netrc; proxies and certificates still come from the environment
        session.auth = lambda request: request
        with session.get(
            url,
            params=parameters,
            headers={"Accept": "application/json", **headers},
            # nobody waits any longer than the deadline; this ends the thread
            timeout=2 * deadline,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = bytearray()
            for part in response.iter_content(8192):
                body += part
                if len(body) > _MAX_BODY:
                    raise FetchFailed(f"sent more than {_MAX_BODY} bytes")
                if time.monotonic() > end:
                    raise _late(deadline)
            return response.status_code, bytes(body)


def _late(deadline: float) -> FetchFailed:
    return FetchFailed(f"gave no complete answer within {round(deadline, 1):g} s")
