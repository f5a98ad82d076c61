"""A docker command that is not there: it answers what a test has told it, and remembers what it was asked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from module_utils.token_keeper_helper.engine import Engine
from module_utils.token_keeper_helper.helper import Helper
from module_utils.token_keeper_helper.process import Completed

ROOT = Path(__file__).resolve().parents[3]
Answer = Completed | Callable[[], Completed]


def said(answer: object) -> Completed:
    """What a command that succeeds prints as JSON."""
    return Completed(0, json.dumps(answer), "")


def printed(text: str) -> Completed:
    """What a command that succeeds prints as text."""
    return Completed(0, text, "")


def refused(code: int, stderr: str) -> Completed:
    """What a docker command that fails ends with."""
    return Completed(code, "", stderr)


def error(kind: str, reason: str, code: int) -> Completed:
    """What the helper's command ends with when it fails."""
    told = {"type": kind, "reason": reason, "message": "what happened", "remedy": "what to do"}
    return Completed(code, json.dumps({"error": told}), "")


@dataclasses.dataclass
class Docker:
    """Answers commands by the words in them; the last of several answers is kept."""

    answers: list[tuple[tuple[str, ...], list[Answer]]] = dataclasses.field(default_factory=list)
    calls: list[tuple[list[str], bytes | None]] = dataclasses.field(default_factory=list)

    def on(self, *words: str, answers: Sequence[Answer]) -> None:
        """Answer a command that has all these words; a later rule goes before an earlier one."""
        self.answers.insert(0, (words, list(answers)))

    def __call__(self, argv: Sequence[str], stdin: bytes | None = None) -> Completed:
        """Be the docker command."""
        self.calls.append((list(argv), stdin))
        for words, answers in self.answers:
            if all(word in argv for word in words):
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                return answer if isinstance(answer, Completed) else answer()
        raise AssertionError(f"nobody expected {argv}")

    def verbs(self) -> list[str]:
        """The verbs of the helpers that were run, with their options."""
        runs = [argv for argv, _ in self.calls if "run" in argv]
        return [" ".join(argv[argv.index("keeper:1") + 2 : -1]) for argv in runs]

    @property
    def engine(self) -> Engine:
        """An engine that is reached through this command."""
        return Engine(self)

    @property
    def helper(self) -> Helper:
        """A helper for the volume ``tokens`` on it."""
        return Helper(self.engine, "keeper:1", "tokens")

    def has_volume(self) -> None:
        """Let there be the volume ``tokens``."""
        self.on(
            "volume",
            "inspect",
            answers=[said([{"Name": "tokens", "Mountpoint": "/var/lib/docker/volumes/tokens/_data"}])],
        )

    def has_no_volume(self) -> None:
        """Let there be no volume."""
        self.on("volume", "inspect", answers=[refused(1, "Error response from daemon: get tokens: no such volume")])


def document(**changes: Any) -> dict[str, Any]:
    """Facts of a sound document."""
    return {
        "state": "sound",
        "settled": True,
        "fingerprint": "d" * 16,
        "content_fingerprint": "c" * 16,
        "access_token_fingerprint": "a" * 16,
        "refresh_token_fingerprint": "e" * 16,
        "client_fingerprint": "f" * 16,
        "token_uri": "https://provider.example/token",
        "scopes": ["calendar"],
        "account": "",
        "expiry": "2026-11-23T12:00:00Z",
        "expires_in": 3000,
        **changes,
    }


def status(generation: int = 3, **changes: Any) -> dict[str, Any]:
    """Status of an initialised volume with a sound document."""
    return {
        "path": "/app/tokens/token.json",
        "volume": {"uid": 999, "gid": 999, "mode": "0700", "writable": True, "filesystem": "ext4"},
        "document": document(),
        "generation": generation,
        "grant": "g1",
        "exchanges": 5,
        "failures": 0,
        "cooldown_until": None,
        "rotation": "unknown",
        "reuse_grace": 0.0,
        "conditions": [],
        "healthy": True,
        **changes,
    }


NOTHING = {"state": "missing", "reason": "NoDocument", "message": "there is no token"}
FRESH = {"uid": 0, "gid": 0, "mode": "0755", "writable": False, "filesystem": "ext4"}
