"""The whole consent against the sandbox provider, over HTTP: that it works, and every way in which it does not."""

from __future__ import annotations

import http.client
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

import pytest

from sandbox_provider import person
from sandbox_provider.testing import Sandbox
from token_keeper.consent import ClientSecrets, obtain
from token_keeper.consent.answer import is_answer
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.document import TokenDocument
from token_keeper.errors import ClientRejected, ConsentError, PolicyDenied, ProviderUnavailable, TokenKeeperError

CALENDAR = "https://www.googleapis.com/auth/calendar"


def say_yes(url: str) -> bool:
    return person.visit(url) < 400


def redirect_of(url: str) -> tuple[str, str]:
    """Return the redirect's address and the state of an authorization request."""
    query = parse_qs(urlsplit(url).query)
    return query["redirect_uri"][0], query["state"][0]


def consent(secrets: ClientSecrets, **options: Any) -> TokenDocument:
    scopes = options.pop("scopes", [CALENDAR])
    return obtain(
        secrets, scopes, **{"announce": lambda _text: None, "open_browser": say_yes, "timeout": 10.0, **options}
    )


def refused(secrets: ClientSecrets, **options: Any) -> TokenKeeperError:
    with pytest.raises(TokenKeeperError) as caught:
        consent(secrets, **options)
    return caught.value


