"""Where an engine and Compose come from: the distribution or Docker's own repository, never both."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROLE = Path(__file__).resolve().parents[3] / "roles/docker_host"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docker_host_{Path(name).stem}", ROLE / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PACKAGES = load("filter_plugins/engine_packages.py")
DEBIAN = "http://deb.example/debian"
DOCKER = "http://docker.example/linux"
ALL = ["install Docker Engine", "install Docker Compose v2", "start the engine"]

# What each release offers
OFFERS = {
    ("Debian", 12, "bookworm"): {"docker.io": "20.10.24+dfsg1-1+deb12u1+b6", "docker-compose": "1.29.2-3"},
    ("Debian", 13, "trixie"): {
        "docker.io": "26.1.5+dfsg1-9+deb13u1",
        "docker-cli": "26.1.5+dfsg1-9+deb13u1",
        "docker-compose": "2.26.1-4",
    },
    ("Ubuntu", 22, "jammy"): {
        "docker.io": "28.2.2-0ubuntu1~22.04.1",
        "docker-compose": "1.29.2-1",
        "docker-compose-v2": "2.37.1+ds1-0ubuntu2~22.04.1",
    },
    ("Ubuntu", 24, "noble"): {
        "docker.io": "24.0.7-0ubuntu4",
        "docker-compose": "1.29.2-6",
        "docker-compose-v2": "2.24.6+ds1-0ubuntu2",
    },
}
DOCKER_S = {
    "docker-ce": "5:28.5.1-1~{0}",
    "docker-ce-cli": "5:28.5.1-1~{0}",
    "containerd.io": "1.7.28-1~{0}",
    "docker-buildx-plugin": "0.29.1-1~{0}",
    "docker-compose-plugin": "2.40.2-1~{0}",
}
RELEASE = ("Debian", 13, "trixie")


def surveyed(
    release: tuple[str, int, str] = RELEASE,
    installed: dict[str, str] | None = None,
    *,
    repository: bool = True,
    **more: Any,
) -> dict[str, Any]:
    """What a host says: what its distribution has, and Docker's repository beside it where that is looked at."""
    offers = {name: (version, DEBIAN) for name, version in OFFERS[release].items()}
    offers["ca-certificates"] = ("20250419", DEBIAN)
    if repository:
        offers |= {name: (version.format(release[2]), DOCKER) for name, version in DOCKER_S.items()}
    there = installed or {}
    packages = {
        name: {
            "installed": there.get(name, ""),
            "candidate": version,
            "origins": [origin],
            "newer": name in there and there[name] != version,
        }
        for name, (version, origin) in offers.items()
    }
    packages |= {
        name: {"installed": version, "candidate": version, "origins": [], "newer": False}
        for name, version in there.items()
        if name not in packages
    }
    return {"packages": packages, "faults": [], "mirrors": [DEBIAN], "proxy": "", "architecture": "amd64", **more}


def planned(
    survey: dict[str, Any] | None = None, release: tuple[str, int, str] = RELEASE, **asked: Any
) -> dict[str, Any]:
    """What is planned, by default for a bare host."""
    distribution, major, name = release
    known = {
        "distribution": distribution,
        "major": str(major),
        "release": name,
        "source": "auto",
        "upgrade": False,
        "repository": DOCKER,
        "minimum_engine": "20.10",
        "minimum_compose": "2.20",
        "work": ALL,
        "engine": "",
        "interrupt": False,
        "seen": True,
    }
    found: dict[str, Any] = PACKAGES.plan(survey or surveyed(release), known | asked)
    assert not any(isinstance(value, tuple) for value in found.values()), "a template adds lists to lists"
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


@pytest.mark.parametrize(
    ("release", "install", "foreign"),
    [
        (("Debian", 12, "bookworm"), ("docker.io",), "docker-compose"),
        (("Debian", 13, "trixie"), ("docker.io", "docker-cli", "docker-compose"), ""),
        (("Ubuntu", 22, "jammy"), ("docker.io", "docker-compose-v2"), ""),
        (("Ubuntu", 24, "noble"), ("docker.io", "docker-compose-v2"), ""),
    ],
    ids=lambda each: each[2] if isinstance(each, tuple) and len(each) > 2 else None,
)
def test_the_packages_of_each_distribution(
    release: tuple[str, int, str], install: tuple[str, ...], foreign: str
) -> None:
    found = planned(surveyed(release, repository=False), release, seen=False)
    assert (found["source"], found["install"], found["foreign"], found["problem"]) == (
        "distribution",
        install,
        foreign,
        "",
    )


@pytest.mark.parametrize("release", OFFERS, ids=lambda each: each[2])
def test_docker_s_own_packages_where_they_are_asked_for(release: tuple[str, int, str]) -> None:
    found = planned(release=release, source="docker")
    assert found["source"] == "docker"
    assert found["install"] == tuple(DOCKER_S)
    assert (found["foreign"], found["problem"]) == ("", "")


