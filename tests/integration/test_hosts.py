"""The kit on machines of their own, over SSH: as an operator has them."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import requests
from deployment import Run, docker, eventually
from hosts import Hosts, Wanted, hosts, provider
from test_other_apps import APP, COMPOSE, OVERRIDE, TOKEN_OWNER

# The engine's installation and the images' way are the longest tasks
PROFILED = {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"}

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(1800)]


def left(prefix: str) -> list[str]:
    """Return the containers and networks that the engine still has of a prefix."""
    named = f"name={prefix}"
    found = docker("ps", "--all", "--filter", named, "--format", "{{.Names}}").split()
    return found + docker("network", "ls", "--filter", named, "--format", "{{.Name}}").split()


def test_hosts_have_keys_of_their_own_and_nothing_of_them_stays(image: str, request: pytest.FixtureRequest) -> None:
    prefix, mounted = "tk-hosts-own", '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
    # as a run that was killed leaves it
    label = f"--label=io.token-keeper.test-hosts={prefix}"
    docker("network", "create", label, prefix)
    waiting = ("run", "--detach", "--network", prefix, "--entrypoint", "sleep")
    docker(*waiting, "--name", f"{prefix}-killed", label, image, "600")
    # somebody else's, who was with them
    docker(*waiting, "--name", "tk-beside", image, "600")
    request.addfinalizer(lambda: docker("rm", "--force", "tk-beside"))
    with hosts(Wanted("new"), Wanted("old", "bookworm", engine=False), prefix=prefix) as made:
        key = made.folder / "key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        told = subprocess.run(["ssh-keygen", "-lf", str(made.folder / "known_hosts")], capture_output=True, check=True)
        fingerprints = {line.split()[1] for line in told.stdout.decode().splitlines()}
        assert len(fingerprints) == 2, "each host has a key of its own"
        said = made.playbook("playbooks/docker_host.yml", "--check", "--limit=old").succeeded()
        assert "install Docker Engine" in said.text
        assert made.playbook("playbooks/docker_host.yml", "--limit=new").succeeded().changed == 0
        volumes = set(docker("inspect", "--format", mounted, made.container("new"), made.container("old")).split())
        folder = made.folder
    assert left(prefix) == []
    assert not Path(folder).exists()
    assert len(volumes) == 2, "each engine has its data in one of its own"
    assert not volumes & set(docker("volume", "ls", "--quiet").split())


def consents(variables: dict[str, Any]) -> int:
    """Return how often somebody consented at the provider."""
    answer = requests.get(str(variables["refresh_health_counter_url"]), timeout=10)
    answer.raise_for_status()
    return int(answer.json()["exchanges"]["authorization_code"])


def longest(run: Run) -> dict[str, float]:
    """Return the seconds of the five longest tasks of a playbook that told them."""
    recap = re.findall(r"^\S+ : (.+?) -+ ([\d.]+)s$", run.output, re.MULTILINE)
    return {name: float(seconds) for name, seconds in recap[:5]}


def ping(made: Hosts) -> str:
    """Write a playbook that does nothing, the least that any takes; return its name."""
    play = made.folder / "ping.yml"
    tasks = [{"ansible.builtin.ping": {}}]
    play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "tasks": tasks}]))
    return str(play)


def told(what: str, **seconds: float) -> None:
    """Say what was measured; pytest shows it with -s."""
    print(f"{what}: {', '.join(f'{name} {took:.1f} s' for name, took in seconds.items())}")


def test_a_token_comes_back_on_another_host_when_its_volume_is_gone(tmp_path: Path) -> None:
    password = tmp_path / "vault_password"
    password.write_text(token_hex(16))
    vault = ["--vault-password-file", str(password)]
    begun = time.monotonic()
    with hosts(Wanted("one"), Wanted("two")) as made, provider(made) as variables:
        ready = time.monotonic() - begun
        made.settle(variables)
        cold = made.playbook("site.yml", "--limit=one", **PROFILED).succeeded()
        assert "level process" in cold.text
        again = made.playbook("site.yml", "--limit=one").succeeded()
        assert again.changed == 0
        assert consents(variables) == 1
        floor = made.playbook(ping(made), "--limit=one").succeeded()

        made.playbook("playbooks/backup_token.yml", "--limit=one", *vault).succeeded()
        (backup,) = (made.folder / "state" / "token-keeper" / "backups" / made.prefix).iterdir()
        made.inside("one", f"docker rm --force $(docker ps -aq) && docker volume rm {made.prefix}_token_data")

        elsewhere = [*vault, "--limit=two", "-e", f"restore_file={backup}"]
        restored = made.playbook("playbooks/restore_token.yml", *elsewhere).succeeded()
        other = made.playbook("site.yml", "--limit=two").succeeded()
        assert consents(variables) == 1, "nobody was asked again"
        script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/api/v1/health/ready').status)"
        assert made.inside("two", f'python3 -c "{script}"').strip() == "200"
        verified = made.playbook("playbooks/verify.yml", "--limit=two").succeeded()
        assert "level process" in verified.text
        told("hosts and provider", both=ready)
        told("of these the longest", **longest(cold))
        told("host one", cold=cold.seconds, again=again.seconds, ping=floor.seconds)
        told("host two", restore=restored.seconds, site=other.seconds, verify=verified.seconds)


# Whoever wrote it has the root file system that it stands on in a file beside it, and needs no registry either
DOCKERFILE = """
FROM scratch
ADD base.tar /
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
RUN echo "appuser:x:4321:4322::/srv:/bin/sh" >> /etc/passwd
COPY app.py /srv/app/app.py
WORKDIR /srv/app
USER appuser
CMD ["python", "app.py"]
"""
# What each file holds, whose it is, and when it was changed
LOOK = "cd /srv/theirs && find . -type f -printf '%p %m %U:%G %T@\\n' -exec sha256sum {} + | sort"


@pytest.fixture
def theirs(image: str, tmp_path: Path) -> Path:
    """A folder with somebody's compose project, which builds its image."""
    folder = tmp_path / "theirs"
    (folder / "creds").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "compose.yaml").write_text(json.dumps(COMPOSE))
    (folder / "compose.override.yaml").write_text(json.dumps(OVERRIDE).replace("{project}", "theirs"))
    (folder / ".env").write_text("PASSWORD=theirs\n")
    (folder / "web.env").write_text("DB_PASSWORD=theirs\n")
    container = docker("create", image).strip()
    try:
        docker("export", "--output", str(folder / "base.tar"), container)
    finally:
        docker("rm", container)
    return folder


