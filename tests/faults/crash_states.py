"""What a disk may hold after a power loss: everything that POSIX allows, given what was written and what was flushed.

A file's data is safe after its ``fsync``, a name after that of its directory. What is not safe may be there or not:
a write whole, in part, or as zeros; names in the order they were made, or each by itself.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from volume_calls import Call, VolumeCalls

_ALL_SUBSETS: Final = 5
"""So many changes of names that wait for a flush are combined in every way; of more, a part of the ways is taken."""

_EACH: Final = 48
"""States that are taken of one moment."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One step on its way to the disk, or a note that something happened elsewhere (``kind`` is then its name)."""

    kind: str
    folder: str = ""
    name: str = ""
    target: str = ""
    inode: int = 0
    offset: int = 0
    data: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind} {self.folder}/{self.name} {self.target}".replace("/ ", " ").strip()


@dataclasses.dataclass(frozen=True)
class Disk:
    """Names by folder (an inode each, -1 for a folder), and data by inode."""

    names: dict[str, dict[str, int]]
    data: dict[int, bytes]

    def write_to(self, folder: Path) -> None:
        """Make the files, as they are found when the machine is up again."""
        for place, names in self.names.items():
            if place and self.names[""].get(place) != -1:
                continue  # the folder's own name was lost
            (folder / place).mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, inode in names.items():
                if inode != -1:
                    file = folder / place / name
                    file.write_bytes(self.data.get(inode, b""))
                    file.chmod(0o600)
                elif not place:
                    (folder / name).mkdir(mode=0o700, exist_ok=True)

    def key(self) -> tuple[Any, ...]:
        """What makes it different from another one."""
        return tuple(
            (place, name, self.data.get(inode, b"") if inode != -1 else None)
            for place, names in sorted(self.names.items())
            if not place or self.names[""].get(place) == -1
            for name, inode in sorted(names.items())
        )


