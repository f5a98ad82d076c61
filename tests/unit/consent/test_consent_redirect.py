"""Which redirect a client may use."""

from __future__ import annotations

import pytest

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.redirect import Redirect
from token_keeper.errors import ConsentError


def web(*redirect_uris: str) -> ClientSecrets:
    return ClientSecrets("id", "secret", kind="web", redirect_uris=redirect_uris)


@pytest.mark.parametrize("port", [0, 8085])
def test_installed_clients_use_any_port(port: int) -> None:
    client = ClientSecrets("id", "secret", redirect_uris=("http://localhost",))

    assert Redirect.choose(client, port) == Redirect(port)


@pytest.mark.parametrize(
    ("registered", "port", "expected"),
    [
        ((), 8085, Redirect(8085)),
        (("http://127.0.0.1:8085/",), 8085, Redirect(8085, "/", "http://127.0.0.1:8085/")),
        (("https://app.example/cb", "http://localhost:8085/cb"), 0, Redirect(8085, "/cb", "http://localhost:8085/cb")),
        (("http://localhost:1234", "http://localhost:8085"), 8085, Redirect(8085, "", "http://localhost:8085")),
        (("http://localhost/cb",), 0, Redirect(80, "/cb", "http://localhost/cb")),
        (("http://LocalHost:8085/Cb",), 0, Redirect(8085, "/Cb", "http://LocalHost:8085/Cb")),
    ],
)
def test_web_clients_use_what_is_registered(registered: tuple[str, ...], port: int, expected: Redirect) -> None:
    assert Redirect.choose(web(*registered), port) == expected


@pytest.mark.parametrize(
    "registered",
    [
        "https://app.example/cb",
        "http://localhost:1234/",
        "https://localhost:8085/",
        "http://localhost:8085/#x",
        "http://localhost:x/",
        "http://localhost:0/",
        "http://[::1]:8085/",
        "http://[",
    ],
)
def test_web_clients_without_a_fitting_redirect(registered: str) -> None:
    with pytest.raises(ConsentError, match="port 8085") as caught:
        Redirect.choose(web(registered), 8085)

    assert caught.value.reason == "RedirectUriMismatch"
    assert "http://127.0.0.1:8085/" in caught.value.remedy
    assert "Desktop app" in caught.value.remedy
