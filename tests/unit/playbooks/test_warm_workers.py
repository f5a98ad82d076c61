"""What workers find loaded, because the main process has loaded it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from types import SimpleNamespace
from ansible.plugins.loader import action_loader, init_plugin_loader
init_plugin_loader()
sys.path.insert(0, {root!r})
action_loader.add_directory({root!r} + "/plugins/action")
from plugins.callback.warm_workers import CallbackModule
before = set(sys.modules)
CallbackModule().v2_playbook_on_task_start(SimpleNamespace(action={action!r}), False)
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    ("action", "loaded"),
    [
        ("oauth_client", "token_keeper.consent"),
        ("oauth_token", "token_keeper.consent"),
        ("token_volume_info", ""),
        ("ansible.builtin.debug", ""),
        ("include_role", ""),
        ("no_such_action", ""),
    ],
)
def test_what_an_action_imports_late_is_there_before_its_workers(action: str, loaded: str) -> None:
    program = PROGRAM.format(root=str(ROOT), action=action)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    found = done.stdout.split()
    assert ("token_keeper.consent" in found) is bool(loaded)
