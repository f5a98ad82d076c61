"""What the tests of the store look at: the files of a volume, and documents in every condition."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.clock import Instant, Span
from token_keeper.document import expiry_after
from token_keeper.state import State


def state_path(path: Path) -> Path:
    return path.parent / f".{path.name}.state"


def state_of(path: Path) -> State:
    state = State.parse(state_path(path).read_bytes())
    assert state is not None, "the state is not sound"
    return state


def edit_state(path: Path, **changes: Any) -> None:
    fields = json.loads(state_path(path).read_text()) | changes
    state_path(path).write_text(json.dumps(fields))
    state_of(path)


def pendings(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f".{path.name}.pending.*"))


def events_of(path: Path) -> list[str]:
    log = path.parent / f".{path.name}.events"
    return [json.loads(line)["event"] for line in log.read_text().splitlines()] if log.exists() else []


def on_disk(path: Path) -> TokenDocument:
    return TokenDocument.parse(path.read_bytes())


def expired(document: TokenDocument) -> TokenDocument:
    return document.with_expires_in(-10, time.time())


def ending(document: TokenDocument) -> TokenDocument:
    """A document whose token is usable, and due to be renewed: an old file whose token ends in two minutes."""
    return document.with_expires_in(120, time.time())


def renewed(document: TokenDocument, token: str, *, seconds: float = 3600, refresh_token: str = "") -> TokenDocument:
    return dataclasses.replace(
        document,
        token=token,
        refresh_token=refresh_token or document.refresh_token,
        expiry=expiry_after(seconds, time.time()),
    )


def write_in_place(path: Path, document: TokenDocument, mode: int = 0o644) -> None:
    """Rewrite the file as an unmodified app does: truncated in place, without a lock."""
    path.write_text(document.to_json())
    path.chmod(mode)


def make_old(path: Path) -> None:
    """Let it look as if the token had been issued an hour ago."""
    os.utime(path, (time.time() - 3500,) * 2)
    if not state_path(path).exists():
        return
    state = state_of(path)
    if state.token_life is not None:
        begin = earlier(state.token_life.begin, 3500)
        edit_state(path, token_life=dataclasses.asdict(Span(begin, state.token_life.seconds + 3500)))


def earlier(instant: Instant, seconds: float) -> Instant:
    """The moment that was so many seconds before."""
    uptime = None if instant.uptime is None else instant.uptime - seconds
    return Instant(instant.wall - seconds, instant.boot, uptime)


def push(store: TokenStore, document: TokenDocument, **options: Any) -> int:
    generation = store.replace(document, **options).generation
    make_old(store.path)
    return generation


def tree(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything that a change of a folder would show in: names, bytes, owners, modes and times."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = fingerprint(path.read_bytes()) if path.is_file() and not path.is_symlink() else None
        found[str(path)] = (
            status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ctime_ns, content
        )  # fmt: skip
    return found
