"""Somebody's Compose project, looked at with a pretended docker command: what is found, and that no value gets out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from module_utils.token_keeper_helper import compose_config
from module_utils.token_keeper_helper.app_survey import APP_SERVICES_INFO, survey
from module_utils.token_keeper_helper.failure import ModuleFailure
from pretended import Docker, printed, refused, said

BIND = {"type": "bind", "source": "/srv/them/tokens", "target": "/app/tokens"}


def parameters(**given: Any) -> dict[str, Any]:
    return {**{name: option.get("default") for name, option in APP_SERVICES_INFO.items()}, **given}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "compose.yml").write_text("services: {}\n")
    return tmp_path


def project(docker: Docker, services: dict[str, Any], **images: str) -> None:
    """Let Compose tell these services, and the engine these images with their users."""
    docker.on("config", answers=[said({"name": "theirs", "services": services})])
    docker.on("image", "inspect", answers=[refused(1, "Error: No such image")])
    for image, user in images.items():
        docker.on("inspect", f"{image}:1", answers=[said([{"Config": {"User": user, "WorkingDir": "/app"}}])])


@pytest.mark.parametrize(
    ("names", "dotenv", "given", "chosen"),
    [
        (["compose.yml", "docker-compose.yml"], "", [], ["compose.yml"]),
        (["compose.yml", "compose.yaml"], "", [], ["compose.yaml"]),
        (
            ["docker-compose.yml", "docker-compose.override.yml"],
            "",
            [],
            ["docker-compose.yml", "docker-compose.override.yml"],
        ),
        (["compose.yml", "compose.override.yaml"], "SECRET=x\n", [], ["compose.yml", "compose.override.yaml"]),
        (["compose.yml"], "export COMPOSE_FILE='a.yml:b/c.yml'\n", [], ["a.yml", "b/c.yml"]),
        (["compose.yml"], "COMPOSE_FILE=a.yml;b.yml\nCOMPOSE_PATH_SEPARATOR=;\n", [], ["a.yml", "b.yml"]),
        (["compose.yml"], "COMPOSE_FILE=a.yml:/kit/override.yml\n", [], ["a.yml"]),
        (["compose.yml"], "COMPOSE_FILE=a.yml\n", ["live.yml"], ["live.yml"]),
        (["compose.yml"], "COMPOSE_FILE=a.yml:b.yml   # live\r\n", [], ["a.yml", "b.yml"]),
        (["compose.yml"], 'COMPOSE_FILE = "a.yml:b c.yml" # live\n', [], ["a.yml", "b c.yml"]),
        (
            ["compose.yml"],
            "STAGE=live\nCOMPOSE_FILE=a.yml:${STAGE}.yml:$STAGE/${NO:-c}.yml\n",
            [],
            ["a.yml", "live.yml", "live/c.yml"],
        ),
        (["compose.yml"], "STAGE=live\nCOMPOSE_FILE='${STAGE}.yml'\n", [], ["${STAGE}.yml"]),
        (["compose.override.yml"], "", [], []),
    ],
)
def test_the_files_are_those_that_compose_takes(
    names: list[str], dotenv: str, given: list[str], chosen: list[str]
) -> None:
    found = compose_config.files_of("/srv", names, dotenv, given, without="/kit/override.yml")
    assert found == [f"/srv/{name}" for name in chosen]


def test_owner_and_place_are_found_and_no_value_gets_out(docker: Docker, folder: Path) -> None:
    environment = {"TOKEN_PATH": "/creds/token.json", "DB_PASSWORD": "canary-5e5e"}
    web = {"image": "web:1", "environment": environment, "deploy": {"replicas": 2}}
    project(docker, {"web": web, "db": {"image": "db:1"}}, web="1000:1001")
    found = survey(docker.engine, parameters(project_src=f"{folder}/"))
    assert "canary" not in json.dumps(found)
    assert (found["project"], found["files"]) == ("theirs", [str(folder / "compose.yml")])
    assert (found["consumers"], found["directory"], found["file"]) == (["web"], "/creds", "token.json")
    assert (found["uid"], found["gid"], found["missing"], found["problems"]) == (1000, 1001, [], [])
    assert found["services"]["web"]["containers"] == 2
    argv = docker.calls[0][0]
    assert argv[:4] == ["docker", "compose", "--project-directory", str(folder)]


def test_a_service_says_who_runs_it_before_its_image_does(docker: Docker, folder: Path) -> None:
    project(docker, {"web": {"image": "web:1", "user": "7:8", "volumes": [BIND]}}, web="1000:1001")
    found = survey(docker.engine, parameters(project_src=str(folder)))
    assert (found["uid"], found["gid"]) == (7, 8)


def test_an_image_that_has_to_be_asked_and_is_not_there_is_told(docker: Docker, folder: Path) -> None:
    built = {"build": {"context": "."}, "volumes": [BIND]}
    project(docker, {"web": built, "worker": {"image": "worker:1", "user": "1000:1000", "volumes": [BIND]}})
    found = survey(docker.engine, parameters(project_src=str(folder)))
    assert found["missing"] == ["web"]
    assert found["services"]["web"]["image"] == "theirs-web"
    assert found["services"]["web"]["builds"]


TWO = {"web": {"image": "web:1", "volumes": [BIND]}, "worker": {"image": "worker:1", "volumes": [BIND]}}


def test_two_users_are_refused_with_ways_out(docker: Docker, folder: Path) -> None:
    project(docker, TWO, web="1000:1000", worker="2000:2000")
    (problem,) = survey(docker.engine, parameters(project_src=str(folder)))["problems"]
    assert "one token can't be shared: web runs as 1000:1000, worker runs as 2000:2000" in problem
    for way_out in ("app_stack_users", "a token of its own", "app_stack_consumers"):
        assert way_out in problem
    given = parameters(project_src=str(folder), users={"worker": "1000:1000"})
    assert survey(docker.engine, given)["problems"] == []


def test_an_owner_that_is_settled_has_to_fit_but_root_may_become_anybody(docker: Docker, folder: Path) -> None:
    project(docker, TWO, web="1000:1000", worker="")
    (problem,) = survey(docker.engine, parameters(project_src=str(folder), uid=999))["problems"]
    assert "token_volume_uid is 999, and web runs as 1000:1000: leave it out" in problem
    settled = survey(docker.engine, parameters(project_src=str(folder), uid=1000))
    assert (settled["uid"], settled["gid"], settled["problems"]) == (1000, 1000, [])


def test_why_compose_cannot_read_it_is_not_passed_on(docker: Docker, folder: Path) -> None:
    docker.on("config", answers=[refused(15, 'invalid interpolation format for X: "canary-5e5e${"')])
    with pytest.raises(ModuleFailure) as failed:
        survey(docker.engine, parameters(project_src=str(folder)))
    assert "canary" not in str(failed.value)
    assert f"see docker compose --project-directory {folder}" in str(failed.value)


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        (
            "error while interpolating x: required variable DB_PASSWORD is missing a value: canary",
            ": DB_PASSWORD has no",
        ),
        ("env file /srv/missing.env not found: stat canary", ": there is no /srv/missing.env, which an env_file"),
        ("yaml: line 7: did not find expected key canary", ": it is no YAML from line 7 on"),
        ("empty compose file", ": a file of it is empty"),
        ("validating /srv/c.yml: services.web Additional property canary is not allowed", ": service web has a key"),
        ('service "web" has neither an image nor a build context', ": service web has neither image nor build"),
        ('invalid project name "Canary": must consist', "app_stack_compose_name gives it one"),
        ("canary", "; why is not shown here"),
    ],
)
def test_reasons_that_quote_no_value_are_told(docker: Docker, folder: Path, stderr: str, told: str) -> None:
    docker.on("config", answers=[refused(1, stderr)])
    with pytest.raises(ModuleFailure) as failed:
        survey(docker.engine, parameters(project_src=str(folder)))
    assert told in str(failed.value)
    assert "canary" not in str(failed.value).lower()


def test_a_dollar_in_a_path_is_one(docker: Docker, folder: Path) -> None:
    """Compose prints a Compose file, in which it is doubled."""
    data = {"type": "bind", "source": "/srv/to$$ken", "target": "/data"}
    project(docker, {"web": {"image": "web:1", "user": "7:8", "volumes": [BIND, data]}}, web="")
    found = survey(docker.engine, parameters(project_src=str(folder)))
    assert found["services"]["web"]["volumes"][1]["source"] == "/srv/to$ken"


def test_files_in_place_of_its_variables_choose_its_files_too(docker: Docker, folder: Path) -> None:
    (folder / ".env").write_text("COMPOSE_FILE=nowhere.yml\n")
    (folder / "live.env").write_bytes("\ufeffCOMPOSE_FILE=compose.yml:live.yml\r\n".encode())
    (folder / "live.yml").touch()
    project(docker, {"web": {"image": "web:1", "user": "7:8", "volumes": [BIND]}}, web="")
    found = survey(docker.engine, parameters(project_src=str(folder), env_files=[str(folder / "live.env")]))
    assert found["files"] == [str(folder / "compose.yml"), str(folder / "live.yml")]
    assert docker.calls[0][0][4:6] == ["--env-file", str(folder / "live.env")]


def test_a_project_whose_folder_is_another_to_compose_is_told_how_to_name_it(docker: Docker, folder: Path) -> None:
    (folder / ".env").write_text("COMPOSE_FILE=deploy/base.yml:deploy/live/live.yml\n")
    (folder / "deploy" / "live").mkdir(parents=True)
    (folder / "deploy" / "base.yml").touch()
    (folder / "deploy" / "live" / "live.yml").touch()
    with pytest.raises(ModuleFailure) as failed:
        survey(docker.engine, parameters(project_src=str(folder)))
    told = {"dir": f"{folder}/deploy", "files": "[base.yml, live/live.yml]", "env_files": f"[{folder}/.env]"}
    for name, value in told.items():
        assert f"app_stack_compose_{name}: {value}" in str(failed.value)
    given = {"files": ["base.yml", "live/live.yml"], "env_files": [str(folder / ".env")]}
    project(docker, {"web": {"image": "web:1", "user": "7:8", "volumes": [BIND]}}, web="")
    found = survey(docker.engine, parameters(project_src=f"{folder}/deploy", **given))
    assert found["files"] == [f"{folder}/deploy/base.yml", f"{folder}/deploy/live/live.yml"]


def test_a_folder_is_known_by_its_other_path_too(docker: Docker, folder: Path) -> None:
    (folder / "link").symlink_to(folder, target_is_directory=True)
    project(docker, {"web": {"image": "web:1", "user": "7:8", "volumes": [BIND]}}, web="")
    found = survey(docker.engine, parameters(project_src=f"{folder}/./link/"))
    assert (found["folder"], found["real_folder"]) == (f"{folder}/link", str(folder.resolve()))


def test_what_would_be_hidden_is_refused_unless_the_operator_has_named_the_path(docker: Docker, folder: Path) -> None:
    (folder / "creds").mkdir()
    (folder / "creds" / "client.json").touch()
    mount = {"type": "bind", "source": str(folder / "creds"), "target": "/creds"}
    web = {"image": "web:1", "user": "7:8", "volumes": [mount], "environment": {"T": "/creds/token.json"}}
    project(docker, {"web": web}, web="")
    (problem,) = survey(docker.engine, parameters(project_src=str(folder)))["problems"]
    assert "client.json" in problem
    assert "Where it can do without, app_stack_token_path: /creds/token.json says so" in problem
    named = survey(docker.engine, parameters(project_src=str(folder), token_path="/creds/token.json"))
    assert named["problems"] == []
    assert "client.json" in named["warnings"][0]


def test_code_is_never_hidden(docker: Docker, folder: Path) -> None:
    mount = {"type": "bind", "source": str(folder), "target": "/app"}
    web = {"image": "web:1", "user": "7:8", "volumes": [mount], "environment": {"T": "/app/token.json"}}
    project(docker, {"web": web}, web="")
    for path in ("", "/app/token.json"):
        (problem,) = survey(docker.engine, parameters(project_src=str(folder), token_path=path))["problems"]
        assert "compose.yml" in problem


@pytest.mark.parametrize("files", [[], ["live.yml"]])
def test_a_project_that_is_not_there_is_named(docker: Docker, tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(ModuleFailure, match="correct app_stack_compose_dir"):
        survey(docker.engine, parameters(project_src=str(tmp_path), files=files))
    assert docker.calls == []


def test_variables_that_cannot_be_read_are_named(docker: Docker, folder: Path) -> None:
    (folder / ".env").mkdir()
    with pytest.raises(ModuleFailure, match=r"/\.env can't be read"):
        survey(docker.engine, parameters(project_src=str(folder)))
    assert docker.calls == []


def test_an_image_of_several_services_is_asked_once(docker: Docker, folder: Path) -> None:
    same = {"image": "web:1", "volumes": [BIND]}
    project(docker, {"web": same, "worker": same, "beat": {**same, "user": "other"}}, web="appuser")
    docker.on("create", answers=[printed("c0ffee\n")])
    passwd = "appuser:x:4321:4322::/srv:/bin/sh\nother:x:4321:4322::/srv:/bin/sh\n"
    docker.on("cp", answers=[printed("h" * 512 + passwd + "\0" * 1024)])
    docker.on("rm", answers=[printed("")])
    found = survey(docker.engine, parameters(project_src=str(folder)))
    assert (found["uid"], found["gid"], found["problems"]) == (4321, 4322, [])
    words = [argv[1] for argv, _ in docker.calls]
    assert words.count("create") == 2, "once for each user"
    assert sum(argv[1:3] == ["image", "inspect"] for argv, _ in docker.calls) == 1


def test_services_that_are_still_to_be_written_go_in_on_stdin(docker: Docker) -> None:
    services = {"web": {"image": "web:1", "volumes": [BIND]}}
    project(docker, services, web="5:6")
    found = survey(docker.engine, parameters(definition={"services": services}, project_name="mine"))
    assert (found["uid"], found["files"]) == (5, [])
    argv, stdin = docker.calls[0]
    assert argv[-4:] == ["-", "config", "--format", "json"]
    assert json.loads(stdin or b"") == {"name": "mine", "services": services}
