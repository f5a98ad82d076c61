"""The locks: every requirement pinned with hashes, no address in any of them, each in step with its .in file."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import ansible_collections
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
SETS = sorted(path.stem for path in REQUIREMENTS.glob("*.in"))


def load(path: Path) -> ModuleType:
    """Import a program that is no module of any package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


stage_contexts = load(ROOT / "roles/images/files/stage_contexts.py")


def lock(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Return a lock as {name: (requirement, hashes)}."""
    found = {}
    for entry in stage_contexts.entries((REQUIREMENTS / f"{name}.txt").read_text()):
        text, *hashes = re.split(r"\s+--hash=", entry)
        requirement = Requirement(text)
        found[canonicalize_name(requirement.name)] = (requirement, hashes)
    return found


def wanted(name: str) -> list[Requirement]:
    """Return what a set asks for, included sets too."""
    found = []
    for line in (REQUIREMENTS / f"{name}.in").read_text().splitlines():
        if line.startswith("-r "):
            found += wanted(line.removeprefix("-r ").removesuffix(".in"))
        elif line and not line.startswith("#"):
            found.append(Requirement(line))
    return found


def version(requirement: Requirement) -> Version:
    [pin] = requirement.specifier
    assert pin.operator == "=="
    return Version(pin.version)


def test_every_set_is_locked() -> None:
    assert set(SETS) == {path.stem for path in REQUIREMENTS.glob("*.txt")}
    assert {"controller", "dev", "images", "keeper", "sandbox", "stack"} <= set(SETS)


@pytest.mark.parametrize("name", SETS)
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    for requirement, hashes in lock(name).values():
        assert version(requirement)
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", item) for item in hashes)


@pytest.mark.parametrize("name", SETS)
def test_no_lock_has_an_address(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    assert not re.search(r"://|^\s*(--(extra-)?index-url|--find-links|-i|-f)\b|@ *file", text, re.MULTILINE)
    assert not re.search(r"\b(pypi|pythonhosted|localhost|artifact|\d+\.\d+\.\d+\.\d+:\d+)\b", text)


@pytest.mark.parametrize("name", SETS)
def test_the_lock_satisfies_what_was_asked_for(name: str) -> None:
    locked = lock(name)
    for requirement in wanted(name):
        pinned, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version(pinned), prereleases=True), f"{pinned} is not {requirement}"


@pytest.mark.parametrize("name", SETS)
def test_the_sets_agree_on_versions(name: str) -> None:
    locked, everything = lock(name), lock("dev")
    # what the benchmarks compare with is installed apart, and agrees in all that the others have too
    assert name == "bench" or locked.keys() <= everything.keys()
    own = {"ansible", "ansible-core", "resolvelib"} if name == "previous" else set()
    for key in (locked.keys() & everything.keys()) - own:
        assert version(locked[key][0]) == version(everything[key][0])


@pytest.mark.parametrize("python", ["3.11.2", "3.12.7", "3.13.1"])
@pytest.mark.parametrize("image", ["keeper", "sandbox", "stack", "images"])
def test_an_image_lock_covers_each_python(image: str, python: str) -> None:
    minor = python.rpartition(".")[0]
    environment = {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "6.1",
        "platform_system": "Linux",
        "platform_version": "1",
        "python_full_version": python,
        "python_version": minor,
        "sys_platform": "linux",
    }
    chosen = stage_contexts.applicable((REQUIREMENTS / f"{image}.txt").read_text(), environment)
    names = stage_contexts.names(chosen)
    assert {canonicalize_name(requirement.name) for requirement in wanted(image)} <= names
    assert not {"colorama", "pywin32"} & names, "for Windows alone"
    assert not any(";" in line for line in chosen)
    target = stage_contexts.Target.parse(json.dumps({"markers": environment, "libc": ["glibc", "2.36"]}))
    assert f"cp{minor.replace('.', '')}" in target.pip_options
    assert "manylinux_2_36_x86_64" in target.pip_options
    assert "manylinux_2_37_x86_64" not in target.pip_options


@pytest.mark.parametrize(
    ("python", "libc", "message"),
    [
        ("3.9.2", ["glibc", "2.31"], "needs 3.11 or later: set images_python_image or images_debian_suite"),
        ("3.12.1", ["", ""], "set images_python_image to a glibc image"),
    ],
)
def test_a_base_that_will_not_do_is_named(python: str, libc: list[str], message: str) -> None:
    with pytest.raises(stage_contexts.StageError, match=message):
        stage_contexts.Target.parse(json.dumps({"markers": {"python_full_version": python}, "libc": libc}))


def test_the_collections_are_those_of_the_ansible_package() -> None:
    bundled = Path(ansible_collections.__path__[0])
    for collection in yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]:
        manifest = (bundled / collection["name"].replace(".", "/") / "MANIFEST.json").read_text()
        assert json.loads(manifest)["collection_info"]["version"] == collection["version"], collection["name"]


def test_the_collections_in_use_are_listed() -> None:
    listed = {item["name"] for item in yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]}
    used = set()
    for folder in ("roles", "playbooks", "molecule"):
        for path in (ROOT / folder).rglob("*.yml"):
            used |= set(
                re.findall(r"^\s*-?\s*((?!ansible\.builtin)[a-z]+\.[a-z]+)\.[a-z0-9_]+:", path.read_text(), re.M)
            )
    assert used
    assert used <= listed
