"""An engine's way to a registry: what it asks there, whom it says it is, and how it says what is wrong."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from module_utils.token_keeper_helper import registry_engine
from module_utils.token_keeper_helper.host_images import SENT
from module_utils.token_keeper_helper.registry_engine import Engine, EngineError, credentials
from pretended_registry import PretendedDocker, executable, on_path

REPOSITORY, DIGEST = "10.0.0.1:5000/kit/kit-keeper", "sha256:0123"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendedDocker:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return PretendedDocker(tmp_path / "bin")


def engine_of(docker: PretendedDocker, given: tuple[str, str] | None = None) -> Engine:
    return Engine([str(docker.program)], given)


def test_what_is_pushed_is_found_and_pulled_by_the_digest_that_the_push_gave(docker: PretendedDocker) -> None:
    docker.has("kit-keeper:0123")
    with engine_of(docker) as engine:
        with pytest.raises(EngineError) as raised:
            engine.described(f"{REPOSITORY}:0123")
        assert raised.value.reason == "NotThere"
        assert engine.digest_of("kit-keeper:0123", REPOSITORY) == ""
        engine.tag("kit-keeper:0123", REPOSITORY, "0123")
        assert engine.push(REPOSITORY, "0123") == DIGEST
        assert engine.described(f"{REPOSITORY}:0123") == (DIGEST, ["amd64"])
        assert engine.digest_of("kit-keeper:0123", REPOSITORY) == DIGEST
        assert engine.pull(REPOSITORY, DIGEST) == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Get https://10.0.0.1:5000/v2/: http: server gave HTTP response to HTTPS client", "PlainHttp"),
        ("x509: certificate signed by unknown authority", "Untrusted"),
        ("x509: certificate is valid for 10.0.0.2, not 10.0.0.1", "Untrusted"),
        ("no basic auth credentials", "Unauthorized"),
        ("unauthorized: authentication required", "Unauthorized"),
        ("denied: requested access to the resource is denied", "Unauthorized"),
        ("Get https://10.0.0.1:5000/v2/: dial tcp 10.0.0.1:5000: connect: connection refused", "Unreachable"),
        ("dial tcp: lookup registry.example.com: no such host", "Unreachable"),
        ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)", "Unreachable"),
        ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", "NoSpace"),
        ("something new", "Refused"),
    ],
)
def test_a_refusal_is_told_by_what_has_to_be_done(docker: PretendedDocker, said: str, reason: str) -> None:
    for status in (500, 200):  # an engine says it at once, or when it has begun to tell of its progress
        docker.set(refuses=[status, said])
        with engine_of(docker) as engine, pytest.raises(EngineError) as raised:
            engine.pull(REPOSITORY, DIGEST)
        assert (raised.value.reason, raised.value.said) == (reason, said)


def test_an_engine_that_does_not_answer_is_told_with_what_the_command_said(docker: PretendedDocker) -> None:
    docker.set(down=True)
    with engine_of(docker) as engine, pytest.raises(EngineError) as raised:
        engine.tags()
    assert raised.value.reason == "EngineUnreachable"
    assert "Cannot connect to the Docker daemon" in raised.value.said
    with Engine([str(docker.program.parent / "nothing")]) as engine, pytest.raises(EngineError) as raised:
        engine.tags()
    assert raised.value.reason == "EngineUnreachable"


@pytest.fixture
def says(tmp_path: Path) -> Callable[[str], Engine]:
    """An engine that reads a request's head, says something, and goes away."""

    def made(said: str) -> Engine:
        script = f"""#!{sys.executable} -IS
import sys
head = b""
while b"\\r\\n\\r\\n" not in head:
    head += sys.stdin.buffer.raw.read(4096)
sys.stdout.write({said!r})
"""
        executable(tmp_path / "ending", script)
        return Engine([str(tmp_path / "ending")])

    return made


CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "said", ["", f"{CHUNKED}\r\n15\r\n" + '{"status": "Waiting"}', f"{CHUNKED}\r\n8\r\n" + '{"status']
)
def test_an_engine_that_goes_away_in_the_middle_is_told(says: Callable[[str], Engine], said: str) -> None:
    with says(said) as engine, pytest.raises(EngineError) as raised:
        engine.pull(REPOSITORY, DIGEST)
    assert raised.value.reason == "EngineUnreachable"
    with says(said) as engine, pytest.raises(EngineError) as raised:
        engine.tags()
    assert raised.value.reason == "EngineUnreachable"


