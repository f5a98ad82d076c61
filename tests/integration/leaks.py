"""Finds secrets where none may be: in texts, in the arguments and environments of processes, in files."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import docker


def forms(secret: str) -> set[bytes]:
    """Return the ways in which a secret may be written down: plain, quoted for URLs and JSON, and in Base64.

    What Base64 makes of a text depends on its offset in what is encoded: there are three ways, each of which holds
    all of the secret but a few characters at its ends.
    """
    plain = secret.encode()
    written = {plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + plain)
        core = encoded[4 * bool(offset) : len(encoded) - 4]
        written |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return written


def found_in(text: bytes | str, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that ``text`` holds in any form."""
    haystack = text.encode() if isinstance(text, str) else text
    return [name for name, secret in secrets.items() if any(form in haystack for form in forms(secret))]


def files_with(secrets: Mapping[str, str], places: Iterable[Path], *, except_below: Iterable[str]) -> list[str]:
    """Return the files below ``places`` that hold a secret.

    Arguments:
        secrets: by name.
        places: folders to search; what can't be read is left out.
        except_below: names of folders that may hold them.
    """
    patterns = b"\n".join(sorted(set().union(*(forms(secret) for secret in secrets.values()))))
    command = ["grep", "--recursive", "--files-with-matches", "--fixed-strings", "--no-messages", "--file=-"]
    command += [f"--exclude-dir={name}" for name in except_below]
    ended = subprocess.run(
        [*command, *(str(place) for place in places if place.exists())],
        input=patterns,
        capture_output=True,
        check=False,
    )
    return ended.stdout.decode().splitlines()


class Sampler:
    """Reads the arguments and environment of every process, and ``docker inspect`` of every container, all the time.

    What it reads is kept and searched at the end, because some secrets are only issued meanwhile.
    """

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.containers: set[str] = set()
        self._docker = docker.from_env()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(self._processes, 0.05)),
            threading.Thread(target=self._run, args=(self._inspections, 0.5)),
        ]

    def __enter__(self) -> Sampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._inspections()
        self._docker.close()

    def leaks(self, secrets: Mapping[str, str]) -> list[str]:
        """Return the names of the secrets that were seen anywhere."""
        return found_in(b"\n".join(self.seen), secrets)

    def _run(self, look: object, pause: float) -> None:
        assert callable(look)
        while not self._stopping.wait(pause):
            look()

    def _processes(self) -> None:
        for name in os.listdir("/proc"):
            if name.isdigit():
                for part in ("cmdline", "environ"):
                    # it has ended, or is somebody else's
                    with contextlib.suppress(OSError), open(f"/proc/{name}/{part}", "rb") as file:
                        self.seen.add(file.read())

    def _inspections(self) -> None:
        """Inspect those that are new, as what a container was made with never changes; all once more at the end."""
        api = self._docker.api
        for container in api.containers(all=True, quiet=True):
            if (identity := container["Id"]) not in self.containers or self._stopping.is_set():
                # it has been removed meanwhile
                with contextlib.suppress(docker.errors.NotFound):
                    self.seen.add(json.dumps(api.inspect_container(identity)).encode())
                    self.containers.add(identity)
