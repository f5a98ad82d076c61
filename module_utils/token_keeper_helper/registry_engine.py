"""The engine at hand and the images of a registry: what it has, finds there, pushes and pulls.

On the controller it is a part of this package. To a host it is sent as text, on the standard input of its Python, with
the request and the password: so it stands alone, on Python 3.9's own library, and has no data classes, which look
their module up by its name.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

SILENCE = 300
"""Seconds for which an engine may say nothing."""
IDLE = 60
"""Seconds after which a connection that was not used is made anew: an engine ends such some day."""
PARTING = 2
"""Seconds that the docker command has to end when nobody listens to it any more."""
PROBE = 10
"""Seconds that a registry has to answer where there is no engine yet to ask it."""
ASIDE = "/var/tmp"  # noqa: S108 - only measured here; what lies in it has a folder of its own
MIB = 1024 * 1024

# What an engine says when a registry refuses, by what a person has to do about it. The first that fits counts.
_REASONS = (
    ("NoSpace", r"no space left on device"),
    ("Hidden", r"sent an HTTP request to an HTTPS server"),
    ("PlainHttp", r"server gave HTTP response to HTTPS client|does not look like a TLS handshake"),
    ("Untrusted", r"x509|certificate|tls: "),
    ("Unauthorized", r"unauthorized|no basic auth credentials|authentication required|denied|forbidden"),
    ("NotThere", r"manifest unknown|name unknown|not found"),
    ("Unreachable", r"dial tcp|lookup |connection refused|no such host|no route|timeout|deadline|EOF|reset by peer"),
)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class EngineError(Exception):
    """What went wrong: a CamelCase word for it, and what the engine or the registry said."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.reason = reason
        self.said = said

    @classmethod
    def of(cls, said: str) -> EngineError:
        """Return the error for what an engine said of a registry."""
        found = (reason for reason, pattern in _REASONS if re.search(pattern, said, re.IGNORECASE))
        return cls(next(found, "Refused"), said)


