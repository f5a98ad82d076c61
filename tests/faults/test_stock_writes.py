"""The sample app writes the file itself, with stock google-auth and one name for all temporary files."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from foreign_apps import APP
from google.auth.exceptions import RefreshError
from keeper_parts import events_of, expired, make_old, on_disk, push, renewed, state_of
from keeper_provider import Provider, running_provider

from token_keeper import TokenDocument, TokenStore, fingerprint
from token_keeper.errors import ReauthRequired


@pytest.fixture
def app(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The sample app, which uses the file of the test."""
    specification = importlib.util.spec_from_file_location("stock_app", APP)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "TOKEN", str(path))
    return module


def test_what_it_writes_is_a_new_generation(app: ModuleType, path: Path, rotating: Provider) -> None:
    """The provider rotates: the refresh token in the file is the only one that lives."""
    store = TokenStore(path)
    first = expired(rotating.grant())
    push(store, first, rotation="yes")
    grant = state_of(path).grant
    token = app.credentials().token
    assert rotating.exchanges == 1
    assert store.access_token() == token
    state = state_of(path)
    assert (state.generation, state.grant) == (2, grant), "a new generation of the same grant"
    assert fingerprint(first.refresh_token) in state.superseded
    assert events_of(path)[-1] == "Adopted"
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.refresh(force=True).generation == 3
    assert on_disk(path).refresh_token in rotating.live
    assert app.credentials().token == on_disk(path).token, "the app goes on with what the store has renewed"
    assert rotating.exchanges == 2


def test_two_that_spend_one_refresh_token_end_the_grant(app: ModuleType, path: Path, rotating: Provider) -> None:
    """What nobody can mend: the provider has ended the grant. It is said, and the provider is not asked in a loop."""
    store = TokenStore(path)
    push(store, expired(rotating.grant()), rotation="yes")
    before = path.read_text()
    app.credentials()
    written = path.read_text()
    path.write_text(before)  # what the other process has read
    with pytest.raises(RefreshError):
        app.credentials()
    path.write_text(expired(TokenDocument.parse(written)).to_json())
    for _ in range(3):
        with pytest.raises(ReauthRequired):
            TokenStore(path).access_token()
    assert len(rotating.forms) == 3, "one of each process, and one of the store"


# -- two processes, one temporary file

Step = Callable[[], None]


class Writer:
    """Does what the sample app does when it writes, step by step; the text is flushed when the file is closed."""

    def __init__(self, path: Path, text: str, *, killed: bool = False) -> None:
        self.path, self.temporary, self.text = path, path.with_name(f"{path.name}.tmp"), text
        self.descriptor = -1
        self.steps: list[Step] = [self.open] if killed else [self.open, self.write, self.rename]

    def open(self) -> None:
        self.descriptor = os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def write(self) -> None:
        os.write(self.descriptor, self.text.encode())
        os.close(self.descriptor)

    def rename(self) -> None:
        try:
            os.replace(self.temporary, self.path)
        except FileNotFoundError:
            """The other one has renamed it: the app fails here."""


def orders(one: Writer, other: Writer) -> Iterator[list[Step]]:
    """Return every order in which the steps of two writers may come."""
    total = len(one.steps) + len(other.steps)
    for places in itertools.combinations(range(total), len(one.steps)):
        steps = {True: iter(one.steps), False: iter(other.steps)}
        yield [next(steps[place in places]) for place in range(total)]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("longer", ["one", "other", "none"])
