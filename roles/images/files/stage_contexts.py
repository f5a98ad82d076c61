"""Makes the build contexts of the images on the controller: for the Python ones sources, lock and a wheelhouse.

Wheels are fetched here, not in the build, so that a build needs neither a network nor a private CA inside a container.
They are chosen for the Python *of the base image*: its marker environment comes on stdin as JSON, since pip evaluates
markers with the interpreter it runs under, whatever --python-version says.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

OLDEST_GLIBC_MINOR = 5  # manylinux1
MINIMUM_PYTHON = (3, 11)
PYTHON_IMAGES = ("keeper", "stack", "sandbox")


class StageError(Exception):
    """A context that can't be made; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """The base image's Python."""

    markers: dict[str, str]
    libc: str
    libc_version: tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read what `describe_python.py` printed inside the image.

        Raises StageError where the image's Python or C library can't carry the wheels.
        """
        answer = json.loads(text)
        markers: dict[str, str] = answer["markers"]
        version = markers["python_full_version"]
        if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_PYTHON:
            raise StageError(
                f"the base image has Python {version}; token_keeper needs 3.11 or later: "
                "set images_python_image or images_debian_suite to a newer one"
            )
        libc, libc_version = answer["libc"]
        if libc != "glibc":
            raise StageError(
                f"the base image's C library is {libc or 'not glibc'}: "
                "set images_python_image to a glibc image such as python:3.11-slim"
            )
        major, minor = (int(part) for part in libc_version.split(".")[:2])
        return cls(markers, libc, (major, minor))

    @property
    def pip_options(self) -> list[str]:
        """What pip needs to know to choose wheels for this Python instead of its own."""
        python = self.markers["python_full_version"]
        machine = self.markers["platform_machine"]
        tag = "cp" + "".join(python.split(".")[:2])
        platforms = [
            f"manylinux_2_{minor}_{machine}" for minor in range(self.libc_version[1], OLDEST_GLIBC_MINOR - 1, -1)
        ]
        # The names that the same promises had before PEP 600
        platforms += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
        options = ["--implementation", "cp", "--python-version", python]
        options += [part for abi in (tag, "abi3", "none") for part in ("--abi", abi)]
        return options + [part for platform in platforms for part in ("--platform", platform)]


def entries(lock: str) -> list[str]:
    """Split a lock into its requirements, each with its hashes."""
    logical = re.sub(r"\\\n\s*", " ", lock)
    return [line.strip() for line in logical.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def applicable(lock: str, markers: dict[str, str]) -> list[str]:
    """Return the lock's entries that hold for an environment, without their markers."""
    chosen: list[str] = []
    for entry in entries(lock):
        text, *hashes = re.split(r"\s+(?=--hash=)", entry)
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(dict(markers)):
            requirement.marker = None
            chosen.append(" ".join([str(requirement), *(item.strip() for item in hashes)]))
    return chosen


def run(*argv: str | Path, cwd: Path | None = None) -> None:
    """Run a program of this Python's environment; its output is shown only where it fails.

    Raises StageError with that output.
    """
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        [sys.executable, "-m", *map(str, argv)], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StageError(f"{argv[0]} failed on the controller:\n{done.stdout}{done.stderr}")


def download(requirements: list[str], target: Target, into: Path) -> None:
    """Fetch the wheels of `requirements`, checked against their hashes."""
    into.mkdir(parents=True)
    listing = into.parent / "wheelhouse.txt"
    listing.write_text("\n".join(requirements) + "\n")
    run(
        "pip", "download", "--quiet", "--quiet", "--disable-pip-version-check", "--no-input",
        "--require-hashes", "--no-deps", "--only-binary=:all:",
        *target.pip_options, "--dest", into, "--requirement", listing,
    )  # fmt: skip


def normalised(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    """Return the normalised names of pinned requirements."""
    return {normalised(Requirement(re.split(r"\s+--hash", line)[0]).name) for line in requirements}


def stage(root: Path, images: list[str], target: Target, into: Path) -> None:
    """Add to the context of each of `images` under `into` what it takes from the checkout at `root`."""
    locks = {
        name: applicable((root / "requirements" / f"{name}.txt").read_text(), target.markers)
        for name in {*images, "images", "keeper"}
    }
    wheelhouse = into / "wheelhouse"
    download(sorted(set().union(*locks.values())), target, wheelhouse)
    for image in images:
        context = into / image
        (context / "requirements.txt").write_text("\n".join(locks[image]) + "\n")
        # The stack is built on the keeper's image, which has these already
        there = names(locks["keeper"]) if image == "stack" else set()
        _take(wheelhouse, names(locks[image]) - there, context / "wheels")
        # The Dockerfiles run it from its wheel and can't guess its version
        (context / "pip.whl").hardlink_to(next(wheelhouse.glob("pip-*.whl")))
        _project(root, image, context / "project")
    shutil.rmtree(wheelhouse)


def _take(wheelhouse: Path, wanted: set[str], into: Path) -> None:
    into.mkdir()
    for wheel in wheelhouse.glob("*.whl"):
        if normalised(wheel.name.split("-")[0]) in wanted:
            (into / wheel.name).hardlink_to(wheel)


def _project(root: Path, image: str, into: Path) -> None:
    if image == "keeper":
        run("hatchling", "build", "--target", "wheel", "--directory", into, cwd=root)
        return
    package = {"stack": "stack/calendar_assistant", "sandbox": "sandbox/sandbox_provider"}[image]
    shutil.copytree(root / package, into / Path(package).name, ignore=shutil.ignore_patterns("__pycache__"))


def main() -> int:
    """Run with the description of the base image's Python on stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the checkout")
    parser.add_argument("--into", type=Path, required=True, help="an existing, empty directory")
    parser.add_argument("images", nargs="+", choices=[*PYTHON_IMAGES, "redis"])
    options = parser.parse_args()
    try:
        for image in options.images:
            shutil.copytree(options.root / "roles/images/files" / image, options.into / image)
        if wanted := [image for image in options.images if image in PYTHON_IMAGES]:
            stage(options.root, wanted, Target.parse(sys.stdin.read()), options.into)
    except StageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
