"""The override that gives somebody's application its token, and what Compose makes of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

PLUGIN = Path(__file__).resolve().parents[3] / "roles/app_stack/filter_plugins/app_override.py"


@pytest.fixture(scope="module")
def filters() -> ModuleType:
    """Return the plugin, which lies where Ansible looks for it and not on Python's path."""
    spec = importlib.util.spec_from_file_location("app_override", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def service(**more: Any) -> dict[str, Any]:
    plain = {
        "uid": 5,
        "gid": 6,
        "containers": 1,
        "volumes": [],
        "tmpfs": [],
        "networks": ["default"],
        "network_mode": "",
    }
    return {**plain, "secrets": False, **more}


def found(**services: dict[str, Any]) -> dict[str, Any]:
    return {
        "services": services,
        "consumers": list(services),
        "all_services": [*services, "db"],
        "directory": "/app/tokens",
        "file": "token.json",
    }


def wishes(**more: Any) -> dict[str, Any]:
    plain = {"volume": "token_data", "network": "egress", "environment": {}, "users": {}, "hardening": {}}
    return {**plain, "attach": False, "keeper": {}, "secrets": {}, "given": {}, **more}


TOKEN = {"type": "volume", "source": "token-keeper-token", "target": "/app/tokens", "volume": {"nocopy": True}}


def test_one_mount_is_all_that_an_application_gets_by_itself(filters: ModuleType) -> None:
    made = filters.override(found(web=service()), wishes())
    assert made == {
        "services": {"web": {"volumes": [TOKEN]}},
        "volumes": {"token-keeper-token": {"name": "token_data", "external": True}},
    }


def test_a_mount_in_the_same_place_is_left_to_compose_to_replace(filters: ModuleType) -> None:
    theirs = [
        {"type": "bind", "source": "/srv/tokens", "target": "/app/tokens/"},
        {"type": "volume", "target": "/data"},
    ]
    made = filters.override(found(web=service(volumes=theirs)), wishes())
    assert made["services"]["web"]["volumes"] == [TOKEN]
    assert "!override" not in filters.text(made, "head")


def test_a_file_that_is_bound_over_the_token_goes_and_all_else_stays(filters: ModuleType) -> None:
    data = {"type": "volume", "source": "data", "target": "/data", "volume": {}}
    theirs = [{"type": "bind", "source": "/srv/token.json", "target": "/app/tokens/token.json"}, data]
    made = filters.override(found(web=service(volumes=theirs)), wishes())
    assert list(made["services"]["web"]["volumes"]) == [data, TOKEN]
    assert "volumes: !override\n" in filters.text(made, "head")


@pytest.mark.parametrize("target", ["/app/tokens", "/app/tokens/token.json", "/elsewhere/token.json"])
def test_who_has_only_read_the_token_only_reads_it(filters: ModuleType, target: str) -> None:
    theirs = {"type": "bind", "source": "/srv/tokens", "target": target}
    reads, writes = service(volumes=[{**theirs, "read_only": True}]), service(volumes=[theirs])
    made = filters.override(found(web=reads, worker=writes), wishes())["services"]
    assert list(made["web"]["volumes"]) == [{**TOKEN, "read_only": True}]
    assert list(made["worker"]["volumes"]) == [TOKEN]


def test_memory_in_that_place_goes(filters: ModuleType) -> None:
    made = filters.override(found(web=service(tmpfs=["/app/tokens:size=1m", "/run"])), wishes())
    assert made["services"]["web"]["tmpfs"] == ["/run"]
    assert "tmpfs: !override\n" in filters.text(made, "head")


def test_the_network_comes_beside_those_that_are_there(filters: ModuleType) -> None:
    made = filters.override(found(web=service(), api=service(networks=["front"])), wishes(attach=True))
    assert made["services"]["web"]["networks"] == {"default": None, "token-keeper-egress": None}
    assert made["services"]["api"]["networks"] == {"front": None, "token-keeper-egress": None}
    host = filters.override(found(web=service(networks=[], network_mode="host")), wishes(attach=True))
    assert "networks" not in host["services"]["web"]


def test_hardening_is_what_was_asked_for(filters: ModuleType) -> None:
    asked = {"*": ["no_new_privileges"], "web": ["cap_drop", "read_only", "tmp"]}
    made = filters.override(found(web=service(), worker=service()), wishes(hardening=asked))["services"]
    assert made["worker"] == {"security_opt": ["no-new-privileges:true"], "volumes": [TOKEN]}
    assert (made["web"]["cap_drop"], made["web"]["read_only"]) == (["ALL"], True)
    assert "security_opt" not in made["web"]


@pytest.mark.parametrize(
    "theirs", [{"tmpfs": ["/tmp:size=1m"]}, {"volumes": [{"type": "bind", "source": "/srv/tmp", "target": "/tmp/"}]}]
)
def test_a_place_for_temporary_files_of_their_own_is_kept(filters: ModuleType, theirs: dict[str, Any]) -> None:
    """The engine refuses two mounts at one path."""
    known = found(web=service(**theirs), worker=service(tmpfs=["/tmp/deep"]))
    made = filters.override(known, wishes(hardening={"*": ["tmp"]}))["services"]
    assert "tmpfs" not in made["web"]
    assert made["worker"]["tmpfs"] == ["/tmp:mode=1777,size=64m"]


SECRETS = {
    "db_password": {"value": "canary", "services": ["db", "web"], "env": "DB_PASSWORD_FILE"},
    "key": {"value": "canary", "services": ["web"]},
}


def test_each_service_mounts_its_own_secrets_read_only(filters: ModuleType) -> None:
    mounts = filters.secret_mounts(SECRETS, "theirs", "/run/secrets")
    assert "canary" not in str(mounts)
    mounts = filters.revised(mounts, {"theirs_secrets_web": 3})
    known = {**found(web=service(), db=service(uid=0, gid=0)), "consumers": ["web"]}
    made = filters.override(known, wishes(secrets=mounts))
    web, db = made["services"]["web"], made["services"]["db"]
    assert [mount["target"] for mount in web["volumes"]] == ["/app/tokens", "/run/secrets"]
    assert [(mount["target"], mount["read_only"]) for mount in db["volumes"]] == [("/run/secrets", True)]
    assert web["environment"] == db["environment"] == {"DB_PASSWORD_FILE": "/run/secrets/db_password"}
    assert web["labels"] == {"io.token-keeper.secrets": "3"}
    assert made["volumes"]["token-keeper-secrets-db"] == {"name": "theirs_secrets_db", "external": True}
    assert filters.secret_volumes(mounts, known) == [
        {"volume": "theirs_secrets_db", "names": ["db_password"], "uid": 0, "gid": 0},
        {"volume": "theirs_secrets_web", "names": ["db_password", "key"], "uid": 5, "gid": 6},
    ]


def test_a_dollar_stays_a_dollar(filters: ModuleType) -> None:
    made = filters.override(found(web=service()), wishes(environment={"PATTERN": "^a$"}))
    assert yaml.safe_load(filters.text(made, "head"))["services"]["web"]["environment"] == {"PATTERN": "^a$$"}
    assert filters.definition({"web": {"command": ["$HOME"]}}) == {"services": {"web": {"command": ["$$HOME"]}}}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"keeper": {"db": {}}}, "a service db of its own"),
        ({"hardening": {"*": ["armour"]}}, "app_stack_hardening has armour, which is none of no_new_privileges"),
        ({"hardening": {"db": []}}, "names db, which does not get the token (web do)"),
    ],
)
def test_what_cannot_be_is_said(filters: ModuleType, wanted: dict[str, Any], said: str) -> None:
    (problem,) = filters.problems(found(web=service()), wishes(**wanted))
    assert said in problem