def test_an_engine_that_refuses_before_it_has_read_the_archive_says_why(
    says: Callable[[str], Engine], tmp_path: Path
) -> None:
    archive = tmp_path / "images.tar"
    archive.write_bytes(bytes(8_000_000))
    told = json.dumps({"error": "write /data: no space left on device"})
    answer = f"{CHUNKED}Connection: close\r\n\r\n{len(told):x}\r\n{told}\r\n0\r\n\r\n"
    with says(answer) as engine, pytest.raises(EngineError) as raised:
        engine.load(archive)
    assert (raised.value.reason, raised.value.said) == ("NoSpace", "write /data: no space left on device")


def test_an_engine_that_keeps_images_in_containerd_says_the_digest_in_words(says: Callable[[str], Engine]) -> None:
    told = json.dumps({"status": f"0123: digest: {DIGEST} size: 528"})
    with says(f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n{told}") as engine:
        assert engine.push(REPOSITORY, "0123") == DIGEST


def shown(docker: PretendedDocker, given: tuple[str, str] | None = None) -> dict[str, str]:
    with engine_of(docker, given) as engine, pytest.raises(EngineError):
        engine.described(f"{REPOSITORY}:0123")
    found: dict[str, str] = docker.get("asked")[-1][3]
    return found


def test_a_user_who_is_given_goes_to_the_registry_and_nobody_else(docker: PretendedDocker, tmp_path: Path) -> None:
    entry = {"auth": base64.b64encode(b"ann:theirs").decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"https://10.0.0.1:5000": entry}}))
    user = {"username": "puller", "password": "pa:ss", "serveraddress": "10.0.0.1:5000"}
    assert shown(docker, ("puller", "pa:ss")) == user
    assert shown(docker) == {"username": "ann", "password": "theirs", "serveraddress": "10.0.0.1:5000"}
    assert credentials("10.0.0.1:5001") == {}
    # by which an engine knows it, and shows no user to any other
    assert credentials("docker.io", ("puller", "pa:ss"))["serveraddress"] == "https://index.docker.io/v1/"
    (tmp_path / "config.json").write_text("not JSON")
    assert shown(docker) == {}