def test_document(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    shown: list[str] = []
    document = consent(secrets, announce=shown.append)

    assert document.token is not None
    assert sandbox.accepts(document.token)
    assert document.token_uri == sandbox.token_uri
    assert document.client_id == secrets.client_id
    assert document.scopes == (CALENDAR,)
    assert 3590 < document.expires_in(time.time()) <= 3600
    assert len(shown) == 1
    assert f"\n\n{sandbox.url}/o/oauth2/v2/auth?" in shown[0]


def test_every_consent_brings_a_refresh_token(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    one, other = consent(secrets), consent(secrets)

    assert one.refresh_token != other.refresh_token


def test_consumers_may_reach_the_provider_by_another_address(secrets: ClientSecrets) -> None:
    inside = "http://sandbox:9400/token"

    assert consent(secrets, document_token_uri=inside, allow_http=True).token_uri == inside
    assert refused(secrets, document_token_uri=inside).reason == "EndpointInsecure"


def test_as_a_command_in_browser(secrets: ClientSecrets) -> None:
    document = consent(secrets, open_browser=None, browser=f"{sys.executable} {person.__file__} %s &")

    assert document.scopes == (CALENDAR,)


def test_chosen_port(secrets: ClientSecrets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    redirects: list[str] = []

    def browse(url: str) -> bool:
        redirects.append(redirect_of(url)[0])
        return say_yes(url)

    assert consent(secrets, redirect_port=port, open_browser=browse)
    assert redirects == [f"http://127.0.0.1:{port}/"]


def test_web_client(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        redirect = f"http://localhost:{free.getsockname()[1]}/oauth/callback"
    sandbox.register_client("web.example", "web-secret", redirect_uris=[redirect])
    wrapped = {**sandbox.client_secrets()["installed"], "client_id": "web.example", "client_secret": "web-secret"}
    client = ClientSecrets.parse({"web": {**wrapped, "redirect_uris": [redirect]}}, "web client")

    assert consent(client).client_id == "web.example"


def test_openid_scopes_by_their_long_names(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    granted = ["openid", "https://www.googleapis.com/auth/userinfo.email"]
    sandbox.settings(granted_scopes=granted)

    assert consent(secrets, scopes=["openid", "email"]).scopes == tuple(granted)


def test_the_person_sees_what_happened(secrets: ClientSecrets) -> None:
    pages: list[str] = []

    def browse(url: str) -> bool:
        with build_opener(ProxyHandler({})).open(url) as page:
            pages.append(page.read().decode())
        return True

    document = consent(secrets, open_browser=browse)

    eventually(lambda: pages)
    assert "Consent complete" in pages[0]
    assert CALENDAR in pages[0]
    assert document.refresh_token not in pages[0]


def test_port_in_use(secrets: ClientSecrets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        error = refused(secrets, redirect_port=other.getsockname()[1], announce=pytest.fail)

    assert error.reason == "RedirectPortInUse"


def test_http_to_another_host(secrets: ClientSecrets) -> None:
    error = refused(secrets, token_uri="http://provider.example/token", announce=pytest.fail)

    assert error.reason == "EndpointInsecure"


def test_consent_refused(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(consent="deny")
    error = refused(secrets)

    assert isinstance(error, ConsentError)
    assert error.reason == "ConsentRefused"
    assert "access_denied" in error.message


def test_consent_times_out(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(consent="silent")
    began = time.monotonic()
    error = refused(secrets, timeout=0.4)

    assert error.reason == "ConsentTimedOut"
    assert time.monotonic() - began < 3


def test_no_browser_leaves_it_to_the_person(secrets: ClientSecrets) -> None:
    shown: list[str] = []

    def announce(text: str) -> None:
        shown.append(text)
        if "ssh -N -L" in text:
            url = next(line for line in shown[0].splitlines() if line.startswith("http"))
            threading.Thread(target=say_yes, args=(url,)).start()

    assert consent(secrets, announce=announce, open_browser=lambda _url: False)
    assert len(shown) == 2


def test_a_browser_that_never_returns_does_not_outlive_the_deadline(secrets: ClientSecrets) -> None:
    closed = threading.Event()
    began = time.monotonic()
    error = refused(secrets, timeout=0.3, open_browser=lambda _url: closed.wait(30))
    closed.set()

    assert error.reason == "ConsentTimedOut"
    assert time.monotonic() - began < 3


def test_state_mismatch(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(consent="wrong_state")
    before = sandbox.counters()["exchanges"]
    began = time.monotonic()
    shown: list[str] = []
    error = refused(secrets, timeout=0.6, announce=shown.append)

    # it may be a stray request, so that only the deadline tells
    assert time.monotonic() - began >= 0.6
    assert error.reason == "StateMismatch"
    assert sum("turned away" in text for text in shown) == 1
    assert sandbox.counters()["exchanges"] == before


def test_issuer(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    assert consent(secrets, issuer=sandbox.url)
    assert refused(secrets, issuer="https://other.example").reason == "IssuerMismatch"


def test_redirect_that_is_not_registered(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.register_client("strict.example", "strict-secret", redirect_uris=["http://127.0.0.1:1/other"])
    client = ClientSecrets("strict.example", "strict-secret", secrets.auth_uri, secrets.token_uri)
    error = refused(client, timeout=1.0)

    # the provider tells it to the browser alone, so that only the deadline ends it
    assert error.reason == "ConsentTimedOut"
    assert "redirect_uri_mismatch" in error.remedy


def test_redirect_refused_by_the_token_endpoint(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.fault("token", "oauth_error", error="redirect_uri_mismatch", error_description="Bad Request")
    error = refused(secrets)

    assert isinstance(error, ConsentError)
    assert error.reason == "RedirectUriMismatch"
    assert "http://127.0.0.1:" in error.message


def test_code_refused(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.fault("token", "oauth_error", error="invalid_grant", error_description="Malformed auth code.")
    error = refused(secrets)

    assert isinstance(error, ConsentError)
    assert error.reason == "CodeRejected"
    assert "Malformed auth code." in error.message


def test_wrong_client_secret(secrets: ClientSecrets) -> None:
    client = ClientSecrets(secrets.client_id, "canary-wrong", secrets.auth_uri, secrets.token_uri)
    error = refused(client)

    assert isinstance(error, ClientRejected)
    assert "canary" not in str(error)


def test_policy(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.fault("token", "oauth_error", error="admin_policy_enforced", error_description="Blocked")

    assert isinstance(refused(secrets), PolicyDenied)


def test_scopes_missing(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(granted_scopes=["openid"])
    error = refused(secrets, scopes=["openid", CALENDAR, f"{CALENDAR}.settings.readonly"])

    assert error.reason == "ScopesMissing"
    assert f"without {CALENDAR}, {CALENDAR}.settings.readonly" in error.message


def test_refresh_token_missing(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.settings(omit_refresh_token=True)

    assert refused(secrets).reason == "RefreshTokenMissing"


def test_refresh_token_missing_without_offline_access(secrets: ClientSecrets) -> None:
    error = refused(secrets, extra_params={"access_type": None})

    assert error.reason == "RefreshTokenMissing"


@pytest.mark.parametrize("kind", ["500", "503", "429", "bad_json", "not_an_object", "html", "drop"])
def test_token_endpoint_fails(sandbox: Sandbox, secrets: ClientSecrets, kind: str) -> None:
    sandbox.fault("token", kind)
    error = refused(secrets)

    assert isinstance(error, ProviderUnavailable)
    assert f"{sandbox.url}/token" in error.message
    assert "run the consent again" in error.remedy
    assert consent(secrets)


def test_token_endpoint_stalls(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    sandbox.fault("token", "stall")
    began = time.monotonic()
    error = refused(secrets, exchange_deadline=0.5)

    assert isinstance(error, ProviderUnavailable)
    assert time.monotonic() - began < 3


def test_token_endpoint_unreachable(secrets: ClientSecrets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        gone = f"http://127.0.0.1:{free.getsockname()[1]}/token"
    error = refused(secrets, token_uri=gone)

    assert isinstance(error, ProviderUnavailable)
    assert error.reason == "Unreachable"
    assert gone in error.message


def test_stray_requests_do_not_end_the_consent(secrets: ClientSecrets) -> None:
    slow: list[socket.socket] = []

    def browse(url: str) -> bool:
        address = urlsplit(redirect_of(url)[0])
        assert address.hostname is not None
        assert address.port is not None
        for method, target in (
            ("GET", "/favicon.ico"),
            ("GET", "/"),
            ("GET", "/?state=x"),
            ("GET", "/?code=x"),
            ("GET", "/?code=x&state=y"),
            ("GET", "/?error=access_denied"),
            ("GET", "/?error=access_denied&state=y"),
            ("GET", "/?%zz=%ff&&=&%00"),
            ("HEAD", "/?code=x&state=y"),
            ("POST", "/?code=x&state=y"),
            ("GET", "/?" + "x" * 70_000),
        ):
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
            connection.request(method, target)
            assert connection.getresponse().status >= 400
            connection.close()
        for start in (b"", b"GET /?code="):
            slow.append(socket.create_connection((address.hostname, address.port)))
            slow[-1].sendall(start)
        return say_yes(url)

    assert consent(secrets, open_browser=browse)
    for connection in slow:
        connection.close()


def test_two_browsers_at_once(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    before = sandbox.counters()["exchanges"]["authorization_code"]
    start = threading.Barrier(2)

    def hurry(url: str) -> None:
        start.wait(5)
        try:
            person.visit(url)
        except OSError:
            # the port was closed before this one came
            return

    def browse(url: str) -> bool:
        threads = [threading.Thread(target=hurry, args=(url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return True

    assert consent(secrets, open_browser=browse)
    assert sandbox.counters()["exchanges"]["authorization_code"] == before + 1


def test_a_forged_answer_brings_no_exchange(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    before = sandbox.counters()["exchanges"]

    def browse(url: str) -> bool:
        redirect, _ = redirect_of(url)
        return say_yes(f"{redirect}?{urlencode({'code': 'canary-forged', 'state': 'x' * 43})}")

    error = refused(secrets, open_browser=browse, timeout=0.6)

    assert error.reason == "StateMismatch"
    assert "canary" not in str(error)
    assert sandbox.counters()["exchanges"] == before


FAILURES: list[tuple[dict[str, Any], tuple[str, str] | None]] = [
    ({}, None),
    ({"consent": "deny"}, None),
    ({"consent": "wrong_state"}, None),
    ({"omit_refresh_token": True}, None),
    ({"granted_scopes": ["openid"]}, None),
    ({}, ("token", "500")),
    ({}, ("token", "bad_json")),
    ({}, ("token", "drop")),
]


@pytest.mark.parametrize(("settings", "fault"), FAILURES)
def test_no_secret_gets_out(
    sandbox: Sandbox,
    secrets: ClientSecrets,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    fault: tuple[str, str] | None,
) -> None:
    known = {secrets.client_secret}
    sandbox.settings(**settings)
    if fault:
        sandbox.fault(*fault)
    watch_secrets(monkeypatch, known)
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG):
        try:
            timeout = 0.6 if settings.get("consent") == "wrong_state" else 10.0
            document = consent(secrets, announce=shown.append, timeout=timeout)
        except TokenKeeperError as error:
            shown.append("".join(traceback.format_exception(error)))
            shown.append(repr(error))
        else:
            assert document.token is not None
            known |= {document.token, document.refresh_token}
            shown.append(repr(document))

    # the state is in the address that a person opens, and nowhere else
    address, *rest = shown
    state = redirect_of(next(line for line in address.splitlines() if line.startswith("http")))[1]
    everything = "\n".join([*rest, caplog.text, *capfd.readouterr()])
    assert len(known) >= 2
    for secret in known:
        assert secret not in address
        assert secret not in everything
    assert state not in everything


def watch_secrets(monkeypatch: pytest.MonkeyPatch, known: set[str]) -> None:
    """Add the verifier of each consent, and the code of each answer that comes, to ``known``."""
    create = AuthorizationRequest.create

    def watched_request(*arguments: Any, **options: Any) -> AuthorizationRequest:
        request = create(*arguments, **options)
        known.add(request.verifier)
        return request

    def watched_answer(query: str) -> bool:
        known.update(parse_qs(query).get("code", []))
        return is_answer(query)

    monkeypatch.setattr(AuthorizationRequest, "create", watched_request)
    monkeypatch.setattr("token_keeper.consent.loopback.is_answer", watched_answer)


def test_import_costs_nothing_until_it_is_needed() -> None:
    program = (
        "import sys, token_keeper; assert 'token_keeper.consent' not in sys.modules;"
        "import token_keeper.consent;"
        "assert not {'google_auth_oauthlib', 'oauthlib', 'jinja2', 'requests'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def eventually(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds; the browser's thread may still be on its way."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