def test_secrets_of_their_own_in_that_folder_are_not_covered(filters: ModuleType) -> None:
    theirs = found(web=service(secrets=True))
    for target, number in (("/run/secrets", 1), ("/run/kit", 0)):
        mounts = filters.secret_mounts({"key": {"value": "x", "services": ["web"]}}, "theirs", target)
        assert len(filters.problems(theirs, wishes(secrets=mounts))) == number


@pytest.mark.parametrize(
    ("theirs", "number"),
    [
        ({"volumes": [{"type": "bind", "source": "/srv/s", "target": "/run/secrets/"}]}, 1),
        ({"volumes": [{"type": "bind", "source": "/srv/s/db", "target": "/run/secrets/db"}]}, 1),
        ({"tmpfs": ["/run/secrets:size=1m"]}, 1),
        ({"volumes": [{"type": "volume", "source": "s", "target": "/run/secrets2"}], "tmpfs": ["/run"]}, 0),
    ],
)
def test_what_they_mount_in_that_folder_is_not_covered(
    filters: ModuleType, theirs: dict[str, Any], number: int
) -> None:
    mounts = filters.secret_mounts({"key": {"value": "x", "services": ["web"]}}, "theirs", "/run/secrets")
    problems = filters.problems(found(web=service(**theirs)), wishes(secrets=mounts))
    assert len(problems) == number
    assert all("put the kit's elsewhere with app_stack_secrets_path" in problem for problem in problems)


