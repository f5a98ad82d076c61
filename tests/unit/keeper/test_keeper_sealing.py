"""A sealed document: nobody reads it without the key, and ``show --sealed`` prints no other secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from keeper_provider import Provider

from token_keeper import TokenStore
from token_keeper.cli import main
from token_keeper.document import TokenDocument
from token_keeper.sealing import SealBroken, key_of_text, key_to_text, new_key, seal, unseal


def test_what_was_sealed_comes_back_by_its_key_alone() -> None:
    key = new_key()
    sealed = seal(b"canary", key)
    assert unseal(sealed, key) == b"canary"
    assert seal(b"canary", key) != sealed
    assert "canary" not in base64.b64decode(sealed).decode("latin-1")
    broken = base64.b64encode(base64.b64decode(sealed)[:-1] + b"?").decode()
    for text, other in ((sealed, new_key()), (broken, key), ("", key), ("not Base64!", key)):
        with pytest.raises(SealBroken) as caught:
            unseal(text, other)
        assert caught.value.reason == "SealBroken"


@pytest.mark.parametrize("text", [b"", b"short", b"canary!" * 10, base64.b64encode(b"x" * 31)])
def test_what_is_no_key_is_refused_and_not_quoted(text: bytes) -> None:
    with pytest.raises(SealBroken) as caught:
        key_of_text(text)
    assert caught.value.reason == "KeyMalformed"
    assert not text or text.decode() not in str(caught.value)


def test_a_key_survives_its_way_over_stdin() -> None:
    key = new_key()
    assert key_of_text(key_to_text(key)) == key


def test_show_tells_the_document_to_whoever_has_the_key(store: TokenStore, provider: Provider, path: Path) -> None:
    store.replace(provider.grant())
    document, key = store.read(), new_key()
    shown = CliRunner().invoke(main, ["--path", str(path), "show", "--sealed", "--json"], input=key_to_text(key))
    told = json.loads(shown.output)
    assert TokenDocument.parse(unseal(told["sealed"], key), "it") == document
    for secret in (document.token, document.refresh_token, document.client_secret):
        assert str(secret) not in shown.output
    assert "sealed" not in CliRunner().invoke(main, ["--path", str(path), "show", "--json"]).output


def test_without_a_key_nothing_is_sealed(store: TokenStore, provider: Provider, path: Path) -> None:
    store.replace(provider.grant())
    shown = CliRunner().invoke(main, ["--path", str(path), "show", "--sealed", "--json"], input="")
    assert (shown.exit_code, json.loads(shown.output)["error"]["reason"]) == (2, "KeyMalformed")
