"""Credentials for google API clients: always the store's token, and one exchange among all who were refused."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path

import google.auth.exceptions
import google.auth.transport.requests
import google_auth_httplib2  # type: ignore[import-untyped]
import httplib2
import pytest
from googleapiclient.discovery import build
from keeper_parts import expired, push, renewed
from keeper_provider import Provider

from sandbox_provider.testing import running_sandbox
from token_keeper import TokenDocument, TokenStore
from token_keeper.credentials import StoreCredentials
from token_keeper.errors import ProviderUnavailable, ReauthRequired, TokenCorrupt, TokenMissing


def bearer(credentials: StoreCredentials) -> str:
    headers: dict[str, str] = {}
    credentials.before_request(None, "GET", "https://api.test/", headers)
    return headers["authorization"].removeprefix("Bearer ")


def test_they_carry_the_stores_token_and_no_refresh_token(store: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document)
    credentials = store.credentials()
    assert bearer(credentials) == document.token
    assert credentials.refresh_token is None
    assert document.refresh_token not in str(vars(credentials).values())
    assert credentials.valid


def test_a_document_that_was_emptied_is_mended_for_credentials_that_are_made_then(
    store: TokenStore, provider: Provider, path: Path
) -> None:
    document = provider.grant()
    store.replace(document)
    path.write_text("\n")
    credentials = TokenStore(path).credentials()
    assert bearer(credentials) == document.token
    assert provider.forms == []


def test_where_nothing_can_be_put_back_they_say_what_to_do(path: Path) -> None:
    path.write_text("\n")
    with pytest.raises(TokenCorrupt, match=r"obtain a new one with site\.yml"):
        TokenStore(path).credentials()
    with pytest.raises(TokenCorrupt, match="`token-keeper verify` does so now; else obtain a new one"):
        TokenStore(path).read()


def test_they_notice_a_new_generation_by_themselves(store: TokenStore, provider: Provider, path: Path) -> None:
    document = provider.grant()
    store.replace(document)
    credentials = store.credentials()
    bearer(credentials)
    newer = renewed(document, "newer", seconds=4000)
    TokenStore(path).replace(newer)
    assert bearer(credentials) == "newer"
    assert credentials.token == "newer"
    assert provider.forms == []


def test_an_expired_token_is_renewed_before_the_request(store: TokenStore, provider: Provider) -> None:
    push(store, expired(provider.grant()))
    credentials = store.credentials()
    assert bearer(credentials) in provider.access_tokens
    assert provider.exchanges == 1
    assert not credentials.expired


def test_a_refused_token_costs_one_exchange_among_many(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    all_credentials = [store.credentials() for _ in range(10)]
    provider.latency = 0.1
    threads = [threading.Thread(target=credentials.refresh, args=(None,)) for credentials in all_credentials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.exchanges == 1
    assert len({credentials.token for credentials in all_credentials}) == 1


def test_a_refused_token_near_its_end_is_renewed_too(store: TokenStore, provider: Provider, path: Path) -> None:
    """google-auth calls it expired already, the store does not yet: what was refused must not be handed out again."""
    document = provider.grant(expires_in=100)
    store.replace(document)
    credentials = store.credentials()
    assert credentials.expired
    assert store.access_token() == document.token
    credentials.refresh(None)
    assert credentials.token != document.token
    assert provider.exchanges == 1


@pytest.mark.parametrize("retryable", [True, False])
def test_the_stores_errors_come_as_google_auths(store: TokenStore, provider: Provider, retryable: bool) -> None:
    push(store, expired(provider.grant()))
    credentials = store.credentials()
    if retryable:
        provider.script.append("busy")
    else:
        provider.live.clear()
    with pytest.raises(google.auth.exceptions.RefreshError) as caught:
        bearer(credentials)
    assert caught.value.retryable is retryable
    assert isinstance(caught.value.__cause__, ProviderUnavailable if retryable else ReauthRequired)
    with pytest.raises(google.auth.exceptions.RefreshError):
        credentials.refresh(None)
    assert len(provider.forms) == 1


def test_a_cleared_token_stops_them(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    credentials = store.credentials()
    store.clear("Maintenance")
    with pytest.raises(google.auth.exceptions.RefreshError) as caught:
        bearer(credentials)
    assert isinstance(caught.value.__cause__, TokenMissing)


def test_they_travel_in_no_message_and_no_cache(store: TokenStore, provider: Provider) -> None:
    store.replace(provider.grant())
    credentials = store.credentials()
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="not pickled"):
            attempt(credentials)


def test_a_quota_project_can_be_given(store: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document)
    credentials = store.credentials().with_quota_project("project")
    headers: dict[str, str] = {}
    credentials.before_request(None, "GET", "https://api.test/", headers)
    assert headers["x-goog-user-project"] == "project"
    assert headers["authorization"] == f"Bearer {document.token}"


def test_an_authorized_session_recovers_from_a_401(store: TokenStore, provider: Provider) -> None:
    document = provider.grant()
    store.replace(document)
    provider.access_tokens.clear()
    with google.auth.transport.requests.AuthorizedSession(store.credentials()) as session:
        assert session.get(f"{provider.url}/calendar").status_code == 200
    assert provider.exchanges == 1


def test_googles_own_client_works_against_the_sandbox(path: Path) -> None:
    with running_sandbox() as sandbox:
        store = TokenStore(path)
        store.replace(TokenDocument.from_mapping(sandbox.issue_token()))
        http = google_auth_httplib2.AuthorizedHttp(store.credentials(), http=httplib2.Http(timeout=10))
        calendar = build(
            "calendar", "v3", http=http, static_discovery=True,
            client_options={"api_endpoint": sandbox.calendar_endpoint},
        )  # fmt: skip
        before = sandbox.counters()["exchanges"]["refresh_token"]
        assert calendar.calendarList().list().execute()["items"]

        # somebody else renews it: noticed without an exchange of its own
        TokenStore(path).refresh(force=True)
        assert calendar.calendarList().list().execute()["items"]

        # the store calls it fresh, the calendar does not know it: one exchange, and the request succeeds
        unknown = renewed(store.read(), "unknown-to-the-calendar", seconds=7000)
        store.replace(unknown)
        assert calendar.calendarList().list().execute()["items"]
        assert sandbox.counters()["exchanges"]["refresh_token"] - before == 2
        assert store.snapshot().generation == 4
