"""One exchange: a single attempt, a typed end to whatever comes back, and no secret in any message."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import secrets
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keeper_provider import Provider

from token_keeper import exchange
from token_keeper.errors import ClientRejected, PolicyDenied, ProviderUnavailable, ReauthRequired, TokenKeeperError
from token_keeper.exchange import TokenReply, request_token, revoke_token


def form_of(provider: Provider) -> dict[str, str]:
    document = provider.grant()
    return {
        "grant_type": "refresh_token",
        "refresh_token": document.refresh_token,
        "client_id": document.client_id,
        "client_secret": document.client_secret,
    }


def test_a_reply_is_taken_with_all_it_says(provider: Provider) -> None:
    provider.extra = {"scope": "a b", "refresh_token": "new", "id_token": "i", "refresh_token_expires_in": 604800}
    seen: list[TokenReply] = []
    reply = request_token(provider.token_uri, form_of(provider), on_reply=seen.append)
    assert reply.access_token in provider.access_tokens
    assert (reply.refresh_token, reply.scope, reply.id_token) == ("new", ("a", "b"), "i")
    assert (reply.expires_in, reply.refresh_token_expires_in) == (3600, 604800)
    assert abs(reply.received_at - time.time()) < 5
    assert reply.date is not None
    assert abs(reply.date - time.time()) < 5
    assert seen == [reply]
    assert reply.access_token not in repr(reply)
    assert len(provider.forms) == 1


def test_an_exchange_leaves_no_connection_open(provider: Provider) -> None:
    """Not even until garbage is collected, which in a process that does little is never."""
    gc.collect()
    gc.disable()
    try:
        before = sockets()
        request_token(provider.token_uri, form_of(provider))
        revoke_token(provider.revocation_uri, provider.grant().refresh_token, client_id="c", client_secret="s")
        with pytest.raises(ProviderUnavailable):
            provider.script.append("fault")
            request_token(provider.token_uri, form_of(provider))
        end = time.monotonic() + 5  # the provider is in this process too, and takes a moment to hang up
        while sockets() - before and time.monotonic() < end:
            time.sleep(0.01)
        assert sockets() - before == set()
    finally:
        gc.enable()


def sockets() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {name for name in found if name.startswith("socket:")}


KINDS: list[tuple[str, type[TokenKeeperError], str, bool | None]] = [
    ("fault", ProviderUnavailable, "Status500", False),
    ("fault_after", ProviderUnavailable, "Status500", False),
    ("html_502", ProviderUnavailable, "Status502", False),
    ("busy", ProviderUnavailable, "Status429", True),
    ("busy_date", ProviderUnavailable, "Status503", True),
    ("busy_junk", ProviderUnavailable, "Status503", True),
    ("drop", ProviderUnavailable, "NoReply", False),
    ("drop_after", ProviderUnavailable, "NoReply", False),
    ("half", ProviderUnavailable, "NoReply", False),
    ("html", ProviderUnavailable, "NoReply", False),
    ("bad_json", ProviderUnavailable, "NoReply", False),
    ("array", ProviderUnavailable, "NoReply", False),
    ("no_token", ProviderUnavailable, "NoReply", False),
    ("endless", ProviderUnavailable, "NoReply", False),
    ("redirect", ProviderUnavailable, "Status307", True),
    ("invalid_grant", ReauthRequired, "InvalidGrant", None),
    ("policy", PolicyDenied, "AdminPolicyEnforced", None),
    ("rapt", PolicyDenied, "InvalidRapt", None),
    ("odd_code", ProviderUnavailable, "Status400", True),
]


@pytest.mark.parametrize(("kind", "error", "reason", "known"), KINDS)
def test_each_misbehaviour_has_its_type_and_is_one_attempt(
    provider: Provider, kind: str, error: type[TokenKeeperError], reason: str, known: bool | None
) -> None:
    provider.script.extend([kind])
    form = form_of(provider)
    with pytest.raises(error) as caught:
        request_token(provider.token_uri, form, deadline=5)
    assert caught.value.reason == reason
    if isinstance(caught.value, ProviderUnavailable):
        assert caught.value.outcome_known is known
    time.sleep(0.05)
    assert len(provider.forms) == 1, "a second attempt could spend a grant"
    assert not any(form[name] in str(caught.value) for name in ("refresh_token", "client_id", "client_secret"))


def test_retry_after_is_told_in_both_spellings(provider: Provider) -> None:
    provider.script.extend(["busy", "busy_date", "busy_junk"])
    told = []
    for _ in range(3):
        with pytest.raises(ProviderUnavailable) as caught:
            request_token(provider.token_uri, form_of(provider))
        told.append(caught.value.retry_after)
    assert told[0] == 120
    assert told[1] is not None
    assert 80 < told[1] <= 91
    assert told[2] is None


def test_a_wrong_client_is_told_apart(provider: Provider) -> None:
    with pytest.raises(ClientRejected) as caught:
        request_token(provider.token_uri, form_of(provider) | {"client_secret": "wrong"})
    assert caught.value.reason == "InvalidClient"


def test_a_provider_that_quotes_the_request_gives_nothing_away(provider: Provider) -> None:
    provider.script.append("echo")
    form = form_of(provider)
    with pytest.raises(ReauthRequired) as caught:
        request_token(provider.token_uri, form)
    assert form["refresh_token"] not in str(caught.value)
    assert form["client_secret"] not in str(caught.value)
    assert "no such token *** for ***" in caught.value.message


@pytest.mark.parametrize("kind", ["stall", "trickle"])
def test_the_deadline_is_for_everything(provider: Provider, kind: str) -> None:
    provider.script.append(kind)
    begun = time.monotonic()
    with pytest.raises(ProviderUnavailable) as caught:
        request_token(provider.token_uri, form_of(provider), deadline=0.3)
    assert time.monotonic() - begun < 10
    assert (caught.value.reason, caught.value.outcome_known) == ("NoReply", False)
    assert len(provider.forms) == 1


def test_a_late_reply_is_handed_over_all_the_same(provider: Provider) -> None:
    provider.script.append("stall_after")
    seen: list[TokenReply] = []
    arrived = threading.Event()

    def keep(reply: TokenReply) -> None:
        seen.append(reply)
        arrived.set()

    with pytest.raises(ProviderUnavailable):
        request_token(provider.token_uri, form_of(provider), deadline=0.3, on_reply=keep)
    assert seen == []
    provider.released.set()
    assert arrived.wait(5)
    assert seen[0].access_token in provider.access_tokens


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/token", "http://no-such-host.invalid/token", "http://a..b/token", "http://.example.test/",
        "http://" + "a" * 70 + ".test/token", "https://[::1]:1/token", "http://127.0.0.1:0/token", "nonsense",
        "http://[::1/token", "http://127.0.0.1:99999/token", "http://\u2100.test/token",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_reached_was_surely_not_asked(address: str) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        request_token(address, {"grant_type": "refresh_token", "refresh_token": "canary"}, deadline=5)
    assert caught.value.outcome_known is True, str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_server_without_tls_was_surely_not_asked(provider: Provider) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        request_token(provider.token_uri.replace("http:", "https:"), form_of(provider), deadline=5)
    assert (caught.value.reason, caught.value.outcome_known) == ("Unreachable", True)
    assert provider.forms == []


def test_a_process_without_room_for_a_thread_has_asked_nobody(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    form = form_of(provider)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ProviderUnavailable) as caught:
            request_token(provider.token_uri, form)
    assert (caught.value.reason, caught.value.outcome_known) == ("NoThread", True)


@pytest.mark.parametrize("signals", [1, 3])
def test_a_signals_exception_waits_for_the_reply(provider: Provider, signals: int) -> None:
    """Ctrl-C, or a worker's soft time limit, raises in the midst of the wait: the reply is kept before it goes on."""
    provider.latency = 0.6
    kept: list[TokenReply] = []
    left = [signals]

    def interrupt(*_: object) -> None:
        left[0] -= 1
        if left[0]:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            request_token(provider.token_uri, form_of(provider), on_reply=kept.append)
        assert (len(kept), left) == (1, [0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("client_id", "kind"), [("client", ClientRejected), ("grant", ReauthRequired), ("d", ReauthRequired)]
)
def test_an_error_is_understood_whatever_the_client_is_called(
    provider: Provider, client_id: str, kind: type[Exception]
) -> None:
    form = {**form_of(provider), "client_id": client_id}
    provider.client = (client_id, "another" if kind is ClientRejected else form["client_secret"])
    provider.live.clear()
    with pytest.raises(kind):
        request_token(provider.token_uri, form)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("temporarily_unavailable", ProviderUnavailable), ("incorrect_client_credentials", ClientRejected),
        ("bad_refresh_token", ReauthRequired), ("invalid_refresh_token", ReauthRequired),
    ],
)  # fmt: skip
def test_an_error_that_comes_with_200_is_an_error(provider: Provider, error: str, kind: type[Exception]) -> None:
    provider.extra = {"access_token": None, "error": error}
    with pytest.raises(kind) as caught:
        request_token(provider.token_uri, form_of(provider))
    assert getattr(caught.value, "outcome_known", True)


