"""The pages know every reason with which consent can fail, every option, and every field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from token_keeper.cli import main
from token_keeper.cli.consent import _ANSWERED, _ASKED, consent
from token_keeper.cli.login import login
from token_keeper.provider import _LAYOUT

ROOT = Path(__file__).resolve().parents[3]
CLI = [ROOT / "src/token_keeper/cli" / name for name in ("consent.py", "login.py")]


def test_every_reason_is_explained() -> None:
    package = ROOT / "src/token_keeper"
    sources = [path.read_text() for path in [*package.glob("consent/*.py"), package / "provider.py", *CLI]]
    reasons = {reason for source in sources for reason in re.findall(r'"((?:[A-Z][a-z]+){2,})"', source)}
    reasons -= {"ClientSecrets"}  # the class, in __all__
    page = "".join((ROOT / "docs" / name).read_text() for name in ("consent.md", "cli.md"))

    assert {"StateMismatch", "ScopesMissing", "RedirectPortInUse", "ConsentRefused"} <= reasons
    assert {reason for reason in reasons if f"`{reason}`" not in page} == set()


def options_of(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (option for option in parameter.opts if option.startswith("--"))


def test_every_option_is_explained() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    commands: dict[str, click.Command] = {"login": login, **{f"consent {n}": c for n, c in consent.commands.items()}}

    for name, command in commands.items():
        assert f"`{name}`" in page
        assert {option for option in options_of(command) if f"`{option}" not in page} - {"--json"} == set(), name
    assert {name for name in main.commands if f"`{name}`" not in page and name != "consent"} == set()


@pytest.mark.parametrize("field", sorted(_ASKED | _ANSWERED))
def test_every_field_is_explained(field: str) -> None:
    assert f"`{field}`" in (ROOT / "docs/cli.md").read_text()


@pytest.mark.parametrize("key", [key for keys in _LAYOUT.values() for key in keys])
def test_every_key_of_a_profile_is_explained(key: str) -> None:
    page = (ROOT / "docs/consent.md").read_text()
    assert re.search(rf"`(\w+)?\.?{key}`", page)
