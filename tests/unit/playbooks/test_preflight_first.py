"""Every playbook says first which inventory it runs on, and stops where it could not do its work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
# A part of others, and one that has nothing to do with an inventory: the engine that the demo started
OTHERS = {"preflight.yml", "preflight_answering.yml", "engine_stop.yml"}


@pytest.mark.parametrize("name", sorted(path.name for path in PLAYBOOKS.glob("*.yml") if path.name not in OTHERS))
def test_a_playbook_begins_with_the_preflight(name: str) -> None:
    first = yaml.safe_load((PLAYBOOKS / name).read_text())[0]
    assert "preflight.yml" in first["ansible.builtin.import_playbook"]
