"""What is declared of a provider can be changed without the document."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from keeper_parts import on_disk, tree
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.cli.main import main


def test_a_declaration_changes_nothing_but_itself(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    outcome = store.declare(rotation="yes", reuse_grace=30.0)
    assert (outcome.changed, outcome.generation) == (True, 1)
    assert outcome.before == {"rotation": "unknown", "reuse_grace": 0.0, "publishing": "unknown"}
    assert outcome.after == {"rotation": "yes", "reuse_grace": 30.0, "publishing": "unknown"}
    assert (store.status().rotation, store.status().reuse_grace) == ("yes", 30.0)
    assert on_disk(path) == document
    assert store.declare(reuse_grace=5.0).after == {"rotation": "yes", "reuse_grace": 5.0, "publishing": "unknown"}


def test_the_same_declaration_and_a_dry_run_leave_every_file_alone(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    store.replace(provider.grant(), rotation="no", reuse_grace=0.0)
    before = tree(path.parent)
    assert not store.declare(rotation="no", reuse_grace=0.0).changed
    assert not store.declare().changed
    announced = store.declare(rotation="yes", dry_run=True)
    assert (announced.changed, announced.after["rotation"]) == (True, "yes")
    assert tree(path.parent) == before


def test_the_verb_tells_before_and_after(path: Path) -> None:
    ran = CliRunner().invoke(main, ["--path", str(path), "policy", "--rotation=yes", "--reuse-grace=20", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output) == {
        "changed": True,
        "before": {"rotation": "unknown", "reuse_grace": 0.0, "publishing": "unknown"},
        "after": {"rotation": "yes", "reuse_grace": 20.0, "publishing": "unknown"},
        "generation": 0,
    }