class Recorder:
    """Records what is done to a volume, for the time of a ``with`` block."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.steps: list[Step] = []
        self._inodes = itertools.count(1)
        self._open: dict[int, tuple[int, int]] = {}
        self.before = _of(folder, self._inodes)
        self._names = {place: dict(names) for place, names in self.before.names.items()}
        self._sizes = {inode: len(data) for inode, data in self.before.data.items()}
        self._calls = VolumeCalls(folder, after=self._after, **options)

    def note(self, what: str) -> None:
        """Remember that something happened elsewhere now."""
        self.steps.append(Step(what))

    def __enter__(self) -> Recorder:
        self._calls.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.__exit__()

    def _after(self, call: Call, result: Any) -> None:
        folder, _, name = call.path.rpartition("/")
        what, arguments = call.name, call.arguments
        if what == "open":
            self._opened(call, folder, name, result)
        elif what == "close":
            self._open.pop(arguments[0], None)
        elif what == "write":
            inode, position = self._open[arguments[0]]
            data = bytes(arguments[1])[:result]
            self.steps.append(Step("write", folder, name, inode=inode, offset=position, data=data))
            self._open[arguments[0]] = (inode, position + result)
            self._sizes[inode] = max(self._sizes[inode], position + result)
        elif what == "ftruncate":
            inode = self._open[arguments[0]][0]
            self._sizes[inode] = arguments[1]
            self.steps.append(Step("truncate", folder, name, inode=inode, offset=arguments[1]))
        elif what == "fsync":
            if arguments[0] in self._open:
                self.steps.append(Step("flush", folder, name, inode=self._open[arguments[0]][0]))
            else:
                self.steps.append(Step("flush names", "" if call.path == "." else call.path))
        elif what == "rename":
            inode = self._names[folder].pop(name)
            target = os.path.basename(os.fspath(arguments[1]))
            self._names[folder][target] = inode
            self.steps.append(Step("rename", folder, name, target, inode))
        elif what == "unlink":
            self.steps.append(Step("unlink", folder, name, inode=self._names[folder].pop(name)))
        elif what == "mkdir":
            self._names[""][name] = -1
            self._names[name] = {}
            self.steps.append(Step("mkdir", folder, name))

    def _opened(self, call: Call, folder: str, name: str, descriptor: int) -> None:
        if call.path == "." or call.path in self._names:
            return
        inode = self._names[folder].get(name)
        if inode is None:
            inode = self._names[folder][name] = next(self._inodes)
            self._sizes[inode] = 0
            self.steps.append(Step("create", folder, name, inode=inode))
        self._open[descriptor] = (inode, self._sizes[inode] if call.arguments[1] & os.O_APPEND else 0)

    def crash_states(self, *, seed: int = 1, each: int = _EACH) -> Iterator[tuple[int, Disk]]:
        """Return what may be found if the power fails after so many steps, and that number; no state twice."""
        chance = random.Random(seed)
        seen: set[tuple[Any, ...]] = set()
        for count in range(len(self.steps) + 1):
            for disk in _after_a_loss(self.before, self.steps[:count], chance, each):
                key = (self._notes(count), disk.key())
                if key not in seen:
                    seen.add(key)
                    yield count, disk

    def _notes(self, count: int) -> tuple[str, ...]:
        return tuple(step.kind for step in self.steps[:count] if not (step.name or step.kind == "flush names"))


def _of(folder: Path, inodes: Iterator[int]) -> Disk:
    names: dict[str, dict[str, int]] = {"": {}}
    data: dict[int, bytes] = {}
    for file in sorted(folder.rglob("*")):
        place = "" if file.parent == folder else file.parent.name
        if file.is_dir():
            names[place][file.name] = -1
            names[file.name] = {}
        else:
            inode = names[place][file.name] = next(inodes)
            data[inode] = file.read_bytes()
    return Disk(names, data)


def _after_a_loss(before: Disk, steps: list[Step], chance: random.Random, each: int) -> Iterator[Disk]:
    safe_names = {place: dict(names) for place, names in before.names.items()}
    safe_data = dict(before.data)
    loose_names: dict[str, list[Step]] = {}
    loose_data: dict[int, list[Step]] = {}
    for step in steps:
        if step.kind in {"create", "rename", "unlink", "mkdir"}:
            loose_names.setdefault(step.folder, []).append(step)
        elif step.kind in {"write", "truncate"}:
            loose_data.setdefault(step.inode, []).append(step)
        elif step.kind == "flush":
            safe_data[step.inode] = _written(safe_data.get(step.inode, b""), loose_data.pop(step.inode, []))
        elif step.kind == "flush names":
            safe_names[step.folder] = _named(safe_names.get(step.folder, {}), loose_names.pop(step.folder, []))
    places = sorted(loose_names)
    inodes = sorted(loose_data)
    ways_of_names = [list(_ways_of_names(loose_names[place], chance)) for place in places]
    ways_of_data = [list(_ways_of_data(safe_data.get(inode, b""), loose_data[inode])) for inode in inodes]
    for names, data in _some(ways_of_names, ways_of_data, chance, each):
        found = {place: dict(entries) for place, entries in safe_names.items()}
        for place, done in zip(places, names, strict=True):
            found[place] = _named(found.get(place, {}), done)
        for name, inode in found[""].items():
            if inode == -1:
                found.setdefault(name, {})
        yield Disk(found, safe_data | dict(zip(inodes, data, strict=True)))


def _some(
    names: list[list[list[Step]]], data: list[list[bytes]], chance: random.Random, each: int
) -> Iterator[tuple[tuple[list[Step], ...], tuple[bytes, ...]]]:
    """Combine them in every way if those are few, else in some: nothing and everything are always among them."""
    ways = list(itertools.islice(itertools.product(itertools.product(*names), itertools.product(*data)), 20_000))
    if len(ways) > each:
        ways = [ways[0], ways[-1], *chance.sample(ways, each - 2)]
    yield from ways


def _ways_of_names(steps: list[Step], chance: random.Random) -> Iterator[list[Step]]:
    count = len(steps)
    if count <= _ALL_SUBSETS:
        for size in range(count + 1):
            yield from (list(chosen) for chosen in itertools.combinations(steps, size))
        return
    yield from (steps[:kept] for kept in range(count + 1))  # in order, as a journal has it
    yield from (steps[:left] + steps[left + 1 :] for left in range(count))
    yield from ([step for step in steps if chance.random() < 0.5] for _ in range(2**_ALL_SUBSETS))


def _named(names: dict[str, int], steps: list[Step]) -> dict[str, int]:
    found = dict(names)
    for step in steps:
        if step.kind in {"rename", "unlink"} and found.get(step.name) == step.inode:
            del found[step.name]
        if step.kind == "rename":
            found[step.target] = step.inode
        elif step.kind in {"create", "mkdir"}:
            found[step.name] = step.inode if step.kind == "create" else -1
    return found


def _ways_of_data(safe: bytes, steps: list[Step]) -> Iterator[bytes]:
    yield safe
    for size in range(1, len(steps)):
        yield from (_written(safe, list(chosen)) for chosen in itertools.combinations(steps, size))
    whole = _written(safe, steps)
    last = next((step for step in reversed(steps) if step.kind == "write"), None)
    if last is not None:
        half = len(last.data) // 2
        yield _written(safe, [dataclasses.replace(last, data=last.data[:half])])
        yield _written(safe, [dataclasses.replace(last, data=bytes(half) + last.data[half:])])
        yield safe[: last.offset] + bytes(max(len(whole) - last.offset, 0))
    yield whole


def _written(data: bytes, steps: list[Step]) -> bytes:
    found = bytearray(data)
    for step in steps:
        if step.kind == "truncate":
            del found[step.offset :]
            found.extend(bytes(step.offset - len(found)))
        else:
            found.extend(bytes(max(step.offset - len(found), 0)))
            found[step.offset : step.offset + len(step.data)] = step.data
    return bytes(found)
