"""A docker command whose engine has images, and a registry that it reaches: enough to push, pull, load and refuse."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

# What `docker system dial-stdio` is here: requests on stdin, answers on stdout, the state in a file
_DIALLED = """#!{python} -IS
import base64, json, re, sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

STATE = Path({state!r})

def answered(state, method, target, headers, body):
    parts = urlsplit(target)
    path, query = parts.path, {{name: values[0] for name, values in parse_qs(parts.query).items()}}
    shown = headers.get("x-registry-auth")
    shown = json.loads(base64.urlsafe_b64decode(shown)) if shown else None
    state["asked"].append([method, path, query, shown])
    images, registry = state["images"], state["registry"]
    if path == "/version":
        return 200, {{"Arch": state["architecture"]}}
    if path == "/info":
        return 200, {{"DockerRootDir": state["root"]}}
    if path == "/images/json":
        return 200, [{{"RepoTags": [name]}} for name in images if "@" not in name]
    if path == "/images/load":
        images.update({{name: {{"digest": "", "size": 1}} for name in body.decode().split()}})
        return 200, []
    if shown is not None and state["refuses"]:
        status, said = state["refuses"]
        return status, ({{"message": said}} if status >= 400 else [{{"error": said}}])
    if found := re.fullmatch("/distribution/(.+)/json", path):
        if found[1] not in registry:
            return 404, {{"message": "manifest unknown: manifest unknown"}}
        digest, architecture = registry[found[1]]
        return 200, {{"Descriptor": {{"digest": digest}}, "Platforms": [{{"architecture": architecture}}]}}
    if found := re.fullmatch("/images/(.+)/tag", path):
        images[query["repo"] + ":" + query["tag"]] = images[found[1]]
        return 201, None
    if found := re.fullmatch("/images/(.+)/push", path):
        name = found[1] + ":" + query["tag"]
        digest = "sha256:" + name.rpartition(":")[2]
        registry[name] = registry[found[1] + "@" + digest] = [digest, state["architecture"]]
        for image in images.values():
            image["known"] = [*image.get("known", []), found[1] + "@" + digest]
        return 200, [{{"status": "Preparing"}}, {{"aux": {{"Tag": query["tag"], "Digest": digest}}}}]
    if path == "/images/create":
        name = query["fromImage"] + "@" + query["tag"]
        if name not in registry:
            return 404, {{"message": "manifest unknown"}}
        images[name] = {{"digest": query["tag"], "size": 1}}
        return 200, [{{"status": "Pull complete", "id": "1"}}, {{"status": "Already exists", "id": "2"}}]
    if found := re.fullmatch("/images/(.+)/json", path):
        if found[1] not in images:
            return 404, {{"message": "No such image: " + found[1]}}
        image = images[found[1]]
        return 200, {{"RepoDigests": image.get("known", []), "Size": image["size"]}}
    return 500, {{"message": "nobody expected " + path}}

if sys.argv[1] == "save":
    Path(sys.argv[3]).write_text(" ".join(sys.argv[4:]))
    sys.exit()
assert sys.argv[1:] == ["system", "dial-stdio"], sys.argv
if json.loads(STATE.read_text())["down"]:
    sys.stderr.write("Cannot connect to the Docker daemon at unix:///var/run/docker.sock\\n")
    sys.exit(1)
while line := sys.stdin.buffer.readline():
    method, target, _ = line.decode().split()
    headers = {{}}
    while (line := sys.stdin.buffer.readline().decode().strip()):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = sys.stdin.buffer.read(int(headers.get("content-length") or 0))
    state = json.loads(STATE.read_text())
    status, answer = answered(state, method, target, headers, body)
    STATE.write_text(json.dumps(state))
    lines = answer if isinstance(answer, list) and path_streams(target) else [answer]
    text = b"".join(json.dumps(each).encode() + b"\\n" for each in lines) if answer is not None else b""
    head = "HTTP/1.1 {{}} said\\r\\nContent-Length: {{}}\\r\\n\\r\\n".format(status, len(text)).encode()
    sys.stdout.buffer.write(head + text)
    sys.stdout.buffer.flush()
""".replace("path_streams(target)", "any(each in target for each in ('/push', '/create', '/load'))")


class PretendedDocker:
    """The docker command of one machine, and what a test may set and see of it."""

    def __init__(self, folder: Path, registry: dict[str, list[str]] | None = None) -> None:
        folder.mkdir(parents=True)
        self.program, self._state = folder / "docker", folder / "state.json"
        self.program.write_text(_DIALLED.format(python=sys.executable, state=str(self._state)))
        self.program.chmod(0o755)
        self.set(
            images={},
            registry=registry or {},
            architecture="amd64",
            root="/",
            refuses=None,
            down=False,
            asked=[],
        )

    def get(self, name: str) -> Any:
        """Return a part of the state: images, registry, what was asked."""
        return json.loads(self._state.read_text())[name]

    def set(self, **parts: Any) -> None:
        """Set parts of the state."""
        before = json.loads(self._state.read_text()) if self._state.exists() else {}
        self._state.write_text(json.dumps({**before, **parts}))

    def has(self, *names: str, **more: Any) -> None:
        """Give the engine images."""
        self.set(images={**self.get("images"), **{name: {"digest": "", "size": 1, **more} for name in names}})

    def verbs(self) -> list[str]:
        """Return what the registry was asked through this engine: the last part of each path that shows who asks."""
        return [
            "described" if path.startswith("/distribution") else path.rpartition("/")[2]
            for _, path, _, shown in self.get("asked")
            if shown is not None
        ]


def executable(file: Path, text: str) -> None:
    """Write a program."""
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def on_path(folder: Path) -> str:
    """Return a search path with the folder before all else."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
