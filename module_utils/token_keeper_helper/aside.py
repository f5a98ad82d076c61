"""One thing is asked while another one runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Asks at once, in a thread of its own; whoever needs the answer waits for it.

    Args:
        question: what is asked; what it raises is raised by :meth:`answer`.
    """

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._answer: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self) -> T:
        """Return the answer, as soon as it is there.

        Raises:
            Exception: what the question raised.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def _run(self) -> None:
        try:
            self._answer.append(self._question())
        except BaseException as error:  # raised again where it is waited for
            self._error = error