@pytest.mark.parametrize(
    ("release", "minimum", "why"),
    [
        (
            ("Debian", 12, "bookworm"),
            {"minimum_engine": "26.0"},
            "Debian bookworm offers docker.io 20.10.24, and 26.0 is needed",
        ),
        (
            ("Debian", 12, "bookworm"),
            {"minimum_compose": "2.30"},
            "Debian bookworm offers docker-compose 2.26.1, and 2.30 is needed",
        ),
        (("Debian", 13, "trixie"), {"minimum_engine": "27"}, "Debian trixie offers docker.io 26.1.5, and 27 is needed"),
        (
            ("Ubuntu", 24, "noble"),
            {"minimum_compose": "2.26"},
            "Ubuntu noble offers docker-compose-v2 2.24.6, and 2.26 is needed",
        ),
    ],
)
def test_docker_s_own_where_the_distribution_lacks_what_is_needed(
    release: tuple[str, int, str], minimum: dict[str, str], why: str
) -> None:
    found = planned(release=release, **minimum)
    assert (found["source"], found["why"], found["problem"]) == ("docker", why, "")


def test_a_distribution_that_is_asked_for_and_lacks_it_is_refused() -> None:
    found = planned(source="distribution", minimum_engine="27.0")
    assert "Debian trixie offers docker.io 26.1.5+dfsg1-9+deb13u1, and 27.0 or later is needed" in found["problem"]
    assert "docker_host_source=docker" in found["problem"]


def test_a_file_stands_in_for_compose() -> None:
    found = planned(surveyed(("Debian", 12, "bookworm")), ("Debian", 12, "bookworm"), compose_file="~/docker-compose")
    assert (found["source"], found["install"], found["foreign"]) == ("distribution", ("docker.io",), "")
    assert found["details"]["install Docker Compose v2"] == "the file ~/docker-compose"


def test_compose_comes_from_where_the_engine_came_from() -> None:
    missing = {"engine": "28.5.1", "work": ["install Docker Compose v2"]}
    own = planned(surveyed(installed={"docker-ce": "5:28.5.1-1~trixie"}), **missing)
    assert own["install"] == ("docker-compose-plugin",)
    theirs = planned(surveyed(installed={"docker.io": "26.1.5+dfsg1-9+deb13u1"}), **missing)
    assert theirs["install"] == ("docker-compose",)


def test_two_origins_are_never_mixed_unasked() -> None:
    there = {
        "docker.io": "26.1.5+dfsg1-9+deb13u1",
        "docker-cli": "26.1.5+dfsg1-9+deb13u1",
        "containerd": "1.7.24",
        "docker-compose": "2.26.1-4",
    }
    refused = planned(surveyed(installed=there), source="docker", engine="26.1.5", work=[])
    assert (
        "docker.io 26.1.5+dfsg1-9+deb13u1 is installed, and docker_host_source asks for Docker's" in refused["problem"]
    )
    assert "docker_host_upgrade=true" in refused["problem"]
    asked = planned(surveyed(installed=there), source="docker", engine="26.1.5", work=[], upgrade=True)
    # the engine goes with the installation of the other, not before anything of that has been fetched
    assert (asked["remove"], asked["install"]) == (("docker-compose",), tuple(DOCKER_S))
    assert "containerd 1.7.24 by docker-ce 5:28.5.1-1~trixie" in asked["changes"][0]
    assert (asked["problem"], asked["engine_version"]) == ("", "28.5.1")
    assert "replace docker.io 26.1.5" in asked["changes"][0]
    back = planned(surveyed(installed={"docker-ce": "5:28.5.1-1"}), source="distribution", engine="28.5.1", work=[])
    assert "docker-ce 5:28.5.1-1 is installed, and docker_host_source asks for the distribution's" in back["problem"]


def test_what_others_may_use_is_not_removed_unasked() -> None:
    found = planned(surveyed(installed={"containerd": "1.7.24"}), source="docker")
    assert "containerd of another origin would be removed for Docker's own packages" in found["problem"]


@pytest.mark.parametrize("source", ["auto", "docker"])
def test_nothing_is_upgraded_unasked(source: str) -> None:
    found = planned(surveyed(installed={"docker-ce": "5:27.0.0-1"}), source=source, engine="27.0.0", work=[])
    assert (found["install"], found["changes"], found["problem"]) == ((), (), "")


UPGRADE = {"upgrade": True, "work": [], "engine": "28.5.0"}
OLDER = {"docker-ce": "5:28.5.0-1~trixie", "docker-ce-cli": "5:28.5.1-1~trixie", "docker-compose-plugin": "2.30.0-1"}


def test_an_upgrade_takes_what_is_newer_and_says_from_which_to_which() -> None:
    found = planned(surveyed(installed=OLDER), **UPGRADE)
    assert found["install"] == ("docker-ce=5:28.5.1-1~trixie", "docker-compose-plugin=2.40.2-1~trixie")
    assert found["changes"] == (
        "upgrade docker-ce from 5:28.5.0-1~trixie to 5:28.5.1-1~trixie",
        "upgrade docker-compose-plugin from 2.30.0-1 to 2.40.2-1~trixie",
    )
    current = planned(
        surveyed(installed={name: version.format("trixie") for name, version in DOCKER_S.items()}), **UPGRADE
    )
    assert (current["install"], current["changes"]) == ((), ())


