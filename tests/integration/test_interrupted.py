"""Runs that are cut short and hosts that fall down meanwhile: whatever happened, the same command again finishes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from deployment import PLAYBOOK, ROOT, docker, eventually
from hosts import Hosts, Wanted, controller, hosts, provider
from interrupting import Place, Sweep, as_new, cut_when, picture, places, ready, sample, status

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(3600)]

RESTART = "systemctl reset-failed docker.service docker.socket; systemctl restart docker"
KILL = "systemctl reset-failed docker.service docker.socket; kill -9 $(pidof dockerd)"


@dataclass
class One:
    """A host on which site.yml has run to its end, and what is known from that run."""

    made: Hosts
    variables: dict[str, Any]
    places: list[Place]
    expected: list[str]

    def consents(self) -> int:
        """Return how often somebody has consented at the provider."""
        return int(self.counters()["authorization_code"])

    def counters(self) -> dict[str, int]:
        """Return what the provider has exchanged."""
        answer = requests.get(str(self.variables["refresh_health_counter_url"]), timeout=10)
        answer.raise_for_status()
        found: dict[str, int] = answer.json()["exchanges"]
        return found

    def place(self, name: str, *, middle: bool) -> Place:
        """Return the place of a task."""
        return next(each for each in self.places if each.name.startswith(name) and bool(each.delay) is middle)

    @property
    def volume(self) -> str:
        """Name of the token volume."""
        return str(self.variables["token_volume_name"])


@pytest.fixture(scope="module")
def one() -> Iterator[One]:
    """A host with an engine and the images; the run that is recorded found no more than that."""
    with hosts(Wanted("one")) as made, provider(made) as variables:
        made.settle(variables)
        made.playbook("site.yml").succeeded()
        as_new(made, "one")
        found, _ = places(made, "site.yml")
        yield One(made, variables, found, picture(made, "one"))


@contextmanager
def running(made: Hosts, playbook: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a playbook on the hosts while something happens to them; it is ended with the context."""
    command = [PLAYBOOK, "-i", str(made.inventory), playbook, *arguments]
    environment = controller(made.folder)
    with (made.folder / "running.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def said(made: Hosts) -> str:
    """Return what that playbook has printed, on one line."""
    return " ".join((made.folder / "running.log").read_text().split())


def failures(output: str) -> list[str]:
    """Return the messages with which hosts failed."""
    return output.split("fatal: [")[1:]


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(one: One) -> None:
    sweep = Sweep(one.made, "one", "site.yml", one.expected)
    for place in sample(one.places, 5):
        as_new(one.made, "one")
        sweep.at(place)
        if not ready(one.made, "one"):
            sweep.failures.append(f"{place}: the application is not ready")
        elif status(one.made, "one")["document"]["expires_in"] <= 0:
            sweep.failures.append(f"{place}: the token has run out")
    print(f"{sweep.done - len(sweep.failures)} of {sweep.done} places of {len(one.places)}")
    assert sweep.failures == []


def test_a_grant_that_was_lost_between_consent_and_push_is_asked_for_again(one: One) -> None:
    as_new(one.made, "one")
    before = one.consents()
    assert cut_when(one.made, "site.yml", lambda: one.consents() > before), "somebody has consented"
    one.made.playbook("site.yml").succeeded()
    # Where the push had been sent by then, the document is there, and nobody is asked
    assert one.consents() - before in (1, 2)
    assert ready(one.made, "one")
    assert one.made.playbook("site.yml").succeeded().changed == 0


def back(made: Hosts, host: str) -> None:
    """Wait until a host's sshd answers again."""
    eventually(lambda: made.inside(host, "ss -ltn").find(":22 ") >= 0, within=120, what=f"{host} is up")


def serving(one: One) -> dict[str, Any]:
    """Wait until the stack serves, all of it and without help, and return the token's state."""
    look = "docker ps --format '{{.Names}} {{.Status}}' | grep -c '(healthy)' || :"
    wanted = len([line for line in one.expected if line.startswith("container ")])
    answers = f"docker version >/dev/null 2>&1 && {look} || echo 0"
    eventually(lambda: int(one.made.inside("one", answers)) == wanted, within=240, what="every container is healthy")
    assert ready(one.made, "one")
    found = status(one.made, "one")
    assert found["document"]["state"] == "sound"
    assert found["document"]["expires_in"] > 0
    return found


def test_a_host_that_restarts_serves_again_by_itself(one: One) -> None:
    one.made.playbook("site.yml").succeeded()
    before = serving(one)
    docker("kill", one.made.container("one"))
    docker("start", one.made.container("one"))
    back(one.made, "one")
    after = serving(one)
    assert after["generation"] >= before["generation"]
    assert after["grant"] == before["grant"]
    one.made.playbook("playbooks/verify.yml").succeeded()
    assert one.made.playbook("site.yml").succeeded().changed == 0


def test_a_host_that_restarts_in_the_middle_of_a_run_is_finished_by_the_next(one: One) -> None:
    as_new(one.made, "one")
    with running(one.made, "site.yml") as process:
        started = "docker ps --quiet --filter label=com.docker.compose.service=api"
        eventually(lambda: one.made.inside("one", started), within=300, what="containers are being started")
        docker("kill", one.made.container("one"))
        time.sleep(2)
        docker("start", one.made.container("one"))
        # nobody has told the controller: the connection has to find out by itself, after a minute
        process.wait(timeout=240)
    assert process.returncode != 0
    assert "UNREACHABLE" in said(one.made) or len(failures(said(one.made))) == 1
    back(one.made, "one")
    one.made.playbook("site.yml").succeeded()
    serving(one)
    assert one.made.playbook("site.yml").succeeded().changed == 0


def pushing(one: One) -> str:
    """Write a playbook that puts a new grant in the token's place, for which it needs the lock; returns its name."""
    admin = str(one.variables["refresh_health_counter_url"]).removesuffix("/counters")
    live = json.loads(one.made.inside("one", f"docker exec {one.made.prefix}-api-1 cat /app/tokens/token.json"))
    asked = {"scopes": live["scopes"], "client_id": live["client_id"]}
    given = requests.post(f"{admin}/grants", json=asked, timeout=10).json()
    document = {**live, "token": given["access_token"], "refresh_token": given["refresh_token"]}
    del document["expiry"]
    play = one.made.folder / "push.yml"
    push = {
        "volume": one.volume,
        "image": "{{ images_keeper }}",
        "document": document,
        "expires_in": 3600,
        "force": True,
    }
    names = {"ansible.builtin.include_role": {"name": "images", "tasks_from": "names.yml"}}
    play.write_text(
        json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "tasks": [names, {"token_volume": push}]}])
    )
    return str(play)


