"""Many hosts, some of them down: the others go on, they are named at the end, and a second run does what is left."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment, Run, docker, eventually
from fleet import Fleet, nobody
from hosts import Hosts, Wanted, hosts, provider, uncounted
from module_tasks import token_volume
from rotating import new_grant
from test_hosts import consents, ping, told

PREFIX = "tk-fleet"

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def results(run: Run) -> dict[str, str]:
    """Return what the summary at the end of a run says of each host."""
    words = "deployed|rotated|changed|unchanged|failed|unreachable|not begun"
    rows = run.output.rpartition("\nHost ")[2].partition("\n\n")[0]
    return dict(re.findall(rf"^(\S+) +({words})", rows, re.MULTILINE))


def left(run: Run) -> str:
    """Return the hosts that the command at the end of a run is for."""
    (limit,) = re.findall(r"^    ansible-playbook .* --limit (\S+)$", run.output, re.MULTILINE)
    return str(limit)


def test_a_host_that_is_down_stops_no_rotation_and_every_report_names_it(
    deployment: Deployment, image: str, tmp_path: Path
) -> None:
    with token_volume(image) as one, token_volume(image) as other, nobody() as port:
        fleet = Fleet(deployment, {"east": one, "west": other}, tmp_path, port)
        for host in fleet.volumes:
            fleet.fill(host, new_grant(deployment), rotation="no")
        before = {host: fleet.status(host)["generation"] for host in fleet.volumes}
        rotated = fleet.rotate()
        assert rotated.code == 4
        assert results(rotated) == {"down": "unreachable", "east": "rotated", "west": "rotated"}
        assert left(rotated) == "down"
        assert f"down can't be reached: ssh: connect to host 127.0.0.1 port {port}: Connection refused" in rotated.text
        assert {host: fleet.status(host)["generation"] - 1 for host in fleet.volumes} == before
        canary = rotated.output.split("PLAY [Rotate]")[1]
        assert "[east]" in canary
        assert "[west]" not in canary, "the first that answers is the canary"

        looked = fleet.playbook("playbooks/status.yml")
        assert looked.code == 2
        assert results(looked) == {"down": "unreachable", "east": "unchanged", "west": "unchanged"}
        assert "see that sshd runs there, and correct ansible_host or ansible_port" in looked.text


@contextmanager
def killed_when(made: Hosts, host: str, script: str) -> Iterator[None]:
    """Kill a host, as a power cut would, as soon as a script succeeds there."""
    over = threading.Event()

    def watch() -> None:
        command = ["docker", "exec", made.container(host), "sh", "-c", script]
        while not over.is_set():
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                docker("kill", made.container(host))
                return
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def back(made: Hosts, *names: str) -> None:
    """Start hosts, in the order in which they were made: each gets the address that it had."""
    for name in names:
        docker("start", made.container(name))
    for name in names:

        def up(name: str = name) -> bool:
            with suppress(AssertionError):
                made.inside(name, "docker version && ss -ltn | grep -q :22")
                return True
            return False

        eventually(up, within=120, what=f"{name} is back")


def generations(made: Hosts, variables: dict[str, Any], *names: str) -> dict[str, int]:
    """Return the generation of each host's document."""
    state = f"/var/lib/docker/volumes/{variables['token_volume_name']}/_data/.token.json.state"
    script = f"import json; print(json.load(open('{state}'))['generation'])"
    return {name: int(made.inside(name, f'python3 -c "{script}"')) for name in names}