@pytest.mark.parametrize(
    ("there", "asked", "refused"),
    [
        ("5:28.5.0-1", {"running": 2, "live_restore": True}, False),
        ("5:28.5.0-1", {"running": 2, "live_restore": False}, True),
        ("5:27.5.0-1", {"running": 2, "live_restore": True}, True),
        ("5:27.5.0-1", {"running": 2, "live_restore": True, "interrupt": True}, False),
        ("5:27.5.0-1", {"running": 0}, False),
    ],
)
def test_containers_are_kept_or_it_is_refused(there: str, asked: dict[str, Any], refused: bool) -> None:
    found = planned(surveyed(installed={"docker-ce": there}), **UPGRADE | asked)
    assert ("would stop the engine's 2 containers" in found["problem"]) is refused


def test_compose_alone_stops_no_container() -> None:
    there = {"docker-ce": "5:28.5.1-1~trixie", "docker-compose-plugin": "2.30.0-1"}
    found = planned(surveyed(installed=there), **UPGRADE | {"running": 3})
    assert (found["problem"], found["engine_version"]) == ("", "")


def test_an_upgrade_that_does_not_reach_the_minimum_is_refused() -> None:
    there = surveyed(installed={"docker.io": "26.1.5+dfsg1-9+deb13u1"})
    found = planned(there, **UPGRADE | {"engine": "26.1.5", "minimum_engine": "27.0"})
    assert "docker.io comes in no later version than 26.1.5" in found["problem"]
    assert "docker_host_source=docker" in found["problem"]


def test_an_upgrade_comes_before_a_compose_that_is_missing() -> None:
    missing = UPGRADE | {"work": ["install Docker Compose v2"]}
    found = planned(surveyed(installed={"docker-ce": "5:28.5.0-1"}), **missing)
    assert (found["install"], found["engine_version"]) == (("docker-ce=5:28.5.1-1~trixie",), "28.5.1")
    assert found["details"]["install Docker Compose v2"] == "docker-compose-plugin 2.40.2-1~trixie"
    then = planned(surveyed(installed={"docker-ce": "5:28.5.1-1~trixie"}), **missing | {"engine": "28.5.1"})
    assert (then["install"], then["changes"]) == (("docker-compose-plugin",), ())
    # what stands in the way of the second is said before the first
    none = planned(surveyed(installed={"docker-ce": "5:28.5.0-1"}), **missing | {"minimum_compose": "99"})
    assert "offers docker-compose-plugin 2.40.2-1~trixie, and 99 or later is needed" in none["problem"]
    # and one that is below the minimum is not told to ask for what was asked for
    stays = planned(surveyed(installed={"docker-ce": "5:28.5.1-1~trixie"}), **missing | {"minimum_engine": "99"})
    assert "docker-ce comes in no later version than 5:28.5.1-1~trixie" in stays["problem"]


def test_an_engine_of_no_package_is_not_upgraded() -> None:
    found = planned(**UPGRADE)
    assert "came from no package that is known here" in found["problem"]


def test_lists_that_can_not_be_fetched_are_told_with_mirror_and_proxy() -> None:
    fault = f"Failed to fetch {DEBIAN}/dists/trixie/InRelease  Could not resolve 'deb.example'"
    survey = surveyed(faults=[fault], proxy="http://…@proxy.example:3128")
    found = planned(survey)
    assert found["source"] == "distribution", "nothing is known of what it offers"
    for part in (fault, f"Mirrors: {DEBIAN}", "the proxy http://…@proxy.example:3128", "Acquire::http::Proxy"):
        assert part in found["problem"]
    others = planned(surveyed(faults=["Failed to fetch http://other.example/dists/x"]))
    assert others["problem"] == "", "a mirror that nothing here comes from is the operator's own affair"


def test_a_package_that_is_nowhere_is_named_with_the_architecture() -> None:
    survey = surveyed(architecture="riscv64", repository=False)
    found = planned(survey, source="docker")
    assert f"{DOCKER} offers no docker-ce, docker-ce-cli" in found["problem"]
    assert "for trixie on riscv64" in found["problem"]


@pytest.mark.parametrize(
    ("version", "minimum", "fits"),
    [
        ("5:28.5.1-1~debian.13~trixie", "28.5", True),
        ("20.10.24+dfsg1-1", "20.10", True),
        ("9.0", "20.10", False),
        ("20.9.5", "20.10", False),
        ("27", "27.0", True),
        ("", "1", False),
    ],
)
def test_versions_are_compared_by_what_their_authors_gave_them(version: str, minimum: str, fits: bool) -> None:
    assert PACKAGES.at_least(version, minimum) is fits