HOLD = """
docker exec --detach {api} python3 -c 'import fcntl, os, time
fcntl.flock(os.open("/app/tokens", 0), 2); open("/tmp/held", "w"); time.sleep({seconds})'
until docker exec {api} test -e /tmp/held; do sleep 0.2; done
docker exec {api} rm /tmp/held
"""
"""Has the lock of the volume held, so that a push waits for it in its helper."""


@pytest.mark.parametrize("how", [RESTART, KILL], ids=["restart", "kill"])
def test_an_engine_that_goes_away_during_a_push_leaves_one_document_or_the_other(one: One, how: str) -> None:
    one.made.playbook("site.yml").succeeded()
    before = serving(one)
    started = one.made.inside("one", "docker inspect --format '{{.State.StartedAt}}' $(docker ps --quiet)")
    play = pushing(one)
    one.made.inside("one", HOLD.format(api=f"{one.made.prefix}-api-1", seconds=25))
    helpers = "docker ps --all --no-trunc --filter label=io.token-keeper.role=helper --format '{{.State}} {{.Command}}'"
    pushes = f"{helpers} | grep 'running.* push ' || :"  # those that only look need no lock
    with running(one.made, play) as process:
        eventually(lambda: one.made.inside("one", pushes), within=60, what="a helper waits for the lock")
        one.made.inside("one", how)
        process.wait(timeout=120)
    assert process.returncode != 0
    (message,) = failures(said(one.made))
    assert "went away during the work" in message
    assert "run the play again" in message
    eventually(lambda: not one.made.inside("one", helpers), within=90, what="no helper is left")
    after = serving(one)  # sound, and one of the two
    assert after["generation"] in range(before["generation"], before["generation"] + 3)
    one.made.playbook(play).succeeded()
    assert status(one.made, "one")["grant"] != before["grant"]
    now = one.made.inside("one", "docker inspect --format '{{.State.StartedAt}}' $(docker ps --quiet)")
    assert sorted(now.split()) == sorted(started.split()), "the containers have not noticed"


@pytest.mark.parametrize("how", [RESTART, KILL], ids=["restart", "kill"])
def test_an_engine_that_goes_away_while_the_stack_is_brought_up_is_caught_up_with(one: One, how: str) -> None:
    as_new(one.made, "one")
    with running(one.made, "site.yml") as process:
        started = "docker ps --quiet --filter label=com.docker.compose.service=redis"
        eventually(lambda: one.made.inside("one", started), within=300, what="containers are being started")
        one.made.inside("one", how)
        process.wait(timeout=400)
    if process.returncode != 0:
        assert len(failures(said(one.made))) == 1, said(one.made)
        one.made.playbook("site.yml").succeeded()
    serving(one)
    assert one.made.playbook("site.yml").succeeded().changed == 0


