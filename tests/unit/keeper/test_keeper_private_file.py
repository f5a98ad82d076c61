"""A file for a secret: there whole or not at all, for its owner alone, and never in the place of another one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from token_keeper.errors import StorageError
from token_keeper.private_file import PrivateFile


def private(target: Path, *, force: bool = False) -> PrivateFile:
    return PrivateFile(target, force, "--output", "--force", "run it again")


@pytest.mark.parametrize("force", [False, True])
def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "token.json"
    private(target, force=force).write(b"one")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"one\n", 0o600)
    if not force:
        with pytest.raises(StorageError) as caught:
            private(target).write(b"other")
        assert caught.value.reason == "FileExists"
        assert target.read_bytes() == b"one\n"
    assert list(tmp_path.iterdir()) == [target]


def test_where_everybody_may_read_nobody_is_asked_to_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = os.open

    def careless(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        descriptor = make(path, flags, mode, **options)
        if flags & os.O_CREAT:
            os.fchmod(descriptor, 0o755)
        return descriptor

    monkeypatch.setattr(os, "open", careless)
    with pytest.raises(StorageError) as caught:
        private(tmp_path / "token.json").require()
    assert caught.value.reason == "NotPrivate"
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_neither_followed_nor_taken_for_a_place_that_is_free(tmp_path: Path) -> None:
    elsewhere, target = tmp_path / "elsewhere", tmp_path / "token.json"
    target.symlink_to(elsewhere)
    with pytest.raises(StorageError) as caught:
        private(target).require()
    assert (caught.value.reason, "--force" in caught.value.remedy) == ("FileExists", True)
    with pytest.raises(StorageError):
        private(target).write(b"one")
    private(target, force=True).write(b"two")
    assert (target.is_symlink(), target.read_bytes(), elsewhere.exists()) == (False, b"two\n", False)
