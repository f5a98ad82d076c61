"""What must hold after any fault, as every test of this folder has it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from keeper_parts import edit_state, pendings, state_of, state_path
from keeper_provider import Provider
from traced import wait_until

from token_keeper import TokenDocument, TokenStore
from token_keeper.errors import ReauthRequired, TokenCorrupt, TokenKeeperError
from token_keeper.exchange import TokenReply


def start_afresh(provider: Provider) -> None:
    """Forget what the case before has left in the provider."""
    provider.live.clear()
    provider.spent.clear()
    provider.forms.clear()
    provider.script.clear()
    provider.exchanges = 0


def come_to_rest(provider: Provider) -> None:
    """Wait until the provider has dealt with whatever a process that is dead now had sent."""
    with contextlib.suppress(urllib.error.HTTPError):  # accepted after all that was there before
        urllib.request.urlopen(f"{provider.url}/calendar", timeout=5).close()
    assert wait_until(lambda: not any("process_request_thread" in thread.name for thread in threading.enumerate()))


def the_lock_is_free(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def one_or_the_other(path: Path, *whole: TokenDocument) -> TokenDocument:
    """A reader that has just come sees one of these documents, whole."""
    found = TokenStore(path).read()
    assert found.fingerprint in {document.fingerprint for document in whole}, "it is neither the old nor the new one"
    return found


def old_or_live(path: Path, old: TokenDocument, provider: Provider) -> TokenDocument:
    """A reader that has just come sees the old document, or one that the provider has made of it."""
    found = TokenStore(path).read()
    successor = dataclasses.replace(old, token=found.token, refresh_token=found.refresh_token, expiry=found.expiry)
    assert found.fingerprint in {old.fingerprint, successor.fingerprint}, "it is torn"
    assert found.token in provider.access_tokens
    return found


def no_litter(path: Path, *, replies_may_be_drafted: bool = False) -> None:
    """No temporary file is left, and no reply that nobody needs any more.

    Args:
        path: the document.
        replies_may_be_drafted: whether the temporary file of a reply may be left, where the disk took it and would not
            remove it. It stays for an hour, since its writer may go on without the lock.
    """
    left = [file.name for file in path.parent.rglob("*.tmp-*")]
    assert [name for name in left if not (replies_may_be_drafted and ".pending." in name)] == []
    for pending in pendings(path):
        with pytest.raises(TokenCorrupt):  # reserved, and perhaps half filled
            TokenDocument.parse(pending.read_bytes())


def generation_of(path: Path) -> int:
    return state_of(path).generation if state_path(path).exists() else 0


def forget_back_off(path: Path) -> None:
    """As if enough time had passed."""
    with contextlib.suppress(AssertionError, FileNotFoundError, ValueError):
        edit_state(path, cooldown=None)


def is_outcome_unknown(path: Path, store: TokenStore) -> bool:
    """Tell whether the store says that nobody knows what came of the last exchange; it does not ask the provider."""
    try:
        store.refresh()
    except TokenKeeperError as error:
        assert error.reason == "ExchangeOutcomeUnknown", error
        condition = state_of(path).conditions["ReauthRequired"]
        return (condition.status, condition.reason) == ("True", "ExchangeOutcomeUnknown")
    return False


def answer_directly(provider: Provider, told: Callable[[], None] = lambda: None) -> Callable[..., TokenReply]:
    """Return what may stand in for ``request_token``: the same provider, without sockets and threads.

    Args:
        provider: what answers.
        told: called when the answer is given, and before it is kept.
    """

    def request_token(
        token_uri: str, form: Mapping[str, str], *, deadline: float, on_reply: Callable[[TokenReply], None]
    ) -> TokenReply:
        provider.forms.append(dict(form))
        status, fields = provider.renew(dict(form))
        told()
        if status != 200:
            raise ReauthRequired(f"{token_uri} answered {status}", reason="InvalidGrant")
        reply = TokenReply(
            fields["access_token"], fields.get("refresh_token"), fields["expires_in"], None, None, None, time.time()
        )
        on_reply(reply)
        return reply

    return request_token
