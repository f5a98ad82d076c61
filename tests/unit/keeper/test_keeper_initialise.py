"""The first owner and mode of a volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from token_keeper.errors import Conflict
from token_keeper.initialise import initialise


def snapshot(directory: Path) -> dict[str, tuple[int, int, int]]:
    paths = [directory, *directory.rglob("*")]
    return {str(path): (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode) for path in paths}


def test_an_empty_volume_gets_owner_mode_and_a_first_file(tmp_path: Path) -> None:
    outcome = initialise(tmp_path, name="token.json", uid=999, gid=998, mode=0o700)
    assert outcome.changed
    assert outcome.after == {"uid": 999, "gid": 998, "mode": "0700"}
    assert (tmp_path.stat().st_uid, tmp_path.stat().st_gid, tmp_path.stat().st_mode & 0o777) == (999, 998, 0o700)
    assert [path.name for path in tmp_path.iterdir()] == [".token-keeper"]
    assert not initialise(tmp_path, name="token.json", uid=999, gid=998, mode=0o700).changed


def test_a_dry_run_says_so_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("{}")
    before = snapshot(tmp_path)
    assert initialise(tmp_path, name="token.json", uid=999, gid=999, mode=0o700, dry_run=True).changed
    assert snapshot(tmp_path) == before


def test_a_document_of_another_owner_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "token.json").write_text("{}")
    (tmp_path / ".token.json.history").mkdir()
    (tmp_path / ".token.json.history" / "0123456789abcdef.json").write_text("{}")
    initialise(tmp_path, name="token.json", uid=999, gid=999, mode=0o700)
    assert {entry[:2] for entry in snapshot(tmp_path).values()} == {(999, 999)}
    assert (tmp_path / "token.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("dry_run", [False, True])
def test_somebody_elses_volume_is_left_alone(tmp_path: Path, dry_run: bool) -> None:
    (tmp_path / "pg").mkdir()
    (tmp_path / "pg" / "PG_VERSION").write_text("16")
    before = snapshot(tmp_path)
    with pytest.raises(Conflict, match="pg") as refused:
        initialise(tmp_path, name="token.json", uid=999, gid=999, mode=0o700, dry_run=dry_run)
    assert refused.value.reason == "ForeignContent"
    assert snapshot(tmp_path) == before
    assert initialise(tmp_path, name="token.json", uid=999, gid=999, mode=0o700, force=True, dry_run=dry_run).changed
