"""Mode paste: what a person may paste, what they are told when it is the wrong thing, and the forwarded port."""

from __future__ import annotations

import socket
import textwrap
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import ends_at

from sandbox_provider import person
from sandbox_provider.testing import Sandbox
from token_keeper.consent import Arrival, ClientSecrets, Consent, Inquiry, by_paste
from token_keeper.consent.pasted import query_of
from token_keeper.errors import ConsentError, TokenKeeperError

CALENDAR = "https://www.googleapis.com/auth/calendar"


class Person:
    """Somebody at a terminal who opens the address elsewhere and pastes what comes of it."""

    def __init__(self, *pastes: Callable[[str], str]) -> None:
        self.pastes = list(pastes)
        self.shown: list[str] = []
        self.prompts: list[str] = []

    @property
    def url(self) -> str:
        return next(line for line in self.shown[0].splitlines() if line.startswith("http"))

    def announce(self, text: str) -> None:
        self.shown.append(text)

    def ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self.pastes.pop(0)(self.url)


def consent(secrets: ClientSecrets, who: Person, **options: Any) -> Consent:
    inquiry = Inquiry.prepare(secrets, [CALENDAR], **options.pop("inquiry", {}))
    return by_paste(inquiry, announce=who.announce, ask=who.ask, **options)


def refused(secrets: ClientSecrets, who: Person, **options: Any) -> TokenKeeperError:
    with pytest.raises(TokenKeeperError) as caught:
        consent(secrets, who, **options)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    "form",
    [
        lambda address: address,
        lambda address: f"  {address}\r\n",
        lambda address: f'"{address}"',
        lambda address: f"<{address}>",
        lambda address: urlsplit(address).query,
        lambda address: f"?{urlsplit(address).query}",
        lambda address: address.removeprefix("http://"),
        lambda address: "\n  ".join(textwrap.wrap(address, 60)),
        lambda address: address.replace("?", "\\?").replace("&", "\\&").replace("=", "\\="),
        lambda address: f"{address}#",
        lambda address: f"\x1b[200~{address}\x1b[201~",
    ],
)
def test_every_form_in_which_people_copy_it(
    sandbox: Sandbox, secrets: ClientSecrets, form: Callable[[str], str]
) -> None:
    found = consent(secrets, Person(lambda url: form(ends_at(url))))

    assert found.document.token is not None
    assert sandbox.accepts(found.document.token)


