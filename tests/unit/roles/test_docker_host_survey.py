"""What a host tells before anything is installed on it (roles/docker_host/files/survey.py)."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_docker_host_packages import load

SURVEY = load("files/survey.py")

# As apt 3.0 prints it, on a host with a suite that is pinned out
POLICY = """docker.io:
  Installed: 20.10.24+dfsg1-1+deb12u1+b6
  Candidate: 20.10.24+dfsg1-1+deb12u1+b6
  Version table:
     26.1.5+dfsg1-9+deb13u1+b1 -1
         -1 http://deb.example/debian trixie/main amd64 Packages
 *** 20.10.24+dfsg1-1+deb12u1+b6 500
        500 http://deb.example/debian bookworm/main amd64 Packages
        500 http://security.example/debian bookworm-security/main amd64 Packages
        100 /var/lib/dpkg/status
docker-ce:
  Installed: (none)
  Candidate: 5:28.5.1-1~debian.12~bookworm
  Version table:
     5:28.5.1-1~debian.12~bookworm 500
        500 https://docker.example/linux/debian bookworm/stable amd64 Packages
docker-buildx:
  Installed: (none)
  Candidate: (none)
  Version table:
     0.13.1+ds1-3 -1
         -1 http://deb.example/debian trixie/main amd64 Packages
"""


def test_what_apt_would_install_and_from_where() -> None:
    assert SURVEY.policies(POLICY) == {
        "docker.io": {
            "installed": "20.10.24+dfsg1-1+deb12u1+b6",
            "candidate": "20.10.24+dfsg1-1+deb12u1+b6",
            "origins": ["http://deb.example/debian", "http://security.example/debian"],
        },
        "docker-ce": {
            "installed": "",
            "candidate": "5:28.5.1-1~debian.12~bookworm",
            "origins": ["https://docker.example/linux/debian"],
        },
        "docker-buildx": {"installed": "", "candidate": "", "origins": []},
    }


def test_who_holds_a_lock_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    assert SURVEY.holder((str(tmp_path / "none"), str(lock))) == ""
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        said = SURVEY.holder((str(lock),))
        process.communicate(b"")
    assert f"(process {process.pid})" in said
    assert said.startswith("python")
    assert SURVEY.holder((str(lock),)) == ""
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # of another kind, which apt does not use
        assert SURVEY.holder((str(lock),)) == ""


def test_free_space_is_told_once_a_file_system(tmp_path: Path) -> None:
    found = SURVEY.free([str(tmp_path), str(tmp_path / "docker/that/is/not/there")])
    space = os.statvfs(tmp_path)
    assert [each["path"] for each in found] == [str(tmp_path)]
    assert abs(found[0]["mib"] - space.f_bavail * space.f_frsize // 2**20) < 512


@pytest.mark.parametrize(
    ("text", "root"),
    [('{"data-root": "/srv/docker"}', "/srv/docker"), ("{}", ""), ("{torn", ""), ("[]", ""), (None, "")],
)
def test_where_the_engine_s_data_will_be(tmp_path: Path, text: str | None, root: str) -> None:
    file = tmp_path / "daemon.json"
    if text is not None:
        file.write_text(text)
    assert str(SURVEY.daemon_options(str(file)).get("data-root") or "") == root


@pytest.mark.parametrize(
    ("text", "argv", "keeps"),
    [
        ('{"live-restore": true}', ["dockerd"], True),
        ('{"live-restore": false}', ["dockerd"], False),
        # It may run with what its file said before
        ("{}", ["/usr/sbin/dockerd", "-H", "fd://"], False),
        ("{}", ["/usr/sbin/dockerd", "--live-restore"], True),
        ("{}", ["/usr/sbin/dockerd", "--live-restore=true"], True),
        ("{}", ["/usr/sbin/dockerd", "--live-restore=false"], False),
        ("{}", ["/usr/bin/other", "--live-restore"], False),
        ("{torn", ["dockerd"], False),
    ],
)
def test_whether_an_engine_finds_its_containers_again(tmp_path: Path, text: str, argv: list[str], keeps: bool) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(text)
    (tmp_path / "proc" / "77").mkdir(parents=True)
    (tmp_path / "proc" / "77" / "cmdline").write_text("\0".join([*argv, ""]))
    assert SURVEY.keeps_containers(SURVEY.daemon_options(str(file)), str(tmp_path / "proc")) is keeps


def test_a_repository_that_apt_knows_already(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "docker.list").write_text("deb [signed-by=/k] https://docker.example/linux/debian trixie stable\n")
    (parts / "ours.sources").write_text("Types: deb\nURIs: https://docker.example/linux/debian/\n")
    (parts / "token-keeper-docker.sources").write_text("URIs: https://docker.example/linux/debian\n")
    disabled = "Types: deb\nURIs: https://docker.example/linux/debian\nEnabled: No\n"
    (parts / "disabled.sources").write_text(f"# by an upgrade\n{disabled}\nURIs: https://other.example\n")
    (parts / "off.list").write_text("# deb https://docker.example/linux/debian trixie stable\n")
    (parts / "old.list.save").write_text("deb https://docker.example/linux/debian trixie stable\n")
    found = SURVEY.naming("https://docker.example/linux/debian", str(tmp_path))
    assert found == [str(parts / "docker.list"), str(parts / "ours.sources")]
    assert SURVEY.naming("https://docker.example/linux", str(tmp_path)) == []


def test_only_complaints_that_matter_are_told() -> None:
    said = """W: Download is performed unsandboxed as root
