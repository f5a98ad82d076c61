"""Every role: its argument specification, its defaults and its README say the same."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir() and not path.name.startswith("."))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


role_readme = load(ROOT / "scripts/role_readme.py")
EACH_ROLE = pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)


@EACH_ROLE
def test_the_parts_of_a_role_are_there(role: Path) -> None:
    for part in ("README.md", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml"):
        assert (role / part).is_file(), f"roles/{role.name}/{part}"


@EACH_ROLE
def test_specification_and_defaults_agree(role: Path) -> None:
    assert role_readme.Role.read(role).complaints() == []


@EACH_ROLE
def test_no_default_is_half_a_template(role: Path) -> None:
    halves = re.compile(r"(?<!\{)\{ |^\{[^{%]| \}(?!\})")
    texts = [value for value in role_readme.Role.read(role).defaults.values() if isinstance(value, str)]
    assert [text for text in texts if "{{" not in text and "{%" not in text and halves.search(text)] == []


@EACH_ROLE
def test_the_readme_is_up_to_date(role: Path) -> None:
    written = (role / "README.md").read_text()
    assert written == role_readme.Role.read(role).readme(), "run scripts/role_readme.py"


@EACH_ROLE
def test_the_main_file_is_a_short_table_of_contents(role: Path) -> None:
    assert len((role / "tasks/main.yml").read_text().splitlines()) <= 70


@EACH_ROLE
def test_every_entry_point_has_its_tasks(role: Path) -> None:
    for name in yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]:
        assert (role / f"tasks/{name}.yml").is_file(), f"{role.name}: {name} is specified, and there are no such tasks"


@pytest.mark.parametrize(
    ("spec", "defaults", "complaint"),
    [
        ({"sample_a": {"description": "A."}}, "", "sample_a is optional and has no default"),
        ({}, "# Why\nsample_b: 1\n", "sample_b has a default and is not in argument_specs.yml"),
        ({"sample_c": {"description": "C."}}, "sample_c: 1\n", "sample_c has no comment above it"),
        ({"sample_d": {"type": "str"}}, "# Why\nsample_d: ''\n", "sample_d has no description"),
        ({"other": {"description": "O."}}, "# Why\nother: 1\n", "other does not begin with the role's name"),
        ({"sample_e": {"description": "E.", "default": 1}}, "# Why\nsample_e: 1\n", "belongs into defaults/main.yml"),
    ],
)
def test_a_difference_is_named(tmp_path: Path, spec: dict[str, object], defaults: str, complaint: str) -> None:
    role = tmp_path / "sample"
    (role / "meta").mkdir(parents=True)
    (role / "defaults").mkdir()
    (role / "meta/argument_specs.yml").write_text(
        yaml.safe_dump({"argument_specs": {"main": {"short_description": "S", "options": spec}}})
    )
    (role / "defaults/main.yml").write_text(f"---\n{defaults}")
    assert any(complaint in found for found in role_readme.Role.read(role).complaints())


def booleans() -> set[str]:
    found = {"sandbox_enabled", "teardown_images", "teardown_volume"}
    for role in ROLES:
        for entry in yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"].values():
            found |= {name for name, option in entry.get("options", {}).items() if option.get("type") == "bool"}
    return found


def undecided(path: Path, name: str) -> list[str]:
    """Return the lines in which a boolean decides without being converted."""
    handed_over = re.compile(rf'\s*\w+: "{{{{ {name} }}}}"')  # to a module, which converts it
    used = re.compile(rf"(?<![\w./-]){name}(?![\w=:]| is )(?!['\]]*( \| default\((?:true|false)\))? \| bool\b)")
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in lines if used.search(line) and not handed_over.fullmatch(line)]


def test_a_boolean_is_converted_where_it_decides() -> None:
    # -e name=false brings a text, which is true; a role's argument specification checks it and converts nothing
    names = booleans()
    sources = [
        path for path in (*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/*/*")) if path.suffix in (".yml", ".j2")
    ]
    found = {
        f"{path.relative_to(ROOT)}: {line}"
        for path in sources
        if path.parent.name != "meta"
        for name in names
        for line in undecided(path, name)
    }
    assert found == set()


@EACH_ROLE
def test_a_loop_s_variable_is_none_of_the_role_s_own(role: Path) -> None:
    """Ansible warns of it, and what reads the role's own variable inside the loop reads the loop's."""
    loops = {
        name
        for path in (role / "tasks").glob("*.yml")
        for name in re.findall(r"^\s+loop_var: (\w+)$", path.read_text(), re.MULTILINE)
    }
    own: set[str] = set()
    for part in ("defaults/main.yml", "vars/main.yml"):
        if (role / part).is_file():
            own |= set(yaml.safe_load((role / part).read_text()) or {})
    assert loops & own == set()
