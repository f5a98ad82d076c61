"""Images that are built on the controller and saved for a host that lacks them."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
KEEPER, REDIS = "kit-keeper:0123", "kit-redis:4567"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "controller_archive", ROOT / "roles/images/files/controller_archive.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["controller_archive"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command of an engine that has what stands in a file, and writes down what it is asked."""
    program, there = tmp_path / "bin" / "docker", tmp_path / "there"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
echo "$*" >>{tmp_path}/calls
case $1 in
info) [ -e {there} ] || {{ echo "Cannot connect to the Docker daemon" >&2; exit 1; }}; echo x86_64 ;;
image) cat {there} ;;
save) touch "$3" ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("HOME", str(tmp_path))
    return there


def main(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, into: Path, architecture: str = "x86_64", root: Path = ROOT
) -> int:
    wanted = {
        "images": {"keeper": KEEPER, "redis": REDIS},
        "variables": {"images_prefix": "kit"},
        "architecture": architecture,
    }
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(wanted)))
    monkeypatch.setattr(sys, "argv", ["controller_archive.py", "--root", str(root), "--into", str(into)])
    return int(script.main())


def test_what_the_controller_has_is_saved_in_one_archive(
    script: ModuleType, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.write_text(f"{KEEPER}\nother:1\n{REDIS}\n")
    monkeypatch.setattr(script, "build", lambda *_: pytest.fail("there is nothing to build"))
    assert main(script, monkeypatch, tmp_path / "images.tar") == 0
    assert (tmp_path / "calls").read_text().splitlines()[-1] == f"save --output {tmp_path}/images.tar {KEEPER} {REDIS}"


def test_what_it_lacks_is_built_by_the_role_and_nothing_else(
    script: ModuleType, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.write_text(f"{KEEPER}\n")
    # in place of the role: it writes down what it was told
    tasks = tmp_path / "checkout" / "roles" / "images" / "tasks"
    tasks.mkdir(parents=True)
    names = "[images_build, images_prefix, images_built_on, ansible_connection]"
    told = {"content": "{{ " + names + " | to_json }}", "dest": str(tmp_path / "told.json")}
    (tasks / "main.yml").write_text(json.dumps([{"ansible.builtin.copy": told}]))
    # which no settings of its own may keep from being found
    monkeypatch.setenv("ANSIBLE_INVENTORY", "/nowhere")
    assert main(script, monkeypatch, tmp_path / "images.tar", root=tmp_path / "checkout") == 0
    # the controller hands nothing to itself
    assert json.loads((tmp_path / "told.json").read_text()) == [["redis"], "kit", "host", "local"]


def test_a_build_that_fails_is_told_with_its_end(
    script: ModuleType,
    engine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine.write_text("")
    monkeypatch.setattr(script.sys, "executable", "/bin/false")
    assert main(script, monkeypatch, tmp_path / "images.tar") == 1
    assert "the controller could not build keeper, redis" in capsys.readouterr().err
    assert not (tmp_path / "images.tar").exists()


@pytest.mark.parametrize(
    ("there", "architecture", "said"),
    [
        (True, "aarch64", "its images are for x86_64, and this host is aarch64"),
        (False, "x86_64", "docker info failed on the controller: Cannot connect to the Docker daemon"),
    ],
)
def test_what_the_controller_cannot_do_is_said_before_anything_is_built(
    script: ModuleType,
    engine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    there: bool,
    architecture: str,
    said: str,
) -> None:
    if there:
        engine.write_text("")
    assert main(script, monkeypatch, tmp_path / "images.tar", architecture) == 1
    assert said in capsys.readouterr().err
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_the_controller_is_told_every_variable_that_a_name_depends_on() -> None:
    """One that was forgotten would have the controller build images of other names than the host asks for."""

    variables = yaml.safe_load((ROOT / "roles/images/vars/main.yml").read_text())["__images_wanted"]["variables"]
    defaults = set(yaml.safe_load((ROOT / "roles/images/defaults/main.yml").read_text()))
    assert defaults - set(variables) == {"images_build", "images_built_on"}