def test_instructions(secrets: ClientSecrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50022 192.0.2.1 22")
    who = Person(ends_at)
    consent(secrets, who)

    port = urlsplit(parse_qs(urlsplit(who.url).query)["redirect_uri"][0]).port
    assert f"    ssh -N -L {port}:127.0.0.1:{port} ada@192.0.2.1\n" in who.shown[0]
    assert "copy the whole address from its address bar" in who.shown[0]
    assert len(who.shown) == 1


def test_a_wrong_address_is_asked_for_again(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    before = sandbox.counters()["exchanges"]["authorization_code"]
    who = Person(lambda url: url, lambda url: ends_at(url).replace("state=", "state=x"), ends_at)

    assert consent(secrets, who)
    assert who.shown[1].startswith("That is the address to open")
    assert who.shown[2].startswith("State mismatch: the answer does not belong to this consent.")
    assert all(text.count(". ") == 1 for text in who.shown[1:]), "one sentence, and what to do"
    assert sandbox.counters()["exchanges"]["authorization_code"] == before + 1


@pytest.mark.parametrize(
    ("paste", "said"),
    [
        (lambda _url: "", "nothing was pasted"),
        (lambda _url: "4/0AbCdEf", "has no code in it"),
        (lambda _url: "https://example.org/?a=b", "has no code in it"),
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:9", 1) + "&x", "has no code in it"),
        (
            lambda url: url.partition("?")[0] + "/signin/oauth/error?authError=x",
            "redirect_uri_mismatch, the client has",
        ),
    ],
)
def test_three_tries(secrets: ClientSecrets, paste: Callable[[str], str], said: str) -> None:
    who = Person(paste, paste, paste)
    error = refused(secrets, who)

    assert error.reason == "AnswerMalformed"
    assert said in error.message
    assert "paste the whole address" in error.remedy
    assert len(who.prompts) == 3
    assert len(who.shown) == 3


def test_a_foreign_answer_three_times(secrets: ClientSecrets) -> None:
    def foreign(_url: str) -> str:
        return "http://127.0.0.1:8085/?code=canary&state=other"

    who = Person(foreign, foreign, foreign)
    error = refused(secrets, who)

    assert error.reason == "StateMismatch"
    assert "canary" not in "".join([*who.shown, *who.prompts, str(error)])


def test_a_no_is_final(secrets: ClientSecrets) -> None:
    who = Person(lambda url: ends_at(url, person.Wishes(deny=True)))

    assert refused(secrets, who).reason == "ConsentRefused"
    assert len(who.prompts) == 1


def test_the_same_judgement_as_in_a_browser(secrets: ClientSecrets) -> None:
    who = Person(lambda url: ends_at(url, person.Wishes(account="bob@sandbox.invalid")))
    profile = {
        "authorization_parameters": {"access_type": "offline", "prompt": "consent"},
        "account": {"sources": ["id_token"], "scopes": ["openid", "email"]},
    }
    inquiry = {"account": "ada@sandbox.invalid", "provider": profile}
    assert refused(secrets, who, inquiry=inquiry).reason == "AccountMismatch"

    who = Person(lambda url: ends_at(url).replace("iss=", "iss=x"))
    assert refused(secrets, who, inquiry={"issuer": "http://127.0.0.1:1"}).reason == "IssuerMismatch"


def test_the_deadline(secrets: ClientSecrets) -> None:
    def too_late(_url: str) -> str:
        raise TimeoutError

    error = refused(secrets, Person(too_late))
    assert error.reason == "ConsentTimedOut"
    assert "type Desktop app" in error.remedy

    who = Person(lambda _url: "wrong", ends_at)
    assert refused(secrets, who, timeout=0.0).reason == "ConsentTimedOut"
    assert len(who.prompts) == 1


def test_through_a_forwarded_port_it_comes_by_itself(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    statuses: list[int] = []
    arrival = Arrival()

    def press_enter(url: str) -> str:
        statuses.append(person.visit(url))
        assert arrival.is_there()
        return ""

    found = consent(secrets, Person(press_enter), arrival=arrival)
    assert found.document.token is not None
    assert sandbox.accepts(found.document.token)
    assert statuses == [200]


def test_a_port_that_is_taken_is_only_a_name(secrets: ClientSecrets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        who = Person(ends_at)
        assert consent(secrets, who, redirect_port=port)

    assert f"127.0.0.1%3A{port}%2F" in who.url
    assert "ssh" not in who.shown[0], "nobody listens here"


def test_nothing_is_left_running(secrets: ClientSecrets) -> None:
    before = threading.active_count()
    consent(secrets, Person(ends_at))
    assert threading.active_count() <= before + 1


def test_web_client(sandbox: Sandbox, secrets: ClientSecrets) -> None:
    redirect = "http://localhost:8099/oauth/callback"
    sandbox.register_client("web.example", "web-secret", redirect_uris=[redirect])
    web = ClientSecrets.parse(sandbox.call("GET", "/console/client_secret.json?client_id=web.example"), "web client")

    assert consent(web, Person(ends_at))
    with pytest.raises(ConsentError, match="no registered redirect"):
        consent(web, Person(ends_at), redirect_port=8100)


@pytest.mark.parametrize(("text", "query"), [("a?b=c?d", "b=c?d"), ("b=c#d", "b=c"), ("'?b=c'", "b=c"), ("?", "")])
def test_query_of(text: str, query: str) -> None:
    assert query_of(text) == query
