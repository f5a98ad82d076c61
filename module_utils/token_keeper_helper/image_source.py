"""Where the images of a host come from: an archive, or a registry that has what the controller has pushed.

It runs on the controller only and is never sent to a host.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from .failure import ModuleFailure
from .image_building import Builder, turn
from .registry_engine import MIB, Engine, EngineError

_REGISTRY: Final = re.compile(r"(localhost|[A-Za-z0-9.-]*\.[A-Za-z0-9.-]+|[^/@\s]+:\d+)(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


@dataclasses.dataclass(frozen=True)
class Pinned:
    """An image in a registry, by the digest of its manifest.

    What a host pulls by it is that manifest and no other, wherever a tag of the registry points by then: the engine
    computes the digest of what it is given, and refuses anything else.
    """

    repository: str
    digest: str
    architectures: tuple[str, ...]


def checked(registry: str) -> str:
    """Return the registry as images are named in it.

    Raises:
        ModuleFailure: it is none. Its text is not repeated: somebody may have put a password into it.
    """
    plain = registry.rstrip("/")
    if _REGISTRY.fullmatch(plain) is None:
        raise ModuleFailure(
            "UsageError",
            "RegistryInvalid",
            "images_registry does not say where a registry is",
            "give host[:port]/path without a scheme or a user, as in registry.example.com/token-keeper. "
            "Nothing was changed",
        )
    return plain


class Source:
    """The controller's engine, and what it has of the images that a host asks for.

    Arguments:
        builder: makes what it lacks.
        images: references by their names in role images.
        engine: the controller's engine.
    """

    def __init__(self, builder: Builder, images: Mapping[str, str], engine: Engine) -> None:
        self._builder = builder
        self._images = images
        self._engine = engine

    def only(self, references: Collection[str]) -> Source:
        """Return the same source with some of the images alone."""
        images = {name: reference for name, reference in self._images.items() if reference in references}
        return Source(self._builder, images, self._engine)

    def architecture(self) -> str:
        """Return the architecture of what is built here."""
        return self._engine.architecture()

    def archive(self, into: Path) -> int:
        """Save the images as one archive, and return its bytes.

        Raises:
            ModuleFailure: they could not be built or saved.
        """
        with turn():
            self._build(self._images)
        references = list(self._images.values())
        self._room(into, max(self._engine.size(reference) for reference in references))
        saving = ["docker", "save", "--output", str(into), *references]
        done = subprocess.run(saving, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            if "no space" in done.stderr:
                raise self._no_room(into, sum(self._engine.size(reference) for reference in references))
            raise ModuleFailure(
                "ImageError",
                "NotSaved",
                f"the controller could not save {', '.join(references)}: {done.stderr.strip()}",
                "correct that; nothing was changed on the host",
            )
        return into.stat().st_size

    def found(self, registry: str) -> dict[str, Pinned]:
        """Return those of the images that the registry has, and change nothing; by reference."""
        looked = {reference: self._found(reference, registry) for reference in self._images.values()}
        return {reference: pinned for reference, pinned in looked.items() if pinned is not None}

    def pushed(self, registry: str) -> tuple[dict[str, Pinned], list[str]]:
        """Have the registry have all of the images: what it lacks is built unless it is here, and pushed.

        Returns:
            The images by reference, and those that have been pushed now.

        Raises:
            EngineError: the registry refused.
            ModuleFailure: something could not be built.
        """
        with turn():
            there = self.found(registry)
            lacking = {name: reference for name, reference in self._images.items() if reference not in there}
            if lacking:
                self._fetch_base(lacking, registry)
                self._build(lacking)
            for reference in lacking.values():
                there[reference] = self._push(reference, registry)
        return {reference: there[reference] for reference in self._images.values()}, list(lacking.values())

    def _found(self, reference: str, registry: str) -> Pinned | None:
        repository, tag = _in_registry(reference, registry)
        # What this engine has pushed it knows by digest, whatever the tag has become since
        own = self._engine.digest_of(reference, repository)
        try:
            digest, architectures = self._engine.described(f"{repository}@{own}" if own else f"{repository}:{tag}")
        except EngineError as error:
            if error.reason != "NotThere":
                raise
            return None
        return Pinned(repository, digest, tuple(architectures))

    def _fetch_base(self, lacking: Mapping[str, str], registry: str) -> None:
        """Get the image that the stack is built on from the registry, so that hosts find its layers in both."""
        keeper = str(self._builder.variables.get("images_keeper") or "")
        ours = keeper.startswith(f"{self._builder.variables.get('images_prefix')}-keeper:")
        has = self._engine.tags() if "stack" in lacking and ours else {keeper}
        if keeper not in has and lacking["stack"] not in has and (base := self._found(keeper, registry)):
            self._engine.pull(base.repository, base.digest)
            self._engine.tag(f"{base.repository}@{base.digest}", *keeper.rsplit(":", 1))

    def _build(self, images: Mapping[str, str]) -> None:
        has = self._engine.tags()
        missing = [name for name, reference in images.items() if reference not in has]
        if missing:
            # The stack stands on the keeper, which a host may have while the controller lacks it
            self._builder.build(missing if "stack" not in missing or "keeper" in missing else ["keeper", *missing])

    def _push(self, reference: str, registry: str) -> Pinned:
        repository, tag = _in_registry(reference, registry)
        self._engine.tag(reference, repository, tag)
        digest = self._engine.push(repository, tag)
        _, architectures = self._engine.described(f"{repository}@{digest}")
        return Pinned(repository, digest, tuple(architectures))

    def _room(self, into: Path, least: int) -> None:
        if shutil.disk_usage(into.parent).free < least:
            raise self._no_room(into, least)

    def _no_room(self, into: Path, size: int) -> ModuleFailure:
        free = shutil.disk_usage(into.parent).free
        return ModuleFailure(
            "StorageError",
            "NoSpace",
            f"{free // MIB} MiB are free in {into.parent.parent} on the controller, and the archive of the images "
            f"takes about {size // MIB} MiB",
            "make room, or name a folder that has it by TMPDIR; nothing was changed on the host",
        )


def _in_registry(reference: str, registry: str) -> tuple[str, str]:
    name, _, tag = reference.rpartition(":")
    return f"{registry}/{name}", tag
