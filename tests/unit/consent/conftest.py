"""What the tests of consent share: a client, its endpoints, and a request as it would be made."""

from __future__ import annotations

import pytest

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.endpoint import Endpoints
from token_keeper.consent.request import AuthorizationRequest

SCOPE = "https://www.googleapis.com/auth/calendar"


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