FULL = """
mkdir -p {folder} /srv/kept && cp -a {folder}/. /srv/kept && mount -t tmpfs -o size={mib}m,mode=0755 small {folder}
cp -a /srv/kept/. {folder} && chown --reference=/srv/kept {folder} && rm -rf /srv/kept
dd if=/dev/zero of={folder}/.filler bs=4k 2>/dev/null || :
"""
"""Puts a disk of so many MiB at a folder, with what is there, and fills it."""


@contextmanager
def no_room(made: Hosts, folder: str, mib: int = 2) -> Iterator[Callable[[], str]]:
    """Have a full disk at a folder of a host; gives what makes room on it. What was there before is back afterwards."""
    made.inside("one", FULL.format(folder=folder, mib=mib))
    try:
        yield lambda: made.inside("one", f"rm {folder}/.filler")
    finally:
        made.inside("one", f"umount -l {folder}")


PROJECT = "/opt/token-keeper"


# Other options, so that there is something to write
OTHER = {
    PROJECT: {"app_stack_calendar_id": "another"},
    "/etc/docker": {"docker_host_daemon_options": {"log-opts": {"max-size": "20m", "max-file": "4"}}},
}


@pytest.mark.parametrize("folder", OTHER)
def test_a_full_disk_is_told_once_and_nothing_is_lost(one: One, folder: str) -> None:
    one.made.playbook("site.yml").succeeded()
    before = status(one.made, "one")
    other = ["-e", json.dumps(OTHER[folder])]
    files = f"cat {PROJECT}/{one.made.prefix}/compose.yml; cat /etc/docker/daemon.json"
    with no_room(one.made, folder) as make_room:
        written = one.made.inside("one", files)
        failed = one.made.playbook("site.yml", *other)
        assert failed.code != 0
        (message,) = failures(failed.text)
        assert "No space left on device" in message
        assert one.made.inside("one", files) == written
        assert status(one.made, "one")["document"]["fingerprint"] == before["document"]["fingerprint"]
        assert ready(one.made, "one")
        make_room()
        one.made.playbook("site.yml", *other).succeeded()
        assert one.made.playbook("site.yml", *other).succeeded().changed == 0
    serving(one)


def test_a_volume_without_room_keeps_the_old_document_and_says_so(one: One) -> None:
    """At a push, and at a refresh by the keeper; the disk is one of 1 MiB that the volume stands on."""
    as_new(one.made, "one")
    one.made.inside("one", "mkdir -p /srv/small && mount -t tmpfs -o size=1m,mode=0755 small /srv/small")
    small = {"token_volume_driver_options": {"type": "none", "o": "bind", "device": "/srv/small"}}
    options = ["-e", json.dumps(small)]
    try:
        one.made.playbook("site.yml", *options).succeeded()
        before = serving(one)
        play = pushing(one)
        one.made.inside("one", "dd if=/dev/zero of=/srv/small/filler bs=4k 2>/dev/null || :")
        failed = one.made.playbook(play)
        assert failed.code != 0
        (message,) = failures(failed.text)
        assert "No space left on device" in message or "no space" in message.lower()
        renewed = one.made.playbook("rotate_token.yml", *options)
        assert renewed.code != 0
        _, message = failures(renewed.text)  # what has failed, and what has become of it
        assert "No space left on device" in message
        assert "Nothing was exchanged" in message
        now = status(one.made, "one")
        assert now["document"]["fingerprint"] == before["document"]["fingerprint"]
        assert ready(one.made, "one"), "the old document still serves"
        # the keeper's own renewal fails the same way, and says it where an operator looks
        refresh = f"docker exec {one.made.prefix}-keeper-1 token-keeper refresh --force --json 2>&1 || :"
        assert "space" in one.made.inside("one", refresh).lower()
        assert status(one.made, "one")["document"]["fingerprint"] == before["document"]["fingerprint"]
        one.made.inside("one", "rm /srv/small/filler")
        one.made.playbook("rotate_token.yml", *options).succeeded()
        one.made.playbook(play).succeeded()
        one.made.playbook("site.yml", *options).succeeded()  # the proof of another grant
        assert one.made.playbook("site.yml", *options).succeeded().changed == 0
    finally:
        as_new(one.made, "one")
        one.made.inside("one", "umount -l /srv/small")


def images_only(made: Hosts) -> str:
    """Write a playbook with the roles of a bare host: its engine, and the images."""
    play = made.folder / "bare.yml"
    play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "roles": ["docker_host", "images"]}]))
    return str(play)


BRINGS = {"images_prefix": "token-keeper-demo", "images_build": ["keeper"], "images_built_on": "controller"}
"""What is quickly brought: one image."""


