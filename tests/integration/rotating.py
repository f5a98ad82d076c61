"""What the tests of rotation share: grants and secrets to rotate to, runs that are killed, and a token that works."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import requests
from deployment import Deployment, docker
from interrupting import callback, killed_run

SCOPES = ["https://www.googleapis.com/auth/calendar"]
ROTATE = "rotate_token.yml"


def admin(deployment: Deployment, method: str, path: str, **sent: Any) -> Any:
    """Ask the sandbox's admin endpoint."""
    answer = requests.request(method, f"{deployment.sandbox}/admin/{path}", json=sent, timeout=10)
    answer.raise_for_status()
    return answer.json() if answer.content else None


@contextmanager
def sandbox_set(deployment: Deployment, **settings: Any) -> Iterator[None]:
    """Have the sandbox behave otherwise for a while."""
    before = admin(deployment, "GET", "settings")
    admin(deployment, "PUT", "settings", **settings)
    try:
        yield
    finally:
        admin(deployment, "PUT", "settings", **{name: before[name] for name in settings})


def fault(deployment: Deployment, endpoint: str, kind: str, count: int = 1, when: str = "before") -> None:
    """Have the sandbox fail."""
    admin(deployment, "POST", "faults", endpoint=endpoint, kind=kind, count=count, when=when)


def document(deployment: Deployment) -> dict[str, Any]:
    """Return the document that is live, secrets and all."""
    found: dict[str, Any] = json.loads(docker("exec", deployment.container("api"), "cat", "/app/tokens/token.json"))
    return found


def new_grant(deployment: Deployment) -> dict[str, Any]:
    """Return the document of a new grant, as a consent would have brought it."""
    live = document(deployment)
    made = admin(deployment, "POST", "grants", scopes=SCOPES, client_id=live["client_id"])
    grant = {"token": made["access_token"], "refresh_token": made["refresh_token"]}
    client = {name: made[name] for name in ("client_id", "client_secret")}
    return {**{name: value for name, value in live.items() if name != "expiry"}, **grant, **client}


def stage(deployment: Deployment, staged: dict[str, Any] | None = None) -> dict[str, Any]:
    """Stage the document of a new grant in the volume, as the consent of mode reconsent does; returns it."""
    staged = staged or new_grant(deployment)
    inside = ["docker", "exec", "--interactive", deployment.container("api"), "token-keeper", "stage"]
    told = json.dumps(staged).encode()
    subprocess.run([*inside, "--expires-in=3600", "--force"], input=told, capture_output=True, check=True, timeout=60)
    return staged


def newest_secret(deployment: Deployment) -> str:
    """Return the secret that the sandbox's console offers: the inventory takes it from there."""
    told = deployment.get(f"{deployment.sandbox}/console/client_secret.json")
    return str(told["installed"]["client_secret"])


def new_secret(deployment: Deployment) -> str:
    """Give the client a second secret, in the place of an earlier second one that nobody uses."""
    client = document(deployment)["client_id"]
    of_client = f"clients/{client}/secrets"
    drop_old_secrets(deployment)
    return str(admin(deployment, "POST", of_client)["client_secret"])


def drop_old_secrets(deployment: Deployment) -> None:
    """Have one secret left, the document's, as an operator does when a rotation is done or was given up."""
    live = document(deployment)
    of_client = f"clients/{live['client_id']}/secrets"
    known = [each["secret_id"] for each in admin(deployment, "GET", of_client)["secrets"]]
    if len(known) > 1:
        admin(
            deployment,
            "DELETE",
            f"{of_client}/{known[0] if newest_secret(deployment) == live['client_secret'] else known[1]}",
        )


def works(deployment: Deployment) -> None:
    """Check that a token works: it can be renewed, the calendar takes it, and the application is ready."""
    docker("exec", deployment.container("api"), "token-keeper", "refresh", "--force")
    answer = requests.get(f"{deployment.api}/calendar/calendars", timeout=20)
    assert answer.status_code == 200, answer.text
    assert requests.get(f"{deployment.api}/health/ready", timeout=10).status_code == 200


def phase(deployment: Deployment) -> str | None:
    """Return how far the last rotation has come."""
    record = deployment.status()["rotation_record"]
    return None if record is None else str(record["phase"])


def killed(deployment: Deployment, at: str, *arguments: str, delay: float = 0.0, play: str = "Rotate") -> bool:
    """Run the rotation and kill it, with all of its processes, at a task; returns whether it came so far."""
    environment = deployment.environment(**callback(at, delay, play))
    return killed_run(deployment.command(ROTATE, *arguments), environment)


class Page(BaseHTTPRequestHandler):
    """Answers 200 as often as it is told to, then 503."""

    good = 1

    def do_GET(self) -> None:
        """Answer."""
        type(self).good -= 1
        self.send_response(200 if self.good >= 0 else 503)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def falling(good: int) -> Iterator[str]:
    """Serve a readiness page that falls after so many answers."""
    handler = type("Falling", (Page,), {"good": good})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ready"
    finally:
        server.shutdown()
        server.server_close()


def soaking() -> bool:
    """Tell whether the long versions are asked for."""
    return os.environ.get("SOAK") == "1"