def test_credential_helpers_are_asked_as_the_docker_command_asks_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", on_path(tmp_path))
    told = '{"ServerURL": "x", "Username": "ann", "Secret": "s3"}'
    executable(tmp_path / "docker-credential-one", f"#!/bin/sh\ncat >{tmp_path}/asked\necho '{told}'\n")
    executable(tmp_path / "docker-credential-none", "#!/bin/sh\necho credentials not found\nexit 1\n")
    executable(tmp_path / "docker-credential-token", f"#!/bin/sh\necho '{told.replace('ann', '<token>')}'\n")
    config = {"credHelpers": {"one.example.com": "one", "token.example.com": "token"}, "credsStore": "none"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert credentials("one.example.com")["password"] == "s3"
    assert (tmp_path / "asked").read_text() == "one.example.com"
    assert credentials("token.example.com") == {"identitytoken": "s3", "serveraddress": "token.example.com"}
    assert credentials("other.example.com") == {}


def sent(docker: PretendedDocker, **request: object) -> dict[str, object]:
    """Have a host do something, as the action sends it: text to its Python, on stdin."""
    program = Path(registry_engine.__file__).read_text(encoding="utf-8")
    asked = json.dumps({"program": program, "docker": [str(docker.program)], **request})
    ended = subprocess.run(
        [sys.executable, "-IS", "-c", SENT], input=asked, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, object] = json.loads(ended.stdout)
    return answer


def test_a_host_pulls_by_digest_and_names_it(docker: PretendedDocker) -> None:
    docker.set(registry={f"{REPOSITORY}@{DIGEST}": [DIGEST, "amd64"]})
    images = {"kit-keeper:0123": {"repository": REPOSITORY, "digest": DIGEST}}
    assert sent(docker, do="pull", images=images, username="u", password="p") == {"layers": {"kit-keeper:0123": 1}}
    assert "kit-keeper:0123" in docker.get("images")


def test_a_host_pulls_nothing_where_one_of_several_is_not_for_it(docker: PretendedDocker) -> None:
    other = "10.0.0.1:5000/kit/kit-stack"
    docker.set(registry={f"{REPOSITORY}@{DIGEST}": [DIGEST, "amd64"], f"{other}@{DIGEST}": [DIGEST, "arm64"]})
    images = {f"kit:{at}": {"repository": at, "digest": DIGEST} for at in (REPOSITORY, other)}
    images = {"kit-keeper:1": images[f"kit:{REPOSITORY}"], "kit-stack:1": images[f"kit:{other}"]}
    told = sent(docker, do="pull", images=images)
    assert told == {"error": {"reason": "WrongArchitecture", "said": "kit-stack:1 is for arm64"}}
    assert docker.get("images") == {}


def test_a_host_that_has_the_images_asks_no_registry(docker: PretendedDocker) -> None:
    docker.has("kit-keeper:0123")
    looked = sent(docker, do="look", images=["kit-keeper:0123"], probe=f"{REPOSITORY}:0123", early=False)
    assert looked["tags"] == ["kit-keeper:0123"]
    assert docker.verbs() == []


def test_a_host_that_lacks_one_says_how_the_registry_refuses_it(docker: PretendedDocker) -> None:
    docker.set(refuses=[500, "no basic auth credentials"])
    looked = sent(docker, do="look", images=["kit-keeper:0123"], probe=f"{REPOSITORY}:0123", early=False)
    assert looked["refused"] == {"reason": "Unauthorized", "said": "no basic auth credentials"}
    docker.set(refuses=None)
    looked = sent(docker, do="look", images=["kit-keeper:0123"], probe=f"{REPOSITORY}:0123", early=False)
    assert "refused" not in looked, "a registry that has not got it yet refuses nobody"


# --- before there is an engine


@contextmanager
def registry(certificate: Path | None = None, login: str = "") -> Iterator[str]:
    """A registry's first page, with TLS or without; gives its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None
            self.send_response(200 if self.headers["Authorization"] == wanted or wanted is None else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="it"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"localhost:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that nobody trusts, with its key."""
    file = tmp_path / "server.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(file), "-out", "-"]
    made = subprocess.run(make, capture_output=True, check=True)
    with file.open("ab") as both:
        both.write(made.stdout)
    return file


def reached(server: str, daemon: dict[str, object] | None = None, given: tuple[str, str] | None = None) -> str:
    """Return why an engine that is to come would be refused; empty if it would not."""
    try:
        registry_engine._reach(server, daemon or {}, given)
    except EngineError as error:
        return error.reason
    return ""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def test_a_registry_without_tls_needs_the_engine_s_leave() -> None:
    with registry() as server:
        assert reached(server) == "PlainHttp"
        assert reached(server, {"insecure-registries": [server]}) == ""
        assert reached(server.replace("localhost", "127.0.0.1")) == "", "an engine trusts its own machine"
    assert reached(server) == "Unreachable"


def test_a_registry_with_a_certificate_of_its_own_needs_trust(certificate: Path) -> None:
    with registry(certificate) as server:
        assert reached(server) == "Untrusted"
        assert reached(server, {"insecure-registries": [server]}) == ""
        assert reached(server, {"proxies": {"https-proxy": "http://proxy.example.com"}}) == "", "nobody can tell"


HIDDEN = "unknown: Client sent an HTTP request to an HTTPS server.\n"


def test_what_an_engine_hides_behind_its_last_answer_is_asked_again(docker: PretendedDocker, certificate: Path) -> None:
    """One that takes any certificate tries plain HTTP as well where the registry lacks the image, and tells of that."""
    with registry(certificate, "ann:right") as server:
        docker.set(refuses=[500, HIDDEN])
        for given, reason in (
            (("ann", "right"), "NotThere"),
            (("ann", "wrong"), "Unauthorized"),
            (None, "Unauthorized"),
        ):
            with engine_of(docker, given) as engine, pytest.raises(EngineError) as raised:
                engine.described(f"{server}/kit-keeper:0123")
            assert raised.value.reason == reason


def test_a_registry_that_asks_who_it_is_has_to_be_told() -> None:
    with registry(login="ann:right") as server:
        trusting = {"insecure-registries": [server]}
        assert reached(server, trusting) == "Unauthorized"
        assert reached(server, trusting, ("ann", "wrong")) == "Unauthorized"
        assert reached(server, trusting, ("ann", "right")) == ""


@pytest.mark.parametrize(
    ("server", "named", "trusted"),
    [
        ("10.1.2.3:5000", ["10.0.0.0/8"], True),
        ("10.1.2.3:5000", ["10.1.2.3:5001"], False),
        ("10.1.2.3:5000", ["http://10.1.2.3:5000", "10.0.0.0/8"], True),
        ("registry.example.com", ["10.0.0.0/8"], False),
        ("127.0.0.1:5000", [], True),
        ("[::1]:5000", [], True),
    ],
)
def test_ranges_of_addresses_are_understood(server: str, named: list[str], trusted: bool) -> None:
    assert registry_engine._insecure(server, {"insecure-registries": named}) is trusted
