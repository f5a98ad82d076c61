"""Finding a provider by its issuer: where its documents are, what they may say, and whom they may speak for."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from small_server import SmallServer, small_server

from sandbox_provider.testing import Sandbox
from token_keeper.consent import ClientSecrets, Inquiry
from token_keeper.consent.discovery import Metadata, discover, well_known
from token_keeper.consent.endpoint import Endpoints
from token_keeper.errors import ConsentError

OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
BARE = ClientSecrets("id", "secret")


@pytest.fixture
def server() -> Iterator[SmallServer]:
    with small_server() as running:
        yield running


def document(server: SmallServer, issuer: str | None = None, **changes: Any) -> tuple[int, bytes]:
    fields = {
        "issuer": issuer or server.url,
        "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": "https://login.example.com/token",
        **changes,
    }
    return 200, json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def refused(issuer: str, **options: Any) -> ConsentError:
    with pytest.raises(ConsentError) as caught:
        discover(issuer, **options)
    assert caught.value.remedy
    return caught.value


def test_the_sandbox(sandbox: Sandbox) -> None:
    assert discover(sandbox.url) == Metadata(
        issuer=sandbox.url,
        auth_uri=f"{sandbox.url}/o/oauth2/v2/auth",
        token_uri=sandbox.token_uri,
        revocation_uri=sandbox.revocation_uri,
        userinfo_uri=f"{sandbox.url}/userinfo",
        issuer_in_answers=True,
        is_openid=True,
        scopes=("openid", "email", "profile", "https://www.googleapis.com/auth/calendar"),
    )


@pytest.mark.parametrize(
    ("issuer", "places"),
    [
        ("https://a.example", [f"https://a.example{OPENID}", f"https://a.example{OAUTH}"]),
        ("https://a.example/", [f"https://a.example{OPENID}", f"https://a.example{OAUTH}"]),
        (
            "https://a.example/tenant/1",
            [
                f"https://a.example/tenant/1{OPENID}",
                f"https://a.example{OAUTH}/tenant/1",
                f"https://a.example{OPENID}/tenant/1",
            ],
        ),
    ],
)
def test_where_the_documents_are(issuer: str, places: list[str]) -> None:
    assert well_known(issuer) == places


@pytest.mark.parametrize("place", [f"/tenant{OPENID}", f"{OAUTH}/tenant", f"{OPENID}/tenant"])
def test_any_of_them_will_do(server: SmallServer, place: str) -> None:
    issuer = f"{server.url}/tenant"
    server.answers[place] = document(server, issuer)

    found = discover(issuer)
    assert found.token_uri == "https://login.example.com/token"
    assert found.is_openid is (OPENID in place)
    assert (found.issuer_in_answers, found.revocation_uri, found.userinfo_uri) == (False, None, None)


@pytest.mark.parametrize("says", ["https://evil.example", "{}/", "{}\x1b[2J", "{}" + "x" * 500])
def test_a_document_speaks_for_its_own_issuer_alone(server: SmallServer, says: str) -> None:
    server.answers[OPENID] = document(server, says.replace("{}", server.url))
    error = refused(server.url)

    assert error.reason == "IssuerMismatch"
    assert error.message.isprintable()
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hotel</html>", "is not a JSON object"),
        (b"[1]", "is not a JSON object"),
        (b"[" * 100_000, "is not a JSON object"),
        (b'{"token_endpoint": "https://a.example/t"}', "has no issuer"),
    ],
)
def test_not_metadata(server: SmallServer, body: bytes, said: str) -> None:
    server.answers[OPENID] = (200, body)
    error = refused(server.url)

    assert error.reason == "DiscoveryMalformed"
    assert said in error.message


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_an_endpoint_is_missing_or_none(server: SmallServer, name: str) -> None:
    server.answers[OPENID] = document(server, **{name: None})
    assert f"has no {name}" in refused(server.url).message
    server.answers[OPENID] = document(server, **{name: ["https://a.example"]})
    assert f"has a {name} that is not a text" in refused(server.url).message


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "userinfo_endpoint"])
def test_no_endpoint_may_be_in_the_clear(server: SmallServer, name: str) -> None:
    server.answers[OPENID] = document(server, **{name: "http://login.example.com/x"})

    error = refused(server.url)
    assert error.reason == "EndpointInsecure"
    assert name in error.message
    assert discover(server.url, allow_http=True)


def test_the_issuer_may_not_be_in_the_clear_or_have_a_query() -> None:
    assert refused("http://login.example.com").reason == "EndpointInsecure"
    assert refused("https://login.example.com?tenant=1").reason == "EndpointMalformed"
    assert refused("login.example.com").reason == "EndpointMalformed"


def test_a_redirect_is_not_followed(server: SmallServer) -> None:
    def move(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere")
        handler.end_headers()

    server.answers |= {OPENID: move, "/elsewhere": document(server)}
    error = refused(server.url)

    assert error.reason == "DiscoveryFailed"
    assert f"{server.url}{OPENID} answered 302; {server.url}{OAUTH} answered 404" in error.message
    assert "/elsewhere" not in server.asked


def test_a_document_that_never_ends(server: SmallServer) -> None:
    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b" " * 65_536)

    server.answers[OPENID] = pour
    error = refused(server.url)
    assert error.reason == "DiscoveryFailed"
    assert "more than 1048576 bytes" in error.message


@pytest.mark.parametrize("pause", [0.05, 30.0])
def test_a_server_that_takes_its_time(server: SmallServer, pause: float) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b" ")
            time.sleep(pause)

    server.answers[OPENID] = trickle
    began = time.monotonic()
    error = refused(server.url, deadline=0.5)
    assert error.reason == "DiscoveryFailed"
    assert "within 0.5 s" in error.message
    assert time.monotonic() - began < 2


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    error = refused(gone)

    assert error.reason == "DiscoveryFailed"
    assert f"{gone}{OPENID} can't be reached" in error.message


def test_no_password_is_sent(server: SmallServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers[OPENID] = document(server)

    assert discover(server.url)
    assert "Authorization" not in server.headers


def test_generic_by_its_issuer(sandbox: Sandbox) -> None:
    inquiry = Inquiry.prepare(BARE, ["calendar"], provider="generic", issuer=sandbox.url, account="ada@example.org")

    assert inquiry.endpoints.token_uri == sandbox.token_uri
    assert inquiry.endpoints.issuer_in_answers
    assert inquiry.also == ("openid", "email")
    assert Inquiry.prepare(
        BARE, ["calendar"], provider="generic", issuer=sandbox.url, account="ada@example.org", ask_for_account=False
    ).also == ()  # fmt: skip


def test_when_the_provider_is_asked(server: SmallServer) -> None:
    server.answers[OPENID] = document(server)
    known = ClientSecrets("id", "secret", "https://a.example/auth", "https://a.example/token")

    def asked(client: ClientSecrets, **options: Any) -> tuple[str, bool]:
        server.asked.clear()
        return Endpoints.find(client, issuer=server.url, **options).token_uri, bool(server.asked)

    found, here = ("https://login.example.com/token", True), ("https://a.example/token", False)
    assert asked(BARE) == found
    assert asked(BARE, provider="generic") == found
    assert asked(known) == here
    assert asked(known, provider="generic") == found, "the issuer's own word comes before the client's file"
    both = {"auth_uri": "https://a.example/auth", "token_uri": "https://a.example/token"}
    assert asked(BARE, provider="generic", **both) == here
    assert asked(BARE, provider="generic", token_uri="https://a.example/token") == (here[0], True)
    assert asked(known, provider="google") == here
