"""A registry in a container: Debian's package on the keeper's image, with an authority of its own and one user."""

from __future__ import annotations

import base64
import ctypes
import gzip
import hashlib
import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from deployment import docker, eventually

IMAGE = "token-keeper-test-registry"
PORT = 5000
USER = "puller"
# What its address and its certificate depend on is known when it has an address
ENTRYPOINT = "until [ -e /conf/config.yml ]; do sleep 0.1; done; exec docker-registry serve /conf/config.yml"
DOCKERFILE = f"""
FROM {{base}}
USER 0:0
COPY docker-registry /usr/local/bin/
ENTRYPOINT ["sh", "-c", "{ENTRYPOINT}"]
CMD []
"""
_ACCESS = re.compile(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d+) (\d+)')


@dataclass(frozen=True)
class Asked:
    """A request that the registry has answered: its path, and the bytes of the answer."""

    method: str
    path: str
    status: int
    size: int

    @property
    def fetches_layer(self) -> bool:
        """Whether an image's layer, or its configuration, was handed over."""
        return self.method == "GET" and "/blobs/" in self.path and self.status == 200


@dataclass(frozen=True)
class Registry:
    """A registry that runs.

    Attributes:
        container: its name.
        address: host and port.
        password: that of ``puller``, who may do everything.
        authority: the certificate to trust; ``None`` if it has no TLS.
    """

    container: str
    address: str
    password: str
    authority: Path | None

    def asked(self) -> list[Asked]:
        """Return all that it was asked, the test's own questions left out."""
        logged = subprocess.run(["docker", "logs", self.container], capture_output=True, text=True, check=True)
        lines = [line for line in (logged.stdout + logged.stderr).splitlines() if "token-keeper-test" not in line]
        found = [match for line in lines if (match := _ACCESS.search(line))]
        return [Asked(one[1], one[2], int(one[3]), int(one[4])) for one in found]

    @contextmanager
    def during(self) -> Iterator[list[Asked]]:
        """Gather what it is asked meanwhile."""
        before, gathered = len(self.asked()), []
        yield gathered
        time.sleep(0.2)
        gathered += self.asked()[before:]

    def login(self, folder: Path) -> dict[str, str]:
        """Write what ``docker login`` writes into a folder of its own, and return the environment that names it."""
        folder.mkdir(parents=True, exist_ok=True)
        entry = {"auth": base64.b64encode(f"{USER}:{self.password}".encode()).decode()}
        (folder / "config.json").write_text(json.dumps({"auths": {self.address: entry}}))
        return {"DOCKER_CONFIG": str(folder)}

    def manifest(self, name: str, tag: str) -> tuple[bytes, str]:
        """Return a manifest and its kind."""
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        with self._answer("GET", f"{name}/manifests/{tag}", Accept=kind) as answer:
            return answer.read(), kind

    def move(self, name: str, tag: str, manifest: bytes, kind: str) -> None:
        """Have a tag name another manifest, whose parts are there."""
        with self._answer("PUT", f"{name}/manifests/{tag}", manifest, **{"Content-Type": kind}) as answer:
            assert answer.status == 201

    def manifests(self, under: str) -> list[str]:
        """Return the names that it has images under."""
        with self._answer("GET", "_catalog") as answer:
            return [name for name in json.load(answer)["repositories"] or [] if name.startswith(f"{under}/")]

    def tags(self, name: str) -> list[str]:
        """Return the tags of a name."""
        with self._answer("GET", f"{name}/tags/list") as answer:
            return list(json.load(answer)["tags"])

    def lend(self, source: str, target: str, manifest: bytes) -> None:
        """Have the parts of an image under another name as well."""
        told = json.loads(manifest)
        for part in [told["config"], *told["layers"]]:
            mount = f"{target}/blobs/uploads/?mount={part['digest']}&from={source}"
            self._answer("POST", mount, b"").close()

    def put(self, name: str, blob: bytes) -> str:
        """Put a part of an image there, and return its digest."""
        with self._answer("POST", f"{name}/blobs/uploads/", b"") as answer:
            place = str(answer.headers["Location"])
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        with self._answer("PUT", f"{place}&digest={digest}", blob, **{"Content-Type": "application/octet-stream"}):
            return digest

    def craft(self, name: str, tag: str, architecture: str) -> None:
        """Put an image of one empty layer there, for an architecture that nothing here could build for."""
        layer = gzip.compress(b"\0" * 10240)
        about = {"architecture": architecture, "os": "linux", "config": {}}
        about["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(bytes(10240)).hexdigest()}"]}
        kinds = ("container.image.v1+json", "image.rootfs.diff.tar.gzip")
        parts = [
            {"mediaType": f"application/vnd.docker.{kind}", "size": len(blob), "digest": self.put(name, blob)}
            for kind, blob in zip(kinds, (json.dumps(about).encode(), layer), strict=True)
        ]
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": parts[0], "layers": parts[1:]}
        self.move(name, tag, json.dumps(manifest).encode(), kind)

    def _answer(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        context = ssl.create_default_context(cafile=str(self.authority)) if self.authority else None
        url = path if path.startswith("http") else f"{'https' if context else 'http'}://{self.address}/v2/{path}"
        login = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        shown = {"Authorization": f"Basic {login}", "User-Agent": "token-keeper-test", **headers}
        return urlopen(Request(url, body, shown, method=method), timeout=20, context=context)


def made(folder: Path, base: str) -> str:
    """Make the registry's image, and return its name."""
    tag = f"{IMAGE}:{base.rpartition(':')[2]}"
    if docker("images", "--quiet", tag):
        return tag
    packages = folder / "package"
    packages.mkdir(parents=True)
    fetch = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "docker-registry"]
    subprocess.run(fetch, cwd=packages, capture_output=True, check=True)
    (package,) = packages.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, packages / "root"], capture_output=True, check=True)
    context = folder / "context"
    context.mkdir()
    shutil.copy(packages / "root/usr/bin/docker-registry", context)
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    docker("build", "--quiet", "--network=none", "--tag", tag, str(context))
    return tag