def test_the_newest_refresh_token_survives_a_race_for_the_temporary_file(
    fresh_path: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, longer: str, killed: bool
) -> None:
    """Both have got a token, in the provider's grace. Whatever the order of their steps, and if one is killed before it
    writes: the store goes on with a refresh token that came into the file, or where none did with the history's."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    with running_provider(rotation=True, grace=60) as provider:
        tried = torn = 0
        while True:
            path = fresh_path()
            store = TokenStore(path)
            first = expired(provider.grant())
            push(store, first, rotation="yes")
            documents = []
            for name in ("one", "other"):
                _, answer = provider.renew(_form(first))
                token = answer["access_token"] + ("x" * 80 if name == longer else "")
                provider.access_tokens.add(token)
                documents.append(renewed(first, token, refresh_token=answer["refresh_token"]))
            one = Writer(path, documents[0].to_json())
            other = Writer(path, documents[1].to_json(), killed=killed)
            order = next(itertools.islice(orders(one, other), tried, None), None)
            if order is None:
                break
            tried += 1
            for step in order:
                step()
            make_old(path)  # nobody writes any more
            text = path.read_text()
            told = f"{[step.__name__ for step in order]}: {text}"
            came = {d.refresh_token for d in documents if d.refresh_token in text}
            torn += not text.endswith("}") or text.count("}") > 1
            exchanged = provider.exchanges
            assert store.access_token() in provider.access_tokens, told
            if came:
                assert on_disk(path).refresh_token in came, told
                assert provider.exchanges == exchanged, told
            assert on_disk(path).refresh_token in provider.live, told
            assert TokenStore(path).refresh(force=True).exchanged, told
        assert tried == (4 if killed else 20)
        assert torn > 0 or longer == "none"


def _form(document: TokenDocument) -> dict[str, str]:
    fields = dataclasses.asdict(document)
    return {name: fields[name] for name in ("client_id", "client_secret", "refresh_token")}


@pytest.mark.parametrize("rotation", ["yes", "unknown"])
def test_half_a_document_gives_its_refresh_token(path: Path, rotating: Provider, rotation: str) -> None:
    """The one in the history is spent: sent again it would end the grant."""
    store = TokenStore(path)
    first = expired(rotating.grant())
    push(store, first, rotation=rotation)
    _, answer = rotating.renew(_form(first))
    text = renewed(first, answer["access_token"], refresh_token=answer["refresh_token"]).to_json()
    end = text.index('", "token_uri"') + 1
    path.write_text(text[:end])
    make_old(path)
    assert TokenStore(path).access_token() in rotating.access_tokens
    assert on_disk(path).refresh_token in rotating.live
    assert [event for event in events_of(path) if event != "Pushed"] == ["Salvaged", "Refreshed"]
    assert rotating.exchanges == 2


@pytest.mark.parametrize(
    "torn",
    [
        lambda text, first: text[: text.index('", "token_uri"')],
        lambda text, first: "x" + text[:-1],
        lambda text, first: text[:-1].replace(first.client_id, "another-client"),
        lambda text, first: text[:-1].replace(first.token_uri, "https://other.example/token"),
        lambda text, first: first.to_json()[:-1],
        lambda text, first: '{"refresh_token": "\\u0007"',
        lambda text, first: '{"refresh_token": "theirs\ufffdtoo", "token',
        lambda text, first: '{"refresh_token": 7, "token',
        lambda text, first: json.dumps({"refresh_token": "alone"}) + "}",
    ],
    ids=["cut inside it", "no beginning", "another client", "another provider", "the same", "unprintable", "not UTF-8",
         "no text", "too little"],
)  # fmt: skip
def test_what_cannot_be_told_without_guessing_is_put_back_from_the_history(
    path: Path, rotating: Provider, torn: Callable[[str, TokenDocument], str]
) -> None:
    store = TokenStore(path)
    first = rotating.grant()
    push(store, first, rotation="yes")
    text = renewed(first, "theirs", refresh_token="theirs-too").to_json()
    path.write_text(torn(text, first))
    make_old(path)
    store.access_token()
    assert on_disk(path) == first
    assert events_of(path)[-1] == "Mended"


def test_a_superseded_refresh_token_is_not_salvaged(path: Path, rotating: Provider) -> None:
    store = TokenStore(path)
    first, second = rotating.grant(), rotating.grant()
    push(store, first, rotation="yes")
    push(store, second, force=True)
    path.write_text(first.to_json()[:-1])
    make_old(path)
    store.access_token()
    assert on_disk(path) == second


def test_where_refresh_tokens_stay_the_history_is_as_good(path: Path, provider: Provider) -> None:
    store = TokenStore(path)
    first = provider.grant()
    push(store, first, rotation="no")
    path.write_text(renewed(first, "theirs", refresh_token="another").to_json()[:-1])
    make_old(path)
    store.access_token()
    assert on_disk(path) == first
