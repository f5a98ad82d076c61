"""Both releases of Debian as hosts, by both versions of Ansible: the newest, and the one before."""

from __future__ import annotations

import subprocess

import pytest
from deployment import BIN, PLAYBOOK
from hosts import Hosts, Wanted, hosts, provider, uncounted

PREVIOUS = BIN.parent / "previous" / "bin" / "ansible-playbook"
SUITES = ("trixie", "bookworm")

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


def version(program: str) -> tuple[int, ...]:
    """Return the version of ansible-core that a program is of."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    number = said.split("core ", 1)[1].split("]", 1)[0]
    return tuple(int(part) for part in number.split(".")[:2])


def serves(made: Hosts, host: str) -> bool:
    """Tell whether the application on a host says that it is ready."""
    script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/api/v1/health/ready').status)"
    return made.inside(host, f'python3 -c "{script}"').strip() == "200"


def test_bare_machines_of_both_debians_by_both_ansibles() -> None:
    previous = str(PREVIOUS)
    newest = version(PLAYBOOK)
    assert version(previous) == (newest[0], newest[1] - 1)
    wanted = [Wanted(suite, suite, engine=False) for suite in SUITES]
    with hosts(*wanted, prefix="tk-matrix") as made, provider(made) as variables:
        made.settle(uncounted(variables))
        first = made.playbook("site.yml", timeout=1200, program=previous).succeeded()
        assert first.text.count("level process") == len(SUITES)
        assert made.playbook("site.yml").succeeded().changed == 0, "the newest finds all as the one before has left it"
        assert made.playbook("site.yml", "--check", program=previous).succeeded().changed == 0
        assert made.playbook("rotate_token.yml", program=previous).succeeded().changed > 0
        assert made.playbook("playbooks/status.yml").succeeded().changed == 0
        assert all(serves(made, suite) for suite in SUITES)
