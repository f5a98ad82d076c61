"""Several documents, of one volume or of several, kept by one process: a keeper for each, in a thread of its own.

They share nothing but the process: each has its own role, back-off and log lines. One whose provider does not answer
delays no other, except that documents of one volume share that volume's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, Final

from token_keeper.errors import TokenKeeperError
from token_keeper.keeper.daemon import Keeper

Answer = Callable[[], tuple[bool, dict[str, Any]]]


class SeveralKeepers:
    """Keeps several documents fresh.

    Args:
        keepers: one for each document; the first is the one whose heartbeat is told where nobody says which is meant.
    """

    def __init__(self, keepers: Sequence[Keeper]) -> None:
        self._keepers: Final = list(keepers)

    def run(self) -> None:
        """Work until :meth:`stop` is called. Where one fails as nobody foresaw, all end, and that is raised."""
        with ThreadPoolExecutor(len(self._keepers), thread_name_prefix="keeper") as threads:
            running = [threads.submit(keeper.run) for keeper in self._keepers]
            try:
                wait(running, return_when=FIRST_COMPLETED)
            finally:
                self.stop()
        for each in running:
            each.result()

    def stop(self) -> None:
        """Have :meth:`run` return; may be called from a signal handler."""
        for keeper in self._keepers:
            keeper.stop()

    def healthy(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether every loop turns."""
        return _together({keeper.path: keeper.healthy for keeper in self._keepers}, "healthy")

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether the consumers of every document can work."""
        return _together({keeper.path: keeper.ready for keeper in self._keepers}, "ready")

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Tell which generation of the first document was seen, as a page of heartbeats is of one document."""
        return self._keepers[0].report()


def _together(answers: Mapping[str, Answer], word: str) -> tuple[bool, dict[str, Any]]:
    documents = {path: _asked(answer, word) for path, answer in answers.items()}
    return all(facts[word] for facts in documents.values()), {"documents": documents}


def _asked(answer: Answer, word: str) -> dict[str, Any]:
    try:
        well, facts = answer()
    except TokenKeeperError as error:
        return {word: False, "error": error.as_dict()}
    return {**facts, word: well}