W: Failed to fetch http://deb.example/dists/trixie/InRelease  Could not resolve 'deb.example'
W: Some index files failed to download. They have been ignored, or old ones used instead.
Hit:1 http://deb.example
E: The repository 'http://docker.example trixie InRelease' is not signed.
"""
    ended = subprocess.CompletedProcess(["apt-get"], 100, "", said)
    assert SURVEY.faults(ended) == [
        "Failed to fetch http://deb.example/dists/trixie/InRelease  Could not resolve 'deb.example'",
        "The repository 'http://docker.example trixie InRelease' is not signed.",
    ]


def test_what_does_not_end_in_time_is_told() -> None:
    ended = SURVEY.told("sleep", "30", within=0.1)
    assert (ended.returncode, len(SURVEY.faults(ended))) == (124, 1)
    assert "sleep did not end within 0 seconds" in SURVEY.faults(ended)[0]


@pytest.mark.parametrize(
    ("lists", "need", "fetched"), [("none", 0, False), ("own", 0, True), ("aside", 0, True), ("own", 10**9, False)]
)
def test_lists_are_fetched_only_where_the_rest_is_well(
    monkeypatch: pytest.MonkeyPatch, lists: str, need: int, fetched: bool
) -> None:
    commands: list[tuple[str, ...]] = []

    def told(*command: str, within: float | None = None) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        assert within or command[-1] != "update", "a silent mirror is not waited for without end"
        said = {
            "policy": POLICY,
            "indextargets": "http://me:canary@deb.example/debian trixie main\n",
            "shell": "PROXY='http://me:c@nary:canary@proxy.example:3128'\n",
        }
        return subprocess.CompletedProcess(command, 0, next((said[word] for word in said if word in command), ""), "")

    monkeypatch.setattr(SURVEY, "told", told)
    monkeypatch.setattr(SURVEY, "holder", lambda: "")
    wanted: dict[str, Any] = {
        "packages": ["docker.io"],
        "room": ["/"],
        "need_mib": need,
        "daemon_file": "/nonexistent",
        "address": "http://docker.example",
        "lists": lists,
        "repository": None,
    }
    found = SURVEY.survey(json.loads(json.dumps(wanted)))
    assert "canary" not in json.dumps(found), "it is shown with -v"
    if fetched:
        assert found["mirrors"] == ["http://…@deb.example/debian"]
        assert found["proxy"] == "http://…@proxy.example:3128"
    updates = [command for command in commands if command[-1] == "update"]
    assert bool(updates) is fetched
    assert bool(found["packages"]) is (fetched or lists == "none")
    for command in updates:
        assert any(part.startswith("Dir::State::lists=") for part in command) is (lists == "aside")
