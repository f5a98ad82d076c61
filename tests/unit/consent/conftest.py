"""What the tests of consent share: a client, its endpoints, and a request as it would be made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import token_keeper
from sandbox_provider.testing import Sandbox, running_sandbox
from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.endpoint import Endpoints
from token_keeper.consent.request import AuthorizationRequest

SCOPE = "https://www.googleapis.com/auth/calendar"

DEFAULTS: dict[str, Any] = {
    "access_token_lifetime": 3600,
    "accounts": ["demo@sandbox.invalid"],
    "consent": "grant",
    "granted_scopes": None,
    "latency": 0.0,
    "omit_refresh_token": False,
    "publishing": "production",
    "rotation": False,
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(provider: Sandbox) -> Iterator[Sandbox]:
    yield provider
    provider.clear_faults()
    provider.settings(**DEFAULTS)


@pytest.fixture
def secrets(sandbox: Sandbox) -> ClientSecrets:
    return ClientSecrets.parse(sandbox.client_secrets(), "the sandbox's client")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The document's path in a volume of its own."""
    volume = tmp_path / "tokens"
    volume.mkdir(mode=0o700)
    return volume / "token.json"


@pytest.fixture
def child_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that a test starts find the package, and know nothing of the tester's own desktop."""
    monkeypatch.setenv("PYTHONPATH", str(Path(token_keeper.__file__).parents[1]))
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client() -> ClientSecrets:
    return ClientSecrets.parse(
        {
            "client_id": "client.example",
            "client_secret": "canary-client-secret",
            "auth_uri": "https://provider.example/auth",
            "token_uri": "https://provider.example/token",
        },
        "the test's client",
    )


@pytest.fixture
def request_for_consent(client: ClientSecrets) -> AuthorizationRequest:
    endpoints = Endpoints.choose(client, issuer="https://provider.example")
    return AuthorizationRequest.create(client, endpoints, [SCOPE], "http://127.0.0.1:8085/")