@pytest.mark.parametrize(
    ("address", "port", "meets"),
    [
        ("", "9401", True),
        ("0.0.0.0", "9400-9405", True),
        ("127.0.0.1", "9401", True),
        ("10.0.0.1", "9401", False),
        ("", "9402-9405", False),
    ],
)
def test_a_port_that_a_service_publishes_is_not_the_keeper_s(
    filters: ModuleType, address: str, port: str, meets: bool
) -> None:
    theirs = {**found(web=service()), "published": {"prom": [{"address": address, "port": port}]}}
    asked = {"keeper": {"keeper": {}}, "keeper_address": {"bind": "127.0.0.1", "port": 9401}}
    problems = filters.problems(theirs, wishes(**asked))
    assert [problem.split(":")[0] for problem in problems] == (
        ["prom publishes port 9401 of the host, which the keeper would too"] if meets else []
    )
    assert filters.problems(theirs, wishes(**{**asked, "keeper": {}})) == []


@pytest.mark.parametrize("given", ["canary", {"value": "canary"}, {"value": "canary", "services": "web"}, None])
def test_a_secret_for_nobody_is_named_and_not_shown(filters: ModuleType, given: Any) -> None:
    """The value alone is what one writes first."""
    secrets = {"key": given, "good": {"value": "x", "services": ["web"]}}
    mounts = filters.secret_mounts(secrets, "theirs", "/run/kit")
    assert {name: one["names"] for name, one in mounts.items()} == {"web": ["good"]}
    (problem,) = filters.problems(found(web=service()), wishes(secrets=mounts, given=secrets))
    assert "app_stack_secrets: key names no list of services" in problem
    assert "canary" not in problem


def test_those_that_have_containers_are_expected_and_the_keeper_reports(filters: ModuleType) -> None:
    expected = filters.expected(found(web=service(containers=2), off=service(containers=0)), "keeper")
    assert expected == [
        {"service": "web", "containers": 2, "processes": 0},
        {"service": "keeper", "containers": 1, "processes": 1},
    ]
    assert filters.expected(found(), "") == []


def test_the_file_that_was_the_token_is_found(filters: ModuleType) -> None:
    folder = {"type": "bind", "source": "/srv/creds", "target": "/app/tokens"}
    alone = {"type": "bind", "source": "/srv/token.json", "target": "/app/token.json"}
    other = {"type": "volume", "source": "data", "target": "/app/tokens"}
    assert filters.old_files(found(web=service(volumes=[folder]))) == ["/srv/creds/token.json"]
    assert filters.old_files(found(web=service(volumes=[alone]), worker=service(volumes=[alone]))) == [
        "/srv/token.json"
    ]
    assert filters.old_files(found(web=service(volumes=[folder]), worker=service(volumes=[alone]))) == [
        "/srv/creds/token.json",
        "/srv/token.json",
    ]
    assert filters.old_files(found(web=service(volumes=[other]))) == []


def member(service: str, number: int, status: str) -> list[str]:
    """Return what the role lists of a container."""
    return ["container", "theirs", f"theirs-{service}-{number}", "/srv", "", service, "", "", "", "", status]


def test_a_run_that_would_only_do_again_what_is_done_does_nothing(filters: ModuleType) -> None:
    theirs = {**found(web=service()), "jobs": ["migrate", "seed", "never"]}
    members = [
        member("web", 1, "Exited (0) 2 hours ago"),
        member("migrate", 1, "Exited (0) 2 hours ago"),
        member("seed", 1, "Exited (0) 2 hours ago"),
        member("seed", 2, "Exited (1) 2 hours ago"),
    ]
    done = filters.done(theirs, members)
    assert done == ["migrate"]
    assert filters.done({}, members) == []
    again, other, anew = (
        {"what": "container", "id": name, "status": status}
        for name, status in (
            ("theirs-migrate-1", "Starting"),
            ("theirs-seed-1", "Starting"),
            ("theirs-migrate-1", "Recreate"),
        )
    )
    for actions, nothing in (([again], True), ([], True), ([again, other], False), ([anew, again], False)):
        assert filters.only_again(done, members, actions) is nothing
    assert not filters.only_again([], members, [])
