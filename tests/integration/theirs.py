"""A compose project of somebody's own, on a token file that is bound into its containers: a proxy, an api, a worker."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from deployment import ROOT, Deployment, docker, eventually

OWNER = 999
"""Who runs the keeper's image, which the application is made of."""

PROXY = "tk-itest-haproxy:1"

# Serves while it may, and ends what it has begun; reads the token anew for each answer. Its file is rewritten in place.
APP = """
import json, os, signal, sys, threading, time, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials

PATH = "/data/creds/token.json"
FIELDS = ("refresh_token", "token_uri", "client_id", "client_secret")

def load():
    for _ in range(50):
        try:
            with open(PATH, encoding="utf-8") as file:
                info = json.load(file)
            break
        except ValueError:
            time.sleep(0.01)
    found = Credentials(info["token"], **{name: info[name] for name in FIELDS})
    found.expiry = __import__("datetime").datetime.fromisoformat(info["expiry"].rstrip("Z"))
    return found

def renew(credentials):
    credentials.refresh(Request())
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(credentials.to_json())

def valid():
    credentials = load()
    if not credentials.valid:
        renew(credentials)
    asked = urllib.parse.urlencode({"access_token": credentials.token})
    with urllib.request.urlopen("http://sandbox:9400/tokeninfo?" + asked, timeout=10) as answer:
        return answer.status == 200

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            good = self.path == "/alive" or valid()
        except Exception as error:
            print(type(error).__name__, error, flush=True)
            good = False
        self.send_response(200 if good else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass

if sys.argv[1:] == ["renew"]:
    renew(load())
    sys.exit()

class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

server = Server(("", 8000), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
open("/tmp/ready", "w").close()
server.serve_forever()
server.server_close()
"""

HAPROXY = """
global
    maxconn 500
resolvers docker
    nameserver engine 127.0.0.11:53
    timeout resolve 500ms
    timeout retry 500ms
    hold valid 500ms
defaults
    mode http
    timeout connect 1s
    timeout client 20s
    timeout server 20s
    retries 5
    option redispatch 1
    retry-on conn-failure empty-response
frontend front
    bind :8080
    default_backend api
backend api
    balance roundrobin
    option httpchk GET /alive
    default-server check inter 300ms fall 1 rise 1 resolvers docker init-addr none
    server-template api 1-8 api:8000
"""


def compose(image: str, network: str, port: int) -> dict[str, Any]:
    """Return the project's compose file; its proxy is published on ``port``, the service ``direct`` on the next one."""
    app = {
        "image": image,
        "entrypoint": ["python", "/srv/app/app.py"],
        "command": [],
        "volumes": ["./app:/srv/app:ro", "./token.json:/data/creds/token.json"],
        "networks": ["default", "provider"],
        "healthcheck": {"test": ["CMD", "test", "-e", "/tmp/ready"], "interval": "1s"},
        "restart": "unless-stopped",
    }
    front = {
        "image": PROXY,
        "entrypoint": ["haproxy", "-db", "-f", "/etc/theirs/haproxy.cfg"],
        "user": f"{OWNER}:{OWNER}",
        "volumes": ["./proxy:/etc/theirs:ro"],
        "ports": [f"127.0.0.1:{port}:8080"],
        "stop_grace_period": "1s",
    }
    return {
        "services": {
            "front": front,
            "api": {**app, "deploy": {"replicas": 2}},
            "worker": app,
            "direct": {**app, "ports": [f"127.0.0.1:{port + 1}:8000"]},
        },
        "networks": {"provider": {"name": network, "external": True}},
    }


