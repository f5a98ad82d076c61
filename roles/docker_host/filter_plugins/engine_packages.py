"""Which packages an engine and Compose come from: the distribution's or Docker's own, never both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

ENGINES: Final = {"docker.io": "distribution", "docker-ce": "docker"}
DOCKER: Final = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin")
DOCKER_COMPOSE: Final = "docker-compose-plugin"
DISTRIBUTION: Final = (
    "docker.io",
    "docker-cli",
    "docker-compose",
    "docker-compose-v2",
    "docker-buildx",
    "containerd",
    "runc",
)
"""What the distributions call theirs. Docker's exclude them; those of Compose have one file, and do not say so."""
_SUITES: Final = {"trixie": "2.26.1"}
"""The Compose that a suite is known to have, where it serves another release."""


@dataclass(frozen=True)
class Offer:
    """What a release calls its engine and its Compose v2; ``suite``: another one that has the latter."""

    engine: tuple[str, ...]
    compose: str
    suite: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be installed, and from where; ``problem`` says why not, and ``details`` by work what it would be."""

    source: str
    install: tuple[str, ...] = ()
    foreign: str = ""
    remove: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    engine_version: str = ""
    why: str = ""
    problem: str = ""
    details: Mapping[str, str] | None = None


def offer(distribution: str, major: int, release: str) -> Offer:
    """Return the names of a distribution's packages.

    Debian 13 split the command from the engine. Debian 12 has no Compose v2, and takes Debian 13's. Ubuntu has
    ``docker-compose-v2`` in every release since 20.04, in its universe; in 20.04 and 22.04 by their updates.
    """
    if distribution == "Ubuntu":
        return Offer(("docker.io",), "docker-compose-v2")
    if major >= 13 or release in ("forky", "sid"):
        return Offer(("docker.io", "docker-cli"), "docker-compose")
    return Offer(("docker.io",), "docker-compose", "trixie" if release == "bookworm" else "")


def upstream(version: str) -> str:
    """Return what of a package's version its authors gave it: ``26.1.5`` of ``5:26.1.5+dfsg1-9``."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return found[1] if found else ""


def at_least(version: str, minimum: str) -> bool:
    """Say whether a version, of a package or its authors', is not older than another."""
    has, needs = ([int(part) for part in upstream(each).split(".") if part] for each in (version, minimum))
    return bool(has) and has + [0] * (len(needs) - len(has)) >= needs


