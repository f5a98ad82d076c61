"""Blocking calls from asyncio code, in a bounded number of threads and for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from calendar_assistant.failures import Failure

_Result = TypeVar("_Result")


class BoundedCalls:
    """A pool of threads whose callers don't wait longer than they say.

    A call that is over its time goes on in its thread (Python can't stop it), so what is called has deadlines of
    its own; one that still waits for a thread is dropped.

    Args:
        name: what the calls reach, for messages, such as ``the token volume``.
        threads: how many calls run at once.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name.replace(" ", "-"))

    async def run(self, call: Callable[[], _Result], *, timeout: float) -> _Result:
        """Return what ``call`` returns.

        Raises:
            Failure: it took longer than ``timeout`` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except TimeoutError:
            raise Failure(
                "Overdue", "Timeout", f"{self._name} did not answer in {timeout:g} s", "try again", retry_after=2.0
            ) from None

    def close(self) -> None:
        """Drop waiting calls and let running ones end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