def in_the_way(made: Hosts, *arguments: str) -> str:
    """Try to reach the first host, and return why it can't be."""
    tried = made.playbook(ping(made), "--limit=one", "--timeout=5", *arguments)
    assert tried.code == 4
    assert results(tried) == {"one": "unreachable"}
    return tried.text


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_why_a_host_is_out_of_reach_is_told_and_one_that_dies_is_given_up() -> None:
    with hosts(Wanted("one", engine=False), Wanted("two", engine=False), prefix=PREFIX) as made:
        # before any connection is there that a later one could share
        assert "SSH is refused: nobody listens" in in_the_way(made, "-e", "ansible_port=1")
        assert "its name leads to no address" in in_the_way(made, "-e", "ansible_host=nobody.invalid")
        assert "none of its keys" in in_the_way(made, "-e", "ansible_user=nobody")
        known = made.folder / "known_hosts"
        kept = known.read_text()
        (address, key), (other, another) = (line.split(" ", 1) for line in kept.splitlines())
        known.write_text(f"{address} {another}\n{other} {key}\n")
        assert "its host key has changed" in in_the_way(made)
        known.write_text("")
        assert "its host key is not known here" in in_the_way(made)
        known.write_text(kept)
        docker("pause", made.container("one"))
        assert "it does not answer" in in_the_way(made)
        docker("unpause", made.container("one"))

        play = made.folder / "work.yml"
        tasks = [{"ansible.builtin.command": "sleep 20"}, {"ansible.builtin.command": "true"}]
        play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "tasks": tasks}]))
        with killed_when(made, "two", "pgrep -x sleep"):
            ran = made.playbook(str(play))
        assert ran.code == 4
        assert results(ran) == {"one": "changed", "two": "unreachable"}
        assert "the connection broke off" in ran.text
        assert left(ran) == "two"
        told("a host that dies", after=ran.seconds)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_hosts_that_were_down_or_died_are_finished_by_a_second_run(image: str) -> None:
    names = ("one", "two", "three")
    # an application that takes no time, of an image that is at hand everywhere
    reader = {
        "image": image,
        "user": "999:999",
        "entrypoint": ["sleep", "infinity"],
        "environment": {"TOKEN_PATH": "/app/tokens/token.json"},
        "stop_grace_period": "0s",
        "restart": "always",
    }
    saved = subprocess.run(["docker", "save", image], capture_output=True, check=True).stdout
    with hosts(*map(Wanted, names), prefix=PREFIX) as made, provider(made) as variables:
        made.settle({**uncounted(variables), "app_stack_services": {"reader": reader}})
        volume = variables["token_volume_name"]
        for name in names:
            made.inside(name, "docker load", saved, timeout=600)

        # one is down from the start, one loses its power in the middle
        docker("stop", made.container("three"))
        with killed_when(made, "two", f"docker volume inspect {volume}"):
            first = made.playbook("site.yml", timeout=1200)
        assert first.code == 4
        assert results(first) == {"one": "deployed", "two": "unreachable", "three": "unreachable"}
        assert left(first) == "three,two", "by name"
        asked = consents(variables)

        back(made, "two", "three")
        second = made.playbook("site.yml", f"--limit={left(first)}", timeout=1200).succeeded()
        assert results(second) == {"two": "deployed", "three": "deployed"}
        assert consents(variables) - asked <= 2, "one was not asked again"
        whole = consents(variables)
        third = made.playbook("site.yml").succeeded()
        assert (third.changed, results(third)) == (0, dict.fromkeys(names, "unchanged"))
        assert consents(variables) == whole

        docker("stop", made.container("one"))
        before = generations(made, variables, "two", "three")
        rotated = made.playbook("rotate_token.yml")
        assert rotated.code == 4
        assert results(rotated) == {"one": "unreachable", "two": "rotated", "three": "rotated"}
        after = generations(made, variables, "two", "three")
        assert all(after[name] > before[name] for name in before)
        looked = made.playbook("playbooks/status.yml")
        assert (looked.code, results(looked)["one"]) == (2, "unreachable")

        back(made, "one")
        reads = "docker ps --quiet --filter label=com.docker.compose.service=reader"
        eventually(lambda: made.inside("one", reads), within=120, what="the application is back")
        rest = made.playbook("rotate_token.yml", f"--limit={left(rotated)}").succeeded()
        assert generations(made, variables, "two", "three") == after, "those that were done are left alone"
        told("three hosts", first=first.seconds, second=second.seconds, third=third.seconds)
        told("rotation", of_two=rotated.seconds, of_one=rest.seconds, status=looked.seconds)