def plan(survey: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide where an engine and Compose come from.

    Args:
        survey: what ``files/survey.py`` has found.
        asked: ``distribution``, ``major``, ``release``; ``source`` (auto, distribution, docker), ``upgrade``,
            ``repository``; ``minimum_engine`` and ``minimum_compose``; ``work`` (what the role has to do);
            ``compose_file`` where Compose is one; ``engine_packages`` and ``compose_suite`` where they are named;
            ``engine``: the version that answers, ``running``: its containers, ``live_restore``, ``interrupt``;
            ``seen``: whether the survey knows Docker's repository.

    Returns:
        ``source`` and ``why``; ``install``: packages, each with its version where it is an upgrade; ``foreign``: that
        of Compose where another suite brings it; ``remove``: what has the same files and goes before; ``changes``: what
        an upgrade would do, a sentence each; ``engine_version``: the version that an engine has after it; ``details``:
        by work what would be installed; ``problem``: why nothing can be done, or empty.
    """
    made = asdict(_Decision(survey, asked).made())
    return {name: list(value) if isinstance(value, tuple) else value for name, value in made.items()}


class _Decision:
    def __init__(self, survey: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        self.survey, self.asked = survey, asked
        self.packages: Mapping[str, Any] = survey.get("packages") or {}
        self.offer = offer(asked["distribution"], int(asked["major"] or 0), asked["release"])
        self.suite = asked.get("compose_suite") or self.offer.suite
        if self.suite == asked["release"]:
            self.suite = ""
        self.there = next((name for name in ENGINES if self._installed(name)), "")

    def made(self) -> Plan:
        source, why = self._source()
        if not self.there and self.asked.get("engine") and self.asked["upgrade"]:
            return Plan(source, problem=self._unknown())
        if self.there and ENGINES[self.there] != source:
            if not self.asked["upgrade"]:
                return Plan(source, problem=self._mixed(source))
            return self._replaced(source)
        runs = bool(self.asked.get("engine"))
        missing = self._installation(source, why) if self.asked["work"] or not runs else Plan(source)
        if not runs or not self.asked["upgrade"]:
            return missing
        # What is missing comes after it, with a plan of its own; what stands in the way of either is said before both
        upgraded = self._upgraded(source)
        if not upgraded.changes and not upgraded.problem:
            return missing
        return replace(upgraded, problem=upgraded.problem or missing.problem, details=missing.details)

    def _source(self) -> tuple[str, str]:
        asked = str(self.asked["source"])
        if asked != "auto":
            return asked, "docker_host_source asks for it"
        if self.there:
            return ENGINES[self.there], f"{self.there} is installed"
        if self.asked.get("engine_packages"):
            return "distribution", ""
        lacking = self._lacking()
        return ("docker", lacking) if lacking else ("distribution", "")

    def _lacking(self) -> str:
        """Say what of the minimum the distribution does not offer; empty where it offers all, or none is known."""
        if not self.packages or self._unreachable(self.offer.engine):
            return ""
        work, minimum = self.asked["work"], self.asked["minimum_engine"]
        engine = self._candidate("docker.io")
        where = f"{self.asked['distribution']} {self.asked['release']}"
        if "install Docker Engine" in work and not at_least(engine, minimum):
            return f"{where} offers {self._has('docker.io', engine)}, and {minimum} is needed"
        if "install Docker Compose v2" in work and not self.asked.get("compose_file"):
            compose = _SUITES.get(self.suite, "") if self.suite else self._candidate(self.offer.compose)
            if self.suite and not compose:
                return ""  # one that the operator names
            minimum = self.asked["minimum_compose"]
            if not at_least(compose, minimum):
                return f"{where} offers {self._has(self.offer.compose, compose)}, and {minimum} is needed"
        return ""

    @staticmethod
    def _has(package: str, version: str) -> str:
        return f"{package} {upstream(version)}" if version else f"no {package}"

    def _installation(self, source: str, why: str) -> Plan:
        work, compose, foreign = self.asked["work"], self._compose(source), self._foreign(source)
        engine = tuple(self.asked.get("engine_packages") or (DOCKER if source == "docker" else self.offer.engine))
        by_work = {"install Docker Engine": engine, "install Docker Compose v2": filter(None, (compose,))}
        install = tuple(name for each, names in by_work.items() if each in work for name in names)
        return Plan(
            source,
            install=install,
            foreign=foreign if "install Docker Compose v2" in work else "",
            why=why,
            problem=self._occupied(source) or self._obstacle(source, install),
            details={
                "install Docker Engine": self._described(engine),
                "install Docker Compose v2": self._compose_described(compose, foreign),
            },
        )

    def _compose(self, source: str) -> str:
        """Return the package of Compose, out of the same source; empty where it comes from elsewhere."""
        if self.asked.get("compose_file") or self._foreign(source):
            return ""
        return DOCKER_COMPOSE if source == "docker" else self.offer.compose

    def _foreign(self, source: str) -> str:
        """Return the package of Compose that another suite brings, or none."""
        return (
            self.offer.compose if self.suite and source == "distribution" and not self.asked.get("compose_file") else ""
        )

    def _compose_described(self, compose: str, foreign: str) -> str:
        if self.asked.get("compose_file"):
            return f"the file {self.asked['compose_file']}"
        return f"{foreign} from {self.suite}" if foreign else self._described((compose,))

    def _described(self, packages: Iterable[str]) -> str:
        return ", ".join(f"{name} {self._candidate(name)}".rstrip() for name in packages)

    def _obstacle(self, source: str, wanted: tuple[str, ...]) -> str:
        if not wanted or not self.packages or (source == "docker" and not self.asked["seen"]):
            return ""
        if self._unreachable((*wanted, "ca-certificates")):
            return self._lists_problem()
        release, ours = self.asked["release"], source == "docker"
        where = self.asked["repository"] if ours else f"{self.asked['distribution']} {release}"
        if absent := [name for name in wanted if not self._candidate(name)]:
            return (
                f"{where} offers no {', '.join(absent)} for {release} on {self.survey.get('architecture')}. Name "
                "another source (docker_host_source, docker_host_repository), or have the engine installed by hand."
            )
        for package, minimum in (
            ("docker-ce" if ours else "docker.io", self.asked["minimum_engine"]),
            (DOCKER_COMPOSE if ours else self.offer.compose, self.asked["minimum_compose"]),
        ):
            if package in wanted and not at_least(self._candidate(package), minimum):
                other = "docker_host_repository" if ours else "docker_host_source=docker"
                return (
                    f"{where} offers {package} {self._candidate(package)}, and {minimum} or later is needed. Say where "
                    f"that comes from ({other})."
                )
        return ""

    def _unreachable(self, packages: Iterable[str]) -> bool:
        """Say whether what apt could not fetch is where these packages come from."""
        faults = self.survey.get("faults") or []
        for name in packages:
            origins = [origin.rstrip("/") for origin in self._of(name).get("origins", [])]
            if faults and (not origins or any(origin in fault for origin in origins for fault in faults)):
                return True
        return False

    def _lists_problem(self) -> str:
        proxy = self.survey.get("proxy")
        mirrors = ", ".join(self.survey.get("mirrors") or []) or "none that apt knows"
        way = f"apt goes by the proxy {proxy}" if proxy else "apt goes by no proxy"
        return (
            f"the lists of packages could not be fetched: {' '.join(self.survey['faults'][:2])} Mirrors: "
            f"{mirrors}. {way}; it takes another as Acquire::http::Proxy in /etc/apt/apt.conf.d. "
            "See that the host reaches a mirror."
        )

    def _unknown(self) -> str:
        return (
            f"Docker Engine {self.asked['engine']} answers, and came from no package that is known here "
            f"({' or '.join(ENGINES)}): upgrade it by the way it was installed, and take docker_host_upgrade away."
        )

    def _mixed(self, source: str) -> str:
        kind = {"docker": "Docker's own packages", "distribution": "the distribution's"}[source]
        return (
            f"{self.there} {self._of(self.there)['installed']} is installed, and docker_host_source asks for {kind}. "
            "They exclude each other. Leave docker_host_source at auto, or have one replaced by the other "
            "(-e docker_host_upgrade=true): images, volumes and containers stay, and the containers stop meanwhile."
        )

    def _upgraded(self, source: str) -> Plan:
        family = (*DOCKER, DOCKER_COMPOSE) if source == "docker" else DISTRIBUTION[:5]
        there = [name for name in family if self._installed(name)]
        if self._unreachable(there):
            return Plan(source, problem=self._lists_problem())
        newer = tuple(name for name in there if self._of(name)["newer"])
        engines = [name for name in newer if "compose" not in name and "buildx" not in name]
        keeps = not engines or (bool(self.asked.get("live_restore")) and self._same_release())
        changes = tuple(
            f"upgrade {name} from {self._of(name)['installed']} to {self._candidate(name)}" for name in newer
        )
        return Plan(
            source,
            install=tuple(f"{name}={self._candidate(name)}" for name in newer),
            changes=changes,
            engine_version=upstream(self._candidate(self.there)) if engines else "",
            problem=self._below(newer, source) or self._stops(keeps, changes),
        )

    def _same_release(self) -> bool:
        """Say whether the engine stays within its release: live-restore is not made for more."""
        versions = (self._of(self.there)["installed"], self._candidate(self.there))
        return len({tuple(upstream(version).split(".")[:2]) for version in versions}) == 1

    def _below(self, newer: tuple[str, ...], source: str) -> str:
        engine, minimum, offered = self.asked["engine"], self.asked["minimum_engine"], self._candidate(self.there)
        if at_least(engine, minimum) or (self.there in newer and at_least(offered, minimum)):
            return ""
        other = ", or have it replaced by Docker's own (docker_host_source=docker)" if source == "distribution" else ""
        return (
            f"Docker Engine {engine} is too old: {minimum} or later is needed, and {self.there} comes in no later "
            f"version than {offered or engine}. Upgrade the distribution{other}."
        )

    def _replaced(self, source: str) -> Plan:
        there, foreign = self._in_the_way(source), self._foreign(source)
        engine = DOCKER if source == "docker" else self.offer.engine
        install = tuple(filter(None, (*engine, self._compose(source))))
        before = ", ".join(f"{name} {self._of(name)['installed']}" for name in there)
        changes = (f"replace {before} by {self._described(filter(None, (*install, foreign)))}",)
        return Plan(
            source,
            install=install,
            foreign=foreign,
            # The engine itself goes with the installation of the other, for which apt has fetched everything by then
            remove=tuple(name for name in there if name.startswith(("docker-compose", "docker-buildx"))),
            changes=changes,
            engine_version=upstream(self._candidate(engine[0])),
            problem=self._obstacle(source, install) or self._stops(False, changes),
        )

    def _stops(self, keeps: bool, changes: tuple[str, ...]) -> str:
        running = int(self.asked.get("running") or 0)
        if keeps or not running or self.asked["interrupt"]:
            return ""
        return (
            f"to {'; '.join(changes)} would stop the engine's {running} containers. live-restore keeps them over an "
            "upgrade within a release, as from 26.1.4 to 26.1.5 (docker_host_daemon_options: {live-restore: true}); or "
            "say that they may stop (-e docker_host_interrupt=true)."
        )

    def _occupied(self, source: str) -> str:
        # They may serve others, as containerd does for Kubernetes: nothing for this role to remove unasked
        if not (there := self._in_the_way(source)):
            return ""
        named = "Docker's own packages" if source == "docker" else "the distribution's"
        return (
            f"{', '.join(there)} of another origin would be removed for {named}. See who uses them, and remove them by "
            f"hand (apt-get remove {' '.join(there)}), or set docker_host_source."
        )

    def _in_the_way(self, source: str) -> tuple[str, ...]:
        names = DISTRIBUTION if source == "docker" else (*DOCKER, DOCKER_COMPOSE)
        return tuple(name for name in names if self._installed(name))

    def _of(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.packages.get(name) or {}
        return found

    def _installed(self, name: str) -> bool:
        return bool(self._of(name).get("installed"))

    def _candidate(self, name: str) -> str:
        return str(self._of(name).get("candidate") or "")


class FilterModule:
    """The filters by the names that templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {"docker_host_plan": plan}