class _Dialled(http.client.HTTPConnection):
    """HTTP to the engine that the docker command uses, whatever its context, transport or certificates are."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__("docker")
        self._argv = list(argv)
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self.last_words = ""

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as said:
            dial = [*self._argv, "system", "dial-stdio"]
            end = theirs.fileno()
            self._child = subprocess.Popen(dial, stdin=end, stdout=end, stderr=said)
            self._said = os.fdopen(os.dup(said.fileno()), "rb")
        ours.settimeout(SILENCE)
        self.sock = ours

    def close(self) -> None:
        """End the docker command, and keep what it said: where an answer fails to come, that says why."""
        if self.sock is not None:
            # Nothing more is asked. What is left of an answer can be read: an engine that closes may say why
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        super().close()
        if self._child is None or self._said is None:
            return
        try:
            self._child.wait(PARTING)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        with self._said as said:
            said.seek(0)
            self.last_words = said.read().decode(errors="replace").strip()
        self._child = self._said = None


class Engine:
    """A Docker Engine's own interface, as far as images and registries go.

    Arguments:
        argv: the docker command.
        given: user name and password for the registry; ``None`` takes what this user has logged in with (``docker
            login``, credential helpers), as the docker command does.
    """

    def __init__(self, argv: Sequence[str] = ("docker",), given: tuple[str, str] | None = None) -> None:
        self._connection = _Dialled(argv)
        self._given = given
        self._used = 0.0

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def architecture(self) -> str:
        """Return the engine's architecture as Go names it (``amd64``)."""
        return str(self._json("GET", "/version")["Arch"])

    def root(self) -> str:
        """Return the folder in which the engine keeps its data."""
        return str(self._json("GET", "/info")["DockerRootDir"])

    def tags(self) -> set[str]:
        """Return the names of all images that have one."""
        return {tag for image in self._json("GET", "/images/json") for tag in image.get("RepoTags") or []}

    def digest_of(self, reference: str, repository: str) -> str:
        """Return the digest under which this engine pushed or pulled an image; empty if it never did."""
        try:
            image = self._json("GET", f"/images/{reference}/json")
        except EngineError as error:
            if error.reason != "NotThere":
                raise
            return ""
        known = [one.partition("@") for one in image.get("RepoDigests") or []]
        return next((digest for name, _, digest in known if name == _familiar(repository)), "")

    def size(self, reference: str) -> int:
        """Return the bytes that an image takes, its layers included."""
        return int(self._json("GET", f"/images/{reference}/json")["Size"])

    def described(self, reference: str) -> tuple[str, list[str]]:
        """Ask the registry for an image, by the engine's own way to it: digest, and architectures.

        Raises:
            EngineError: ``NotThere`` where the registry has no such image, otherwise why it could not be asked.
        """
        try:
            told = self._json("GET", f"/distribution/{reference}/json", self._authorised(reference))
        except EngineError as error:
            if error.reason != "Hidden":
                raise
            # A registry that may be insecure is asked by plain HTTP too, whatever it answered before, and the engine
            # tells its last answer alone. Where nothing else is wrong, the one before was that it has no such image.
            registry = reference.split("/", maxsplit=1)[0]
            _reach(registry, {"insecure-registries": [registry]}, self._given)
            raise EngineError("NotThere", error.said) from None
        platforms = [str(each.get("architecture") or "") for each in told.get("Platforms") or []]
        return str(told["Descriptor"]["digest"]), [each for each in platforms if each not in {"", "unknown"}]

    def tag(self, source: str, repository: str, tag: str) -> None:
        """Give an image another name."""
        self._json("POST", f"/images/{source}/tag?repo={quote(repository, safe='')}&tag={tag}")

    def push(self, repository: str, tag: str) -> str:
        """Push an image and return its digest in the registry."""
        digest = ""
        for step in self._steps(f"/images/{repository}/push?tag={tag}", repository):
            # Engines that keep images in containerd say it in this line alone
            told = re.search(r": digest: (sha256:[0-9a-f]+) size: ", str(step.get("status") or ""))
            digest = str((step.get("aux") or {}).get("Digest") or (told and told[1]) or digest)
        if not digest:
            raise EngineError("Refused", f"the engine did not say under which digest it has pushed {repository}:{tag}")
        return digest

    def pull(self, repository: str, digest: str) -> int:
        """Pull an image by its digest; returns how many of its layers were fetched, as the others were there."""
        source = f"/images/create?fromImage={quote(repository, safe='')}&tag={quote(digest, safe='')}"
        return sum(step.get("status") == "Pull complete" for step in self._steps(source, repository))

    def load(self, archive: Path) -> None:
        """Load the images of an archive; the engine tells of its progress, so that a slow disk is no silence."""
        with archive.open("rb") as file:
            size = {"Content-Type": "application/x-tar", "Content-Length": str(archive.stat().st_size)}
            self._drain(self._answer("POST", "/images/load?quiet=0", size, file))

    def _authorised(self, reference: str) -> dict[str, str]:
        told = credentials(reference.split("/", maxsplit=1)[0], self._given)
        return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(told).encode()).decode()}

    def _json(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Any:
        answer = self._answer(method, path, headers or {})
        with self._heard():
            text = answer.read()
        return json.loads(text) if text else None

    def _steps(self, path: str, repository: str) -> Iterator[dict[str, Any]]:
        return self._drained(self._answer("POST", path, self._authorised(repository)))

    def _drained(self, answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        # Read to its end in any case, so that the connection can be used again
        wrong = ""
        with self._heard():
            for line in answer:
                if line.strip():
                    step = json.loads(line)
                    wrong = str(step.get("error") or wrong)
                    yield step
            answer.read()
        if wrong:
            raise EngineError.of(wrong)

    def _drain(self, answer: http.client.HTTPResponse) -> None:
        for _ in self._drained(answer):
            pass

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Tell of an engine that goes away, in the middle of an answer too, as of one that can't be reached."""
        try:
            yield
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            self._connection.close()
            raise EngineError("EngineUnreachable", self._connection.last_words or str(error)) from None

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: IO[bytes] | None = None
    ) -> http.client.HTTPResponse:
        if time.monotonic() - self._used > IDLE:
            self._connection.close()
        with self._heard():
            # One that refuses in the middle of an archive has answered before it hangs up
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(method, path, body, dict(headers))
            answer = self._connection.getresponse()
            self._used = time.monotonic()
        if answer.status >= 400:
            with self._heard():
                text = answer.read()
            try:
                said = str(json.loads(text)["message"])
            except (ValueError, KeyError, TypeError):
                said = text.decode(errors="replace").strip() or f"HTTP {answer.status}"
            raise EngineError("NotThere", said) if answer.status == 404 else EngineError.of(said)
        return answer


def _familiar(repository: str) -> str:
    """Return a repository's name as the engine writes it down: Docker's own registry goes without saying."""
    return re.sub(r"^(index\.)?docker\.io/(library/)?", "", repository)


def _server(written: str) -> str:
    """Return the registry that a key of config.json, or a name, means."""
    name = re.sub(r"^https?://", "", written).split("/")[0]
    return "docker.io" if name in {"index.docker.io", "registry-1.docker.io"} else name


def credentials(registry: str, given: tuple[str, str] | None = None) -> dict[str, str]:
    """Return what the engine is to show a registry: user and password, or nothing.

    Arguments:
        registry: its host and port.
        given: user name and password, which are taken as they are.
    """
    address = "https://index.docker.io/v1/" if _server(registry) == "docker.io" else registry
    if given is not None:
        return {"username": given[0], "password": given[1], "serveraddress": address}
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser())
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    helper = (config.get("credHelpers") or {}).get(registry) or config.get("credsStore")
    if helper and (told := _helper(str(helper), address)):
        return {**told, "serveraddress": address}
    for written, entry in (config.get("auths") or {}).items():
        if _server(written) == _server(registry):
            if entry.get("identitytoken"):
                return {"identitytoken": str(entry["identitytoken"]), "serveraddress": address}
            with contextlib.suppress(ValueError):
                user, _, password = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
                if user:
                    return {"username": user, "password": password.rstrip("\0"), "serveraddress": address}
    return {}