def test_an_engine_without_room_for_the_images_is_told_and_they_come_once_there_is(one: One) -> None:
    as_new(one.made, "one")
    stop = "systemctl stop docker.socket docker; systemctl reset-failed docker.service docker.socket"
    start = "systemctl start docker"
    one.made.inside("one", f"{stop}; mount -t tmpfs -o size=120m small /var/lib/docker; {start}")
    play = images_only(one.made)
    try:
        foreseen = one.made.playbook(play, "-e", json.dumps(BRINGS))
        assert foreseen.code != 0
        (message,) = failures(foreseen.text)
        assert "MiB are free in /var/lib/docker" in message
        failed = one.made.playbook(play, "-e", json.dumps({**BRINGS, "images_disk_mib": 1}))
        assert failed.code != 0
        (message,) = failures(failed.text)
        assert "no space left" in message.lower()
        assert "token-keeper" not in one.made.inside("one", "docker images; ls /var/tmp")
        one.made.inside("one", "mount -o remount,size=900m /var/lib/docker")
        one.made.playbook(play, "-e", json.dumps({**BRINGS, "images_disk_mib": 1})).succeeded()
        assert one.made.playbook(play, "-e", json.dumps(BRINGS)).succeeded().changed == 0
    finally:
        one.made.inside("one", f"{stop}; umount -l /var/lib/docker; {start}")


PACKAGE = r"""
mkdir -p /tmp/deb/DEBIAN
printf 'Package: cut-short\nVersion: 1\nArchitecture: all\nMaintainer: nobody\n' >/tmp/deb/DEBIAN/control
printf 'Description: a package whose installation is killed\n' >>/tmp/deb/DEBIAN/control
printf '#!/bin/sh\n[ -e /tmp/cut-short ] || { touch /tmp/cut-short; kill -9 $PPID; }\n' >/tmp/deb/DEBIAN/postinst
chmod 0755 /tmp/deb/DEBIAN/postinst
dpkg-deb --build /tmp/deb /tmp/cut-short.deb
dpkg --install /tmp/cut-short.deb || :
ls /var/lib/dpkg/updates
"""
"""Installs a package whose installation is killed the first time, as a power cut does it."""


def test_an_installation_that_was_cut_short_is_finished_by_the_next_run() -> None:
    with hosts(Wanted("bare", engine=False)) as made:
        play = "playbooks/docker_host.yml"
        updates = made.inside("bare", PACKAGE).splitlines()[-5:]
        assert any(name.isdigit() for name in updates), "dpkg was interrupted"
        # The controller dies as well, and apt goes on without it
        installing = "ps -eo args | grep -c '[a]pt-get.* install' || :"
        assert cut_when(made, play, lambda: made.inside("bare", installing).strip() != "0", every=0.3)
        made.playbook(play, timeout=1200).succeeded()
        told = "dpkg --audit; dpkg-query --show --showformat '${db:Status-Status}' cut-short"
        assert made.inside("bare", told) == "installed"
        assert made.playbook(play).succeeded().changed == 0


THEIRS = r"""
mkdir -p /tmp/theirs/DEBIAN /tmp/theirs/opt
printf '%s\n' 'Package: theirs' 'Version: 1' 'Architecture: all' 'Maintainer: x <x@y>' 'Depends: nowhere' \
    'Description: x' >/tmp/theirs/DEBIAN/control
echo data >/tmp/theirs/opt/theirs
dpkg-deb --build /tmp/theirs /tmp/theirs.deb
dpkg --unpack /tmp/theirs.deb || :
"""
"""Unpacks a package that can't be configured: to apt, the way out is to remove it."""


def test_a_package_of_somebody_s_is_not_removed_to_finish_an_installation() -> None:
    with hosts(Wanted("bare", engine=False)) as made:
        made.inside("bare", THEIRS)
        before = made.inside("bare", "dpkg-query --show; cat /opt/theirs")
        run = made.playbook("playbooks/docker_host.yml")
        assert run.code != 0
        assert "Packages need to be removed but remove is disabled" in run.text
        assert made.inside("bare", "dpkg-query --show; cat /opt/theirs") == before


def test_a_bare_host_that_is_cut_short_anywhere_is_finished_by_the_next() -> None:
    """Its installation and its images: each place needs a host of its own."""
    failed = []
    with hosts(Wanted("bare", engine=False)) as made:
        made.settle(BRINGS)
        found, _ = places(made, images_only(made))
        expected = picture(made, "bare")
    chosen = sample(found, 3)
    for place in chosen:
        with hosts(Wanted("bare", engine=False)) as made:
            made.settle(BRINGS)
            sweep = Sweep(made, "bare", images_only(made), expected)
            sweep.at(place)
            failed += sweep.failures
    print(f"{len(chosen) - len(failed)} of {len(chosen)} places of {len(found)}")
    assert failed == []
