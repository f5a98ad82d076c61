"""How long the playbooks take, on one, three and six hosts over SSH, beside a plain playbook of stock modules.

Run by ``make bench-playbooks``. Hosts are containers with systemd, sshd and an engine of their own, made for the run.
The plain playbook does with Ansible's and community.docker's own modules what site.yml does: engine, packages, compose
file, images, volume, a token put into it, compose. All take turns in one run, so that all meet the same load. Figures
are printed, and written to build/bench/playbooks.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from deployment import Run  # noqa: E402
from hosts import Hosts, Wanted, hosts, provider, uncounted  # noqa: E402

NAMES = ("one", "two", "three", "four", "five", "six")
TOLD = ROOT / "build" / "bench" / "playbooks.json"
# What a host has by Debian's own packages, where role docker_host has put the engine
PACKAGES = ["docker.io", "docker-cli", "docker-compose", "python3-requests"]


def ping(_: Hosts) -> list[dict[str, Any]]:
    """Return the least that any play does."""
    return [{"ansible.builtin.ping": {}}]


def plain(made: Hosts) -> list[dict[str, Any]]:
    """Return tasks of stock modules that bring about the same, without any of the kit's care for the token.

    They work on the project that the kit has deployed, so that they find all as it should be: files, images and
    containers are the same for both.
    """
    folder, project = f"/opt/token-keeper/{made.prefix}", made.prefix
    compose = made.inside("one", f"cat {folder}/compose.yml")
    file = made.folder / "plain.compose.yml.j2"
    file.write_text("{% raw %}" + compose + "{% endraw %}\n")
    images = sorted({line.split()[1] for line in compose.splitlines() if line.strip().startswith("image:")})
    owner = {"owner_id": 999, "group_id": 999, "mode": "0600", "mode_parse": "modern"}
    token = {
        "path": f"{folder}/plain.json",
        "container": f"{project}-api-1",
        "container_path": "/app/tokens/plain.json",
    }
    (made.folder / "plain.json").write_text('{"token": "of nobody"}\n')
    validate = "docker compose -f %s config --quiet"
    return [
        {"ansible.builtin.apt": {"name": PACKAGES, "state": "present"}},
        {"ansible.builtin.systemd_service": {"name": "docker", "state": "started", "enabled": True}},
        {"community.docker.docker_image_info": {"name": images}},
        {"community.docker.docker_volume": {"name": f"{project}_token_data"}},
        {"ansible.builtin.file": {"path": folder, "state": "directory", "mode": "0755"}},
        {
            "ansible.builtin.template": {
                **{"src": str(file), "dest": f"{folder}/compose.yml"},
                **{"mode": "0644", "validate": validate},
            }
        },
        {"community.docker.docker_compose_v2": {"project_src": folder, "pull": "never", "wait": True}},
        # It takes a file of the host: the token lies on its disk, too
        {"ansible.builtin.copy": {"src": str(made.folder / "plain.json"), "dest": token["path"], "mode": "0600"}},
        {"community.docker.docker_container_copy_into": {**token, **owner}},
    ]


def play(made: Hosts, tasks: Callable[[Hosts], list[dict[str, Any]]]) -> str:
    """Write a playbook beside the inventory and return its path."""
    path = made.folder / f"{tasks.__name__}.yml"
    path.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "tasks": tasks(made)}]))
    return str(path)


def unchanged(run: Run) -> float:
    """Return the seconds of a run that had nothing to do.

    Raises:
        AssertionError: it failed, or found something to do.
    """
    assert run.succeeded().changed == 0, run.text[-4000:]
    return run.seconds


def measured(count: int, rounds: int, *, bare: bool) -> dict[str, Any]:
    """Deploy on fresh hosts, then run everything in turns."""
    wanted = [Wanted(name, engine=not bare) for name in NAMES[:count]]
    with hosts(*wanted, prefix="tk-bench") as made, provider(made) as variables:
        made.settle(uncounted(variables))
        say(f"{count}: hosts are up; site.yml, cold")
        cold = made.playbook("site.yml", timeout=3600).succeeded().seconds
        plays = {"ping": play(made, ping), "plain": play(made, plain)}
        made.playbook(plays["plain"], timeout=1200).succeeded()  # its token is new
        found: dict[str, list[float]] = {name: [] for name in ("ping", "site", "plain", "status", "rotate")}
        for number in range(rounds):
            say(f"{count}: round {number + 1} of {rounds}")
            found["ping"].append(made.playbook(plays["ping"]).succeeded().seconds)
            found["site"].append(unchanged(made.playbook("site.yml", timeout=1200)))
            found["plain"].append(unchanged(made.playbook(plays["plain"], timeout=1200)))
            found["status"].append(unchanged(made.playbook("playbooks/status.yml")))
        for _ in range(rounds):
            found["rotate"].append(made.playbook("rotate_token.yml", timeout=1200).succeeded().seconds)
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    return {"bare": bare, "cold": cold, **medians, "rounds": found}


def relations(told: dict[str, Any]) -> dict[str, float]:
    """Return what is compared: relations, since the machine may be any."""
    alone = told["hosts"]["1"]
    found = {
        "second run of site.yml / ping, one host": alone["site"] / alone["ping"],
        "second run of site.yml / plain playbook, one host": alone["site"] / alone["plain"],
    }
    for count, several in told["hosts"].items():
        if count != "1":
            found[f"second run of site.yml, {count} hosts / one"] = several["site"] / alone["site"]
    return found


def say(text: str) -> None:
    """Show how far it is."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def table(told: dict[str, Any]) -> str:
    """Return the figures for people."""
    names = ("cold", "site", "plain", "ping", "status", "rotate")
    heads = ("site.yml, cold", "site.yml, second", "plain, second", "ping", "status.yml", "rotate_token.yml")
    lines = [f"| hosts | {' | '.join(heads)} |", "| ---: |" + " ---: |" * len(heads)]
    for count, figures in told["hosts"].items():
        lines.append(f"| {count} | {' | '.join(f'{figures[name]:.1f}' for name in names)} |")
    return "\n".join([*lines, "", *(f"{name}: {value:.2f}" for name, value in told["relations"].items())])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 3, 6], choices=range(1, len(NAMES) + 1))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    told: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "hosts": {},
    }
    for count in options.hosts:
        # One host comes without an engine, as a machine does; of many the engines are not what is compared
        told["hosts"][str(count)] = measured(count, options.rounds, bare=count == 1)
        told["load_after"] = os.getloadavg()[0]
        told["relations"] = relations(told) if "1" in told["hosts"] else {}
        # As far as it has come: the next ones take minutes
        TOLD.parent.mkdir(parents=True, exist_ok=True)
        TOLD.write_text(json.dumps(told, indent=2) + "\n")
    print(table(told))


if __name__ == "__main__":
    main()