@contextmanager
def registry(
    folder: Path, base: str, container: str, *, network: str = "", port: int = 0, tls: bool = True, password: str = ""
) -> Iterator[Registry]:
    """Run a registry, and remove it afterwards.

    Arguments:
        folder: for its configuration.
        base: an image with the C library, the keeper's.
        container: the name to give it.
        network: a network of the engine, at which it has its address.
        port: or a port of this machine's loopback address.
        tls: whether it has a certificate, of an authority of its own.
        password: of the user ``puller``; empty lets everybody in.
    """
    docker("rm", "--force", "--volumes", container)
    image = made(folder / "image", base)
    conf = folder / "conf"
    conf.mkdir(parents=True)
    reach = ["--network", network] if network else ["--publish", f"127.0.0.1:{port}:{PORT}"]
    docker("run", "--detach", "--name", container, "--volume", f"{conf}:/conf:ro", *reach, image)
    try:
        inspected = json.loads(docker("inspect", container))[0]["NetworkSettings"]
        ip = inspected["Networks"][network]["IPAddress"] if network else "127.0.0.1"
        authority = certify(conf, ip) if tls else None
        configuration: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": "/registry"}, "delete": {"enabled": True}},
            "http": {"addr": f":{PORT}"},
        }
        if tls:
            configuration["http"]["tls"] = {"certificate": "/conf/server.crt", "key": "/conf/server.key"}
        if password:
            configuration["auth"] = {"htpasswd": {"realm": "test", "path": "/conf/users"}}
            (conf / "users").write_text(f"{USER}:{hashed(password)}\n")
        (conf / "config.new").write_text(json.dumps(configuration))  # JSON is YAML
        (conf / "config.new").rename(conf / "config.yml")
        running = Registry(container, f"{ip}:{PORT if network else port}", password, authority)

        def answers() -> bool:
            try:
                running._answer("GET", "").close()
            except OSError:
                return False
            return True

        eventually(answers, within=120, what="the registry answers")
        yield running
    finally:
        docker("rm", "--force", "--volumes", container)


def hashed(password: str) -> str:
    """Return a password as the registry's file of users has it: bcrypt, which the C library's crypt knows."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    found: bytes = library.crypt(password.encode(), b"$2b$04$" + b"a" * 22)
    return found.decode()


def certify(folder: Path, address: str) -> Path:
    """Make an authority and a certificate of it for an address; returns the authority's certificate."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", *key, "-subj", f"/CN={address}", "-keyout", "server.key", "-out", "server.csr")
    (folder / "extensions").write_text(f"subjectAltName=IP:{address}\n")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions")
    openssl("x509", "-req", "-in", "server.csr", *signing, "-out", "server.crt")
    return folder / "ca.crt"