def test_a_netrc_is_nobodys_business(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password canary\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    request_token(provider.token_uri, form_of(provider))
    assert not any("authorization" in {name.lower() for name in headers} for headers in provider.headers)


def test_every_success_of_http_is_a_reply(provider: Provider) -> None:
    provider.script.append("created")
    assert request_token(provider.token_uri, form_of(provider)).access_token in provider.access_tokens


@pytest.mark.parametrize(
    "extra",
    [
        {"access_token": ""}, {"access_token": 5}, {"access_token": None}, {"access_token": "a\nb"},
    ],
)  # fmt: skip
def test_a_success_that_cannot_be_used_has_an_unknown_outcome(provider: Provider, extra: dict[str, Any]) -> None:
    provider.extra = extra
    with pytest.raises(ProviderUnavailable) as caught:
        request_token(provider.token_uri, form_of(provider))
    assert (caught.value.reason, caught.value.outcome_known) == ("NoReply", False)


@pytest.mark.parametrize(
    ("token_type", "bearer"), [("bearer", True), (None, True), ("", True), ("DPoP", False), ("mac", False), (5, False)]
)
def test_of_an_access_token_of_another_kind_the_refresh_token_is_kept(
    provider: Provider, token_type: object, bearer: bool
) -> None:
    provider.extra = {"token_type": token_type, "refresh_token": "the only one that still works"}
    reply = request_token(provider.token_uri, form_of(provider))
    assert (reply.is_bearer, reply.refresh_token) == (bearer, "the only one that still works")


@pytest.mark.parametrize("where", ["error", "error_description"])
@pytest.mark.parametrize("quoted", ["{}", "unknown token {:.40}...", "token-{:.20}", "{:.60}"])
def test_of_what_a_provider_quotes_no_part_of_a_secret_is_told(provider: Provider, where: str, quoted: str) -> None:
    form = form_of(provider)
    secret = form["refresh_token"] = f"1//{secrets.token_urlsafe(60)}"
    provider.script.append("said")
    provider.extra = {"error": "invalid_request", where: quoted.format(secret)}
    with pytest.raises(ProviderUnavailable) as caught:
        request_token(provider.token_uri, form)
    said = json.dumps(caught.value.as_dict())
    assert not any(secret[at : at + 8] in said for at in range(len(secret) - 8)), said


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
answers = st.dictionaries(
    st.sampled_from(
        ["access_token", "expires_in", "token_type", "refresh_token", "scope", "error", "error_description",
         "error_subtype", "id_token", "refresh_token_expires_in"]
    ),
    json_values,
)  # fmt: skip


@given(
    st.integers(200, 599),
    answers.map(lambda fields: json.dumps(fields).encode()) | st.binary(max_size=60),
    st.dictionaries(st.sampled_from(["Retry-After", "Date"]), st.text(st.characters(max_codepoint=255), max_size=30)),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_answered_ends_in_a_reply_or_a_typed_error(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    try:
        reply = exchange._judge("https://provider.test/token", {"refresh_token": "r"}, status, headers, body)
    except TokenKeeperError as error:
        assert error.reason.isalnum()
        assert error.message.isprintable()
        return
    assert reply.access_token.isprintable()
    assert reply.refresh_token is None or reply.refresh_token.isprintable()
    assert reply.expires_in is None or 0 <= reply.expires_in <= 315_360_000


@pytest.mark.parametrize(("said", "understood"), [(0, 0), (-5, 0), ("60", 60), ("x", None), (True, None), (1e99, None)])
def test_odd_lifetimes(provider: Provider, said: Any, understood: float | None) -> None:
    provider.extra = {"expires_in": said}
    assert request_token(provider.token_uri, form_of(provider)).expires_in == understood


def test_revocation_is_confirmed_or_told_not_to_be(provider: Provider) -> None:
    client = {"client_id": "client", "client_secret": "secret"}
    revoke_token(provider.revocation_uri, provider.grant().refresh_token, **client)
    provider.script.append("fault")
    with pytest.raises(ProviderUnavailable) as caught:
        revoke_token(provider.token_uri, "canary", **client)
    assert caught.value.reason == "RevocationRefused"
    assert "canary" not in str(caught.value)


def test_a_revocation_that_trickles_does_not_hold_the_lock(provider: Provider) -> None:
    provider.script.append("trickle")
    begun = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        revoke_token(provider.token_uri, "x", client_id="c", client_secret="s", deadline=0.3)
    assert time.monotonic() - begun < 10