@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_an_empty_host_runs_somebody_else_s_project_with_a_managed_token(theirs: Path, suite: str) -> None:
    with hosts(Wanted("empty", suite, engine=False)) as made, provider(made) as variables:
        made.put("empty", theirs, "/srv/theirs")
        before = made.inside("empty", LOOK)
        made.settle({**variables, "app_stack_compose_dir": "/srv/theirs"})
        first = made.playbook("site.yml", timeout=900, **PROFILED).succeeded()
        assert "level container" in first.text
        for number in (1, 2):
            logs = f"docker logs --tail 1 theirs-web-{number}"
            eventually(lambda look=logs: "valid True" in made.inside("empty", look), within=30, what=logs)
        owner = made.inside("empty", "docker exec theirs-web-1 stat -c '%u:%g %a' /data/creds/token.json")
        assert owner.strip() == TOKEN_OWNER
        second = made.playbook("site.yml").succeeded()
        assert second.changed == 0
        assert made.inside("empty", LOOK) == before
        floor = made.playbook(ping(made)).succeeded()
        told(f"of these the longest, {suite}", **longest(first))
        told(f"an empty host, {suite}", first=first.seconds, second=second.seconds, ping=floor.seconds)


def test_images_are_built_once_and_brought_to_a_host_that_lacks_them() -> None:
    # a broker of another user is another image, on a base that is there
    names = {"images_prefix": "token-keeper-demo", "images_build": ["redis"], "images_uid": 998}
    reference = "--filter=reference=token-keeper-demo-redis"
    with hosts(Wanted("one")) as made:
        made.settle({**names, "images_built_on": "controller"})
        play = made.folder / "images.yml"
        play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "roles": ["images"]}]))
        checked = made.playbook(str(play), "--check").succeeded()
        assert checked.changed == 1
        assert "brought from the controller" in checked.text
        assert made.inside("one", "docker images --quiet") == ""
        assert made.playbook(str(play)).succeeded().changed == 1
        (brought,) = made.inside("one", f"docker images --no-trunc --quiet {reference}").split()
        again = made.playbook(str(play)).succeeded()
        assert again.changed == 0
        assert "Have the images on the host" not in again.text
        assert brought in docker("images", "--no-trunc", "--quiet", reference).split(), "the very same image"
        docker("rmi", brought)  # so that it is built the next time as well
        for place in (Path("/tmp"), Path("/var/tmp")):
            assert list(place.glob("token-keeper-archive.*/images.tar")) == []
        assert made.inside("one", "ls /var/tmp | grep -c token-keeper-archive || true").strip() == "0"


def test_a_host_that_came_without_lists_of_packages_gets_what_it_lacks() -> None:
    # as in an image of a machine that was made today
    emptied = "rm -rf /var/lib/apt/lists/* /var/lib/apt/periodic/* /var/cache/apt/*.bin"
    role = {"ansible.builtin.include_role": {"name": "images", "tasks_from": "mmdebstrap.yml"}}
    facts = {"ansible.builtin.setup": {"gather_subset": ["!all", "!min", "distribution"]}}
    with hosts(Wanted("one")) as made:
        play = made.folder / "mmdebstrap.yml"
        play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "tasks": [facts, role]}]))
        made.inside("one", f"dpkg --purge python3-requests && {emptied}")
        assert made.playbook("playbooks/docker_host.yml").succeeded().changed == 1
        made.inside("one", emptied)
        assert made.playbook(str(play)).succeeded().changed == 1
