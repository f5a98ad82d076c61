"""What role doctor examines, and by what it makes containers again, where the application is not the kit's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[3]
SETTLED = {"uid": 1000, "gid": 1001, "file": "calendar.json", "expected": [{"service": "web", "containers": 3}]}


def defaults(**given: Any) -> dict[str, Any]:
    loader = DataLoader()
    known: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROOT / "roles" / "doctor" / part / "main.yml"), trusted_as_template=True)
    templar = Templar(loader, variables=known | given)
    names = ("file", "uid", "gid", "project", "compose_file", "expected", "heartbeat_urls")
    return {name: templar.template(trust_as_template(f"{{{{ doctor_{name} }}}}")) for name in names}


def test_the_kit_s_own_application() -> None:
    told = defaults()
    assert (told["file"], told["uid"], told["gid"]) == ("token.json", 999, 999)
    assert told["compose_file"] == "/opt/token-keeper/token-keeper/compose.yml"
    assert [one["service"] for one in told["expected"]] == ["api", "celery", "keeper"]
    assert len(told["heartbeat_urls"]) == 2


def test_an_application_of_one_s_own_is_examined_as_it_was_found() -> None:
    told = defaults(app_stack_project="theirs", app_stack_compose_dir="/srv/theirs", app_stack_settled=SETTLED)
    assert (told["file"], told["uid"], told["gid"], told["project"]) == ("calendar.json", 1000, 1001, "theirs")
    assert told["expected"] == SETTLED["expected"]
    assert told["heartbeat_urls"] == ["http://127.0.0.1:9401/consumers"]


@pytest.mark.parametrize("own", [{"app_stack_compose_dir": "/srv/theirs"}, {"app_stack_services": {"web": {}}}])
def test_one_that_is_started_from_several_files_is_not_made_from_the_first_of_them(own: dict[str, Any]) -> None:
    told = defaults(**own)
    assert told["compose_file"] == "", "without its override it would come up without the token"
    assert told["expected"] == []


def test_the_playbook_finds_it_before_the_doctor_looks() -> None:
    [_, play] = DataLoader().load_from_file(str(ROOT / "playbooks/doctor.yml"))
    roles = [(task["ansible.builtin.include_role"]["name"], task.get("vars", {})) for task in play["tasks"]]
    names = [name for name, _ in roles]
    assert names.index("app_stack") < names.index("doctor")
    assert dict(roles)["app_stack"] == {"__app_stack_lenient": True}, "it fetches nothing, and hides nothing"