class Theirs:
    """The project, and the sandbox that its token is from."""

    def __init__(self, folder: Path, deployed: Deployment, image: str, port: int) -> None:
        self.folder, self.deployed, self.port = folder, deployed, port
        self.name = folder.name
        self.file = folder / "token.json"
        for name, text in (("app/app.py", APP), ("proxy/haproxy.cfg", HAPROXY)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        written = compose(image, f"{deployed.project}_egress", port)
        (folder / "docker-compose.yml").write_text(json.dumps(written))

    def up(self) -> None:
        """Start it, on the file."""
        docker(*self._words, "up", "--detach", "--wait")

    def down(self) -> None:
        """Remove it."""
        docker(*self._words, "down", "--volumes", "--remove-orphans", "--timeout", "0")

    def consent(self, **settings: Any) -> None:
        """Have the sandbox set, and a new grant's token in the file."""
        told = requests.put(f"{self.deployed.sandbox}/admin/settings", json=settings, timeout=10)
        told.raise_for_status()
        scopes = ["https://www.googleapis.com/auth/calendar"]
        made = requests.post(f"{self.deployed.sandbox}/admin/grants", json={"scopes": scopes}, timeout=10).json()
        expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=made["expires_in"])
        document = {
            "token": made["access_token"],
            "token_uri": "http://sandbox:9400/token",
            "scopes": made["scope"].split(),
            "universe_domain": "googleapis.com",
            "account": made["account"],
            "expiry": f"{expiry.isoformat()}Z",
        } | {name: made[name] for name in ("refresh_token", "client_id", "client_secret")}
        self.file.write_text(json.dumps(document))
        self.file.chmod(0o600)
        os.chown(self.file, OWNER, OWNER)

    def containers(self, service: str) -> list[str]:
        """Return the names of a service's running containers."""
        labels = (f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}")
        words = [word for label in labels for word in ("--filter", f"label={label}")]
        return docker("ps", *words, "--format", "{{.Names}}").split()

    def renew(self, container: str) -> None:
        """Have the app in a container renew its token, as it does by itself before the end: stock google-auth."""
        docker("exec", container, "python", "/srv/app/app.py", "renew")

    @property
    def _words(self) -> list[str]:
        return ["compose", "--project-directory", str(self.folder), "--file", str(self.folder / "docker-compose.yml")]


class Steady:
    """Asks a page at a steady rate, whether or not earlier requests have been answered."""

    def __init__(self, url: str, rate: float, patience: float = 20.0) -> None:
        self._url, self._rate, self._patience = url, rate, patience
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=32)
        self._sent: list[Future[tuple[float, float, str]]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Steady:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown()

    @property
    def sent(self) -> int:
        """Number of requests."""
        return len(self._sent)

    def failed(self) -> list[tuple[float, str]]:
        """Return when requests were sent that were not answered by 200, and what came instead."""
        return [(at, what) for at, _, what in (one.result() for one in self._sent) if what != "200"]

    def gap(self) -> float:
        """Return the seconds between the first failure's sending and the last one's, or the slowest answer."""
        failed = [at for at, _ in self.failed()]
        slowest = max(seconds for _, seconds, _ in (one.result() for one in self._sent))
        return max(failed[-1] - failed[0] + 1 / self._rate if failed else 0.0, slowest)

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._stopping.is_set():
            self._sent.append(self._pool.submit(self._request))
            self._stopping.wait(max(0.0, begun + len(self._sent) / self._rate - time.monotonic()))

    def _request(self) -> tuple[float, float, str]:
        begun = time.monotonic()
        try:
            what = str(requests.get(self._url, timeout=self._patience).status_code)
        except requests.RequestException as error:
            what = type(error).__name__
        return begun, time.monotonic() - begun, what


@contextmanager
def theirs(folder: Path, deployed: Deployment, image: str, port: int) -> Iterator[Theirs]:
    """A project on the engine, with the sandbox beside it; both are gone when the block ends."""
    deployed.clear_away()
    make_proxy()
    only = folder.parent / "sandbox.yml"
    roles = [{"role": "images"}, {"role": "sandbox"}]
    only.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "roles": roles}]))
    project = Theirs(folder, deployed, image, port)
    try:
        deployed.playbook(str(only), "-e", "app_stack_compose_dir=").succeeded()
        yield project
    finally:
        project.down()
        deployed.remove()


def make_proxy() -> None:
    """Make the proxy's image out of Debian packages, as the kit makes its bases where no registry can be reached."""
    if subprocess.run(["docker", "image", "inspect", PROXY], capture_output=True, check=False).returncode == 0:
        return
    listed = ["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    told = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    sources = sorted({line for line in told if line.split()[2].partition("-")[0] == suite})
    script = ROOT / "roles/images/files/base_rootfs.sh"
    subprocess.run(["sh", str(script), PROXY, suite, "haproxy", "\n".join(sources)], check=True, timeout=300)


def started(project: Theirs, service: str, number: int) -> None:
    """Wait until a service has as many containers."""
    eventually(lambda: len(project.containers(service)) >= number, within=120, what=f"{number} containers of {service}")