def _helper(name: str, address: str) -> dict[str, str]:
    """Ask a credential helper of Docker's, on its standard input, as the docker command does."""
    try:
        done = subprocess.run(
            [f"docker-credential-{name}", "get"], input=address, capture_output=True, text=True, timeout=60, check=True
        )
        told = json.loads(done.stdout)
        user, secret = str(told["Username"]), str(told["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return {}  # it knows none, as the registry will say
    return {"identitytoken": secret} if user == "<token>" else {"username": user, "password": secret}


# --- what a host is asked


def serve(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do on a host what a request asks for, and return the outcome, or ``error`` with its reason."""
    user = request.get("username")
    given = (str(user), str(request.get("password") or "")) if user else None
    try:
        with Engine(request.get("docker", ["docker"]), given) as engine:
            work = {"look": _look, "pull": _pull, "load": _load}[request["do"]]
            return work(engine, request, given)
    except EngineError as error:
        return {"error": {"reason": error.reason, "said": error.said}}


def _look(engine: Engine, request: Mapping[str, Any], given: tuple[str, str] | None) -> dict[str, Any]:
    """Look at a host before anything is done to it: architecture, space, images, and its way to the registry."""
    aside: dict[str, Any] = {"aside_free": _free(ASIDE), "aside_device": _device(ASIDE)}
    try:
        architecture, root, tags = engine.architecture(), engine.root(), engine.tags()
    except (EngineError, OSError) as error:
        # The role that installs the engine says what is wrong with it
        machine, root = os.uname().machine, "/var/lib"
        found: dict[str, Any] = {
            "engine": "",
            "why": str(error),
            "architecture": _MACHINES.get(machine, machine),
            "tags": [],
        }
    else:
        found = {"engine": "there", "architecture": architecture, "tags": sorted(tags)}
    found = {**found, **aside, "root": root, "root_free": _free(root), "root_device": _device(root)}
    if not (probe := request.get("probe")) or set(request["images"]) <= set(found["tags"]):
        return found
    try:
        if found["engine"] and not request["early"]:
            engine.described(str(probe))
        else:
            _reach(str(probe).split("/")[0], request.get("daemon") or {}, given)
    except EngineError as error:
        if error.reason != "NotThere":
            found["refused"] = {"reason": error.reason, "said": error.said}
    return found


def _pull(engine: Engine, request: Mapping[str, Any], _: object) -> dict[str, Any]:
    """Pull images by digest and name them; nothing before the registry has told of each that this host may have it."""
    own = engine.architecture()
    for reference, source in request["images"].items():
        _, architectures = engine.described(f"{source['repository']}@{source['digest']}")
        if architectures and own not in architectures:
            raise EngineError("WrongArchitecture", f"{reference} is for {', '.join(architectures)}")
    fetched = {}
    for reference, source in request["images"].items():
        fetched[reference] = engine.pull(source["repository"], source["digest"])
        engine.tag(f"{source['repository']}@{source['digest']}", *reference.rsplit(":", 1))
    return {"layers": fetched}


def _load(engine: Engine, request: Mapping[str, Any], _: object) -> dict[str, Any]:
    archive = Path(request["archive"])
    engine.load(archive)
    # Here and now: this goes on where the run that has sent it was killed. What another user laid there stays for them.
    with contextlib.suppress(OSError):
        archive.unlink()
        archive.parent.rmdir()
    lost = sorted(set(request["images"]) - engine.tags())
    if lost:
        raise EngineError("Refused", f"the engine has loaded the archive, and lacks {', '.join(lost)}")
    return {}


def _free(folder: str) -> int | None:
    """Return the MiB that are free there; ``None`` where it can't be seen, as with an engine on another machine."""
    try:
        told = os.statvfs(folder)
    except OSError:
        return None
    return told.f_bavail * told.f_frsize // MIB


def _device(folder: str) -> int | None:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return None


def _reach(registry: str, daemon: Mapping[str, Any], given: tuple[str, str] | None) -> None:
    """See whether an engine that isn't there yet, or not yet as it will be, would get an answer of a registry.

    Raises:
        EngineError: it would not. Behind a proxy nobody can tell, and nothing is raised.
    """
    if any(name.lower() in {"https_proxy", "http_proxy"} for name in os.environ) or daemon.get("proxies"):
        return
    trusted = _insecure(registry, daemon)
    context = ssl.create_default_context()
    for certificate in Path("/etc/docker/certs.d", registry).glob("*.crt"):
        with contextlib.suppress(OSError, ssl.SSLError):
            context.load_verify_locations(certificate)
    if trusted:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = _address(registry)
    try:
        _judge(http.client.HTTPSConnection(host, port or 443, timeout=PROBE, context=context), registry, given)
    except ssl.SSLCertVerificationError as error:
        raise EngineError("Untrusted", error.verify_message) from None
    except ssl.SSLError as error:
        if not trusted:
            raise EngineError("PlainHttp", f"no TLS handshake: {error.reason}") from None
        _plain(host, port or 80, registry, given)
    except (OSError, http.client.HTTPException) as error:
        if not trusted:
            raise EngineError("Unreachable", str(error)) from None
        _plain(host, port or 80, registry, given)


def _plain(host: str, port: int, registry: str, given: tuple[str, str] | None) -> None:
    try:
        _judge(http.client.HTTPConnection(host, port, timeout=PROBE), registry, given)
    except (OSError, http.client.HTTPException) as error:
        raise EngineError("Unreachable", str(error)) from None


def _address(registry: str) -> tuple[str, int | None]:
    """Return host and port: ``[::1]:5000`` has its host in brackets."""
    found = re.fullmatch(r"(?:\[([^]]+)\]|([^:]+))(?::(\d+))?", registry)
    if found is None:
        raise EngineError("Unreachable", f"{registry} is no address")
    return found[1] or found[2], int(found[3]) if found[3] else None


def _judge(connection: http.client.HTTPConnection, registry: str, given: tuple[str, str] | None) -> None:
    """Ask a registry for its version, as the distribution specification has it, and judge the answer."""
    told = credentials(registry, given)
    basic = base64.b64encode(f"{told['username']}:{told['password']}".encode()).decode() if "username" in told else ""
    with contextlib.closing(connection):
        connection.request("GET", "/v2/", headers={"Authorization": f"Basic {basic}"} if basic else {})
        answer = connection.getresponse()
        # A token server (Bearer) is asked for by the engine, and not here
        if answer.status == 401 and (answer.getheader("WWW-Authenticate") or "").lower().startswith("basic"):
            raise EngineError("Unauthorized", f"{'wrong' if basic else 'no'} user name and password")


def _insecure(registry: str, daemon: Mapping[str, Any]) -> bool:
    """Tell whether an engine with this configuration takes what the registry shows, or plain HTTP."""
    named = [str(each) for each in daemon.get("insecure-registries") or []]
    with contextlib.suppress(OSError, ValueError):
        there = json.loads(Path("/etc/docker/daemon.json").read_text(encoding="utf-8"))
        named += [str(each) for each in there.get("insecure-registries") or []]
    if registry in named:
        return True
    try:
        address = ipaddress.ip_address(_address(registry)[0])
    except ValueError:
        return False
    for each in ("127.0.0.0/8", "::1/128", *named):
        with contextlib.suppress(ValueError):  # a name
            if "/" in each and address in ipaddress.ip_network(each, strict=False):
                return True
    return False
