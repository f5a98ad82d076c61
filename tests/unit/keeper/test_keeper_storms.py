"""However often, and by however many, a token is asked for: the provider is asked as seldom as can be."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import google.auth.transport.requests
import pytest
from keeper_parts import edit_state, expired, push, state_of
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.errors import ProviderUnavailable, TokenKeeperError

# those whose calls meet at a lock that is held
CALLERS = 16


def all_at_once(path: Path, call: str, **options: object) -> list[TokenKeeperError]:
    """Have many stores call at the same moment; returns what they raised."""
    raised: list[TokenKeeperError] = []
    barrier = threading.Barrier(CALLERS)

    def one() -> None:
        store = TokenStore(path)
        store.read()
        barrier.wait()
        try:
            getattr(store, call)(**options)
        except TokenKeeperError as error:
            raised.append(error)

    threads = [threading.Thread(target=one) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_a_server_that_refuses_every_token_costs_one_exchange(path: Path, provider: Provider) -> None:
    """As where the API is switched off for the project: the next token would be refused as well."""
    provider.rotation = True
    store = TokenStore(path)
    store.replace(provider.grant(), rotation="yes")
    provider.access_tokens = type("Nothing", (set,), {"__contains__": lambda *_: False})()
    with google.auth.transport.requests.AuthorizedSession(store.credentials()) as session:
        answers = {session.get(f"{provider.url}/calendar").status_code for _ in range(10)}
    assert answers == {401}
    assert provider.exchanges == 1


def test_a_token_that_is_refused_later_is_renewed(path: Path, provider: Provider) -> None:
    store = TokenStore(path)
    store.replace(provider.grant())
    first = store.access_token()
    store.refresh(rejected=first)
    second = store.access_token()
    assert not store.refresh(rejected=second).exchanged
    begin = state_of(path).token_life
    assert begin is not None
    assert begin.begin.uptime is not None
    moved = {"wall": begin.begin.wall - 60, "boot": begin.begin.boot, "uptime": begin.begin.uptime - 60}
    edit_state(path, token_life={"begin": moved, "seconds": begin.seconds})
    assert store.refresh(rejected=second).exchanged


def test_of_threads_with_one_set_of_credentials_a_late_401_does_not_refuse_a_newer_token(
    path: Path, provider: Provider
) -> None:
    """All have sent the same token; its refusals come one after another, and each finds it renewed already."""
    store = TokenStore(path)
    store.replace(provider.grant())
    shared = store.credentials()
    sent = threading.Barrier(6)
    turn = threading.Lock()

    def one() -> None:
        shared.before_request(None, "GET", "https://api.test/", {})
        sent.wait()
        with turn:
            shared.refresh(None)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.exchanges == 1


def test_a_forced_refresh_that_fails_is_the_answer_to_all_who_waited_for_it(path: Path, provider: Provider) -> None:
    TokenStore(path).replace(provider.grant(), rotation="no")
    provider.latency = 0.5
    provider.script.extend(["fault"] * CALLERS)
    raised = all_at_once(path, "refresh", force=True)
    assert len(raised) == CALLERS
    assert all(isinstance(error, ProviderUnavailable) for error in raised)
    assert len(provider.forms) == 1
    provider.script.clear()
    assert TokenStore(path).refresh(force=True).exchanged, "who asks anew is not answered with an old failure"


def test_a_life_that_no_token_has_is_asked_for_once(path: Path, provider: Provider) -> None:
    provider.lifetime = 600
    TokenStore(path).replace(provider.grant(expires_in=500))
    provider.latency = 0.5
    assert all_at_once(path, "refresh", min_valid=900.0) == []
    assert provider.exchanges == 1


def test_where_it_is_not_known_whether_tokens_rotate_a_fault_is_got_over(path: Path, provider: Provider) -> None:
    store = TokenStore(path)
    push(store, provider.grant(expires_in=200))
    provider.script.append("fault")
    with pytest.raises(ProviderUnavailable):
        store.refresh()
    edit_state(path, cooldown=None)
    assert store.refresh().exchanged, "long before the old token's end"


def test_with_rotation_it_is_not_tempted(path: Path, provider: Provider) -> None:
    store = TokenStore(path)
    push(store, provider.grant(expires_in=200), rotation="yes")
    provider.script.append("fault")
    with pytest.raises(ProviderUnavailable):
        store.refresh()
    edit_state(path, cooldown=None)
    with pytest.raises(ProviderUnavailable) as caught:
        store.refresh()
    assert caught.value.reason == "OutcomeUncertain"


@pytest.mark.parametrize("kind", ["busy", "busy_date"])
def test_a_server_that_has_turned_the_request_away_is_asked_again(path: Path, provider: Provider, kind: str) -> None:
    store = TokenStore(path)
    push(store, expired(provider.grant()), rotation="yes")
    provider.script.append(kind)
    with pytest.raises(ProviderUnavailable):
        store.access_token()
    edit_state(path, cooldown=None)
    assert TokenStore(path).access_token()
    assert provider.exchanges == 1


def test_no_back_off_is_longer_than_an_hour(path: Path, provider: Provider) -> None:
    store = TokenStore(path)
    push(store, expired(provider.grant()))
    begin = {"wall": time.time(), "boot": None, "uptime": None}
    edit_state(path, cooldown={"begin": begin, "seconds": 1e9})
    with pytest.raises(ProviderUnavailable) as caught:
        store.access_token()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= 3600
