"""Applications that know nothing of the kit get a managed token by variables alone, and are given back as they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from deployment import Deployment, docker, eventually
from leaks import Sampler, found_in

from token_keeper import fingerprint

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

# Stock google-auth: reads the file, and renews by itself what is about to end
APP = """
import json, os, time
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials

FIELDS = ("refresh_token", "token_uri", "client_id", "client_secret")

def load():
    with open(os.environ["TOKEN_PATH"], encoding="utf-8") as file:
        info = json.load(file)
    return Credentials(info["token"], **{name: info[name] for name in FIELDS})

while True:
    try:
        credentials = load()
        if not credentials.valid:
            credentials.refresh(Request())
        print("valid", credentials.valid, flush=True)
    except Exception as error:
        print("failed", type(error).__name__, flush=True)
    time.sleep(0.5)
"""

# A named user, whose numbers are in the image alone
DOCKERFILE = """
FROM {base}
USER 0:0
RUN echo "appuser:x:4321:4322::/srv:/bin/sh" >> /etc/passwd
COPY app.py /srv/app/app.py
WORKDIR /srv/app
USER appuser
ENTRYPOINT []
CMD ["python", "app.py"]
"""

COMPOSE = {
    "services": {
        "web": {
            "build": {"context": "."},
            "env_file": ["web.env"],
            "environment": {"TOKEN_PATH": "/data/creds/token.json", "PASSWORD": "${PASSWORD}"},
            "volumes": ["./creds:/data/creds"],
            "deploy": {"replicas": 2},
            "stop_grace_period": "0s",
        },
        "store": {
            "image": "theirs-web",
            "command": ["sleep", "600"],
            "volumes": ["data:/data"],
            "stop_grace_period": "0s",
        },
    },
    "volumes": {"data": {}},
}
OVERRIDE = {
    "services": {
        "store": {
            "image": "{project}-web",
            "depends_on": {
                "web": {"condition": "service_started"},
                "migrate": {"condition": "service_completed_successfully"},
            },
        },
        # a job: what is done need not be done again
        "migrate": {"image": "{project}-web", "command": ["true"], "depends_on": ["web"]},
    }
}

TOKEN_OWNER = "4321:4322 600"


def files_of(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mounts(container: str) -> dict[str, str]:
    """Return what a container mounts, by the path in it."""
    told = json.loads(docker("inspect", "--format", "{{json .Mounts}}", container))
    return {mount["Destination"]: mount.get("Name") or mount["Source"] for mount in told}


def web() -> str:
    """Return the name of a container of the service: its number rises as it is replaced."""
    return docker("ps", "--filter", "name=theirs-itest-web-", "--format", "{{.Names}}").split()[0]


def works(container: str) -> bool:
    """Tell whether the application has a valid token."""
    return "valid True" in docker("logs", "--tail", "1", container)


def begun(container: str) -> str:
    """Return when a container was started last."""
    return docker("inspect", "--format", "{{.State.StartedAt}}", container)


@pytest.fixture
def theirs(image: str, tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A compose project in a folder, with files and variables of its own; what was made of it goes at the end."""
    folder, secrets = tmp_path / "theirs-itest", {name: f"canary-{token_hex(12)}" for name in ("dotenv", "env file")}
    (folder / "creds").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=image))
    (folder / "docker-compose.yml").write_text(json.dumps(COMPOSE))
    (folder / "docker-compose.override.yml").write_text(json.dumps(OVERRIDE).replace("{project}", "theirs-itest"))
    (folder / ".env").write_text(f"PASSWORD={secrets['dotenv']}\n")
    (folder / "web.env").write_text(f"DB_PASSWORD={secrets['env file']}\n")
    project = ("compose", "--project-directory", str(folder), "--file", str(folder / "docker-compose.yml"))
    down = (*project, "down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "0")
    docker(*down)  # what a run that was killed has left
    try:
        yield folder, secrets
    finally:
        docker(*down)


def test_somebody_else_s_project_runs_with_a_managed_token_and_is_given_back(
    theirs: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, secrets = theirs
    key = f"canary-{token_hex(12)}"
    given = {"llm_api_key": {"value": key, "services": ["web"], "env": "LLM_API_KEY_FILE"}}
    variables = tmp_path / "variables.json"  # in place of the operator's vault
    variables.write_text(json.dumps({"app_stack_compose_dir": str(folder), "app_stack_secrets": given}))
    ours = ("-e", f"@{variables}")
    deployed = Deployment("tk-alone-theirs", 28089, 29409, tmp_path)
    deployed.clear_away()
    before = files_of(folder)
    web = ["theirs-itest-web-1", "theirs-itest-web-2"]
    try:
        with Sampler() as sampler:
            first = deployed.playbook("site.yml", "-vvvv", *ours, timeout=800, ANSIBLE_DEBUG="1").succeeded()
        assert sampler.leaks({"llm_api_key": key}) == []
        assert found_in(first.output, {**secrets, "llm_api_key": key}) == []
        assert "level container" in first.text
        for container in web:
            eventually(lambda name=container: works(name), within=120, what=f"{container} has a valid token")
            assert mounts(container)["/data/creds"] == deployed.volume
            owner = docker("exec", container, "stat", "-c", "%u:%g %a", "/data/creds/token.json")
            assert owner.strip() == TOKEN_OWNER
            assert docker("exec", container, "sh", "-c", 'cat "$LLM_API_KEY_FILE"') == key
            assert found_in(docker("inspect", container), {"llm_api_key": key}) == []
        assert found_in((deployed.project_dir / "token-keeper.override.yml").read_text(), {"llm_api_key": key}) == []
        assert files_of(folder) == before

        migrated = begun("theirs-itest-migrate-1")
        assert deployed.playbook("site.yml", *ours).succeeded().changed == 0
        deployed.playbook("rotate_token.yml", *ours).succeeded()
        assert all(works(container) for container in web)

        removed = deployed.playbook("playbooks/teardown.yml", *ours, "-e", "teardown_volume=true").succeeded()
        assert removed.changed > 0
        left = docker("ps", "--filter", "label=com.docker.compose.project=theirs-itest", "--format", "{{.Names}}")
        assert sorted(left.split()) == ["theirs-itest-store-1", *web]
        for container in web:
            assert mounts(container) == {"/data/creds": str(folder / "creds")}
        assert docker("volume", "ls", "--quiet", "--filter", "name=theirs-itest").split() == ["theirs-itest_data"]
        assert files_of(folder) == before
        assert begun("theirs-itest-migrate-1") == migrated
        assert deployed.playbook("playbooks/teardown.yml", *ours).succeeded().changed == 0
    finally:
        deployed.playbook("playbooks/teardown.yml", *ours, "-e", "teardown_volume=true")


@pytest.mark.long
def test_a_token_in_a_file_moves_into_the_volume_and_back(theirs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, _ = theirs
    deployed = Deployment("tk-alone-theirs", 28089, 29409, tmp_path, {"app_stack_compose_dir": str(folder)})
    deployed.clear_away()
    move = "playbooks/migrate_bind_mount.yml"
    file, before = folder / "creds" / "token.json", files_of(folder)
    try:
        deployed.playbook("site.yml").succeeded()
        back = deployed.playbook(move, "-vvvv", "-e", "undo=true", ANSIBLE_DEBUG="1").succeeded()
        document = json.loads(file.read_text())
        secrets = {name: document[name] for name in ("token", "refresh_token", "client_secret")}
        assert found_in(back.output, secrets) == []
        assert mounts(web()) == {"/data/creds": str(folder / "creds")}
        eventually(lambda: works(web()), within=120, what="it has a valid token from the file")
        assert deployed.playbook(move, "-e", "undo=true").succeeded().changed == 0

        # as an unmodified app would leave it, after a renewal that nobody of the kit has seen
        newer = {**document, "token": "renewed-by-the-app", "expiry": "2099-01-01T00:00:00Z"}
        file.write_text(json.dumps(newer))
        assert deployed.playbook(move, "--check").succeeded().changed > 0
        assert mounts(web()) == {"/data/creds": str(folder / "creds")}
        there = deployed.playbook(move, "-vvvv", ANSIBLE_DEBUG="1").succeeded()
        assert found_in(there.output, secrets) == []
        assert "It still holds secrets" in there.text
        assert mounts(web())["/data/creds"] == deployed.volume
        eventually(lambda: works(web()), within=120, what="it has a valid token from the volume")
        events = docker("exec", web(), "cat", "/data/creds/.token.json.events")
        assert fingerprint("renewed-by-the-app") in events
        removed = deployed.playbook(move, "-e", "remove_host_file=true").succeeded()
        assert removed.changed == 1
        assert files_of(folder) == before
        keeper = ("ps", "--all", "--quiet", "--filter", "name=theirs-itest-keeper")
        assert docker(*keeper).split() != []
        assert deployed.playbook("site.yml", "-e", "app_stack_keeper=false").succeeded().changed > 0
        assert docker(*keeper).split() == []
        assert deployed.playbook("site.yml", "-e", "app_stack_keeper=false").succeeded().changed == 0
    finally:
        deployed.remove()


@pytest.mark.long
def test_images_by_name_run_with_a_managed_token(image: str, tmp_path: Path) -> None:
    reader = {
        "image": image,
        "user": "4321:4322",
        "entrypoint": ["python", "-c", APP],
        "environment": {"TOKEN_PATH": "/app/tokens/token.json"},
        "healthcheck": {"test": ["CMD", "test", "-r", "/app/tokens/token.json"], "interval": "1s"},
        "stop_grace_period": "0s",
    }
    variables = {"app_stack_services": {"web": reader, "worker": {**reader, "deploy": {"replicas": 2}}}}
    deployed = Deployment("tk-alone-images", 28090, 29410, tmp_path, variables)
    deployed.clear_away()
    try:
        assert "level container" in deployed.playbook("site.yml").succeeded().text
        for container in (deployed.container("web"), deployed.container("worker", 2)):
            eventually(lambda name=container: works(name), within=120, what=f"{container} has a valid token")
        assert deployed.playbook("site.yml").succeeded().changed == 0
        observed = deployed.playbook("playbooks/verify.yml", "-e", "mode=observe").succeeded()
        assert observed.changed == 0
    finally:
        deployed.remove().succeeded()
    assert docker("ps", "--all", "--quiet", "--filter", "name=tk-alone-images").split() == []
