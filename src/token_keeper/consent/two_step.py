"""Consent in two runs, for whoever has no terminal: the first returns the address, the second takes the answer.

Between them the verifier waits in the volume, in a side file of the document, where nobody but the app's user can
read it. It holds no client secret and is good for minutes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from token_keeper.clock import Instant, Span
from token_keeper.consent.address import require_sound
from token_keeper.consent.answer import read_answer
from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.conclusion import Consent, conclude
from token_keeper.consent.endpoint import Endpoints
from token_keeper.consent.inquiry import Inquiry
from token_keeper.consent.pasted import taken
from token_keeper.consent.redirect import Redirect
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.errors import ConsentError, ProviderUnavailable, TokenCorrupt, TokenKeeperError
from token_keeper.fingerprint import fingerprint
from token_keeper.lock import DirectoryLock
from token_keeper.volume import Volume

VALID: Final = 600.0
"""Seconds for which the second step may follow the first."""

_BEGIN: Final = "begin again, open the new address, and give its answer"


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """The first step.

    Attributes:
        url: what the person opens; it may be shown.
        redirect_uri: what the address begins with at which the browser ends.
        expires_in: seconds for which the second step may follow.
        expires_at: the Unix time of that.
        generation: the volume's generation that was seen, 0 where there is no document.
        again: whether it was begun earlier, and waits for the same answer.
    """

    url: str
    redirect_uri: str
    expires_in: float
    expires_at: float
    generation: int
    again: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for the answer.

    Attributes:
        request: the question, with its verifier.
        account: the account that has to consent, ``None`` for any.
        generation: the generation that was seen in the first step.
        grant: name of the grant that was seen there, ``None`` where none was.
    """

    request: AuthorizationRequest
    account: str | None
    generation: int
    grant: str | None


def begin(
    inquiry: Inquiry,
    path: str | os.PathLike[str],
    *,
    generation: int,
    grant: str | None = None,
    redirect_port: int = 0,
    valid: float = VALID,
    keep: float | None = None,
    lock_timeout: float = 30.0,
) -> Begun:
    """Prepare a question and keep its verifier beside the document, in place of one that waited there.

    Args:
        inquiry: what is asked for.
        path: the document, which need not exist; its directory has to.
        generation: the volume's generation that the consent is to replace.
        grant: name of the grant that it is to replace, as ``status`` has it.
        redirect_port: port of the redirect on 127.0.0.1, where nobody listens; 0 takes any.
        valid: seconds for which the second step may follow.
        keep: where the same question waits already, for the same client, and may do so for at least this many seconds,
            it is returned instead; ``None`` always begins anew.
        lock_timeout: seconds to wait for other writers.

    Raises:
        ConsentError: ``RedirectUriMismatch``.
        StorageError, LockTimeout: nothing was changed.
    """
    volume = Volume(Path(path).absolute())
    request = inquiry.request(Redirect.choose(inquiry.client, redirect_port).unheard())
    span = Span(Instant.now(), valid)
    fields = {
        "format": 1,
        "span": dataclasses.asdict(span),
        "client_fingerprint": _fingerprint(inquiry.client),
        "endpoints": dataclasses.asdict(inquiry.endpoints),
        "scopes": request.scopes,
        "required": request.required,
        "account": inquiry.account,
        "redirect_uri": request.redirect_uri,
        "url": request.url,
        "state": request.state,
        "verifier": request.verifier,
        "generation": generation,
        "grant": grant,
    }
    name = volume.consent_name
    with DirectoryLock(volume.directory).hold(lock_timeout) as directory:
        if directory is not None:
            there = None if keep is None else _same(volume, fields, keep, any_port=not redirect_port)
            if there is not None:
                return there
            volume.sweep(directory)  # no exchange may ever come to do it: nobody has consented yet
            volume.replace(directory, name, json.dumps(fields).encode())
    return Begun(request.url, request.redirect_uri, valid, span.begin.wall + valid, generation)


def waiting(client: ClientSecrets, path: str | os.PathLike[str]) -> Waiting:
    """Return the question that waits for its answer.

    Args:
        client: the OAuth client, which has to be the one of the first step.
        path: the document.

    Raises:
        ConsentError: ``ConsentNotBegun``, ``ConsentExpired``, ``ConsentUnreadable``, or ``ClientChanged``.
        StorageError: the volume can't be read.
    """
    volume = Volume(Path(path).absolute())
    where = volume.directory / volume.consent_name
    try:
        found = volume.read(volume.consent_name)
    except TokenCorrupt as error:
        raise _unreadable(error.message) from None
    if found is None:
        raise ConsentError(
            f"no consent waits for its answer beside {volume.path}: none was begun, or it was answered already",
            reason="ConsentNotBegun",
            remedy=_BEGIN,
        )
    fields, span = _read(found[0], where)
    if span.left() <= 0:
        raise ConsentError(
            f"the consent that was begun beside {volume.path} has waited for more than {span.seconds / 60:g} minutes",
            reason="ConsentExpired",
            remedy=_BEGIN,
        )
    if fields["client_fingerprint"] != _fingerprint(client):
        raise ConsentError(
            "the consent was begun with another client, or with another secret of this one",
            reason="ClientChanged",
            remedy="give the client secrets with which it was begun, or begin again",
        )
    return Waiting(_request(fields, client, where), fields["account"], fields["generation"], fields["grant"])


def complete(
    answer: str,
    client: ClientSecrets,
    path: str | os.PathLike[str],
    *,
    exchange_deadline: float = 8.0,
    lock_timeout: float = 30.0,
) -> Consent:
    """Take the answer to the question that waits beside the document, and return what comes of it, stored nowhere.

    The question is forgotten as soon as the provider has answered the exchange, well or not: a code works once. Where
    the provider could not be asked, or said no to the person, it waits on.

    Args:
        answer: the address that the browser ended at, or its query.
        client: the OAuth client of the first step.
        path: the document.
        exchange_deadline: seconds for the exchange of the code in all.
        lock_timeout: seconds to wait for other writers, to forget the question.

    Raises:
        As :func:`waiting` and :func:`token_keeper.consent.obtain`; the document in the volume is untouched.
    """
    there = waiting(client, path)
    query = taken(answer, there.request)
    read_answer(query, there.request)  # what it refuses has shown the code to nobody
    Volume(Path(path).absolute()).probe()  # a consent that can't be kept had better not be spent
    try:
        consent = conclude(there.request, query, account=there.account, deadline=exchange_deadline)
    except ProviderUnavailable:
        raise
    except TokenKeeperError:
        _forget(there.request, path, lock_timeout)
        raise
    _forget(there.request, path, lock_timeout)
    return consent


def _forget(request: AuthorizationRequest, path: str | os.PathLike[str], lock_timeout: float) -> None:
    """Remove the question, unless another one has taken its place.

    Where that fails, it is of no use to anybody all the same, and what came of the consent is what matters.
    """
    volume = Volume(Path(path).absolute())
    name = volume.consent_name
    with contextlib.suppress(TokenKeeperError), DirectoryLock(volume.directory).hold(lock_timeout) as directory:
        found = volume.read(name)
        if directory is not None and found is not None and request.state.encode() in found[0]:
            volume.remove(directory, name)


def _same(volume: Volume, asked: Mapping[str, Any], keep: float, *, any_port: bool) -> Begun | None:
    """Return the question that waits, if it is the one that is asked and may wait for ``keep`` seconds more."""
    try:
        found = volume.read(volume.consent_name)
        if found is None:
            return None
        there, span = _read(found[0], volume.path)
    except (TokenCorrupt, ConsentError):
        return None  # what can't be read is replaced
    if span.left() < keep or _lasting(there, any_port=any_port) != _lasting(asked, any_port=any_port):
        return None
    until = span.begin.wall + span.seconds
    return Begun(there["url"], there["redirect_uri"], span.left(), until, there["generation"], again=True)


def _lasting(fields: Mapping[str, Any], *, any_port: bool) -> str:
    """Return what is asked, without what each question has for itself."""
    drawn = {"state", "code_challenge", "redirect_uri"}
    address = urllib.parse.urlsplit(fields["url"])
    parameters = [each for each in urllib.parse.parse_qsl(address.query) if each[0] not in drawn]
    rest = {name: fields.get(name) for name in ("client_fingerprint", "endpoints", "required", "account", "grant")}
    redirect = fields["redirect_uri"]
    port_or_all = urllib.parse.urlsplit(redirect).path if any_port else redirect
    return json.dumps([rest, address.netloc, address.path, parameters, port_or_all], sort_keys=True)


def _fingerprint(client: ClientSecrets) -> str:
    return fingerprint(json.dumps([client.client_id, client.client_secret]))


def _read(data: bytes, where: Path) -> tuple[Mapping[str, Any], Span]:
    try:
        fields = json.loads(data)
        span = Span.parse(fields["span"])
        texts = (fields[name] for name in ("client_fingerprint", "redirect_uri", "url", "state", "verifier"))
        sound = fields["format"] == 1 and span.is_sane() and all(isinstance(t, str) and t for t in texts)
        sound = sound and isinstance(fields["generation"], int)
        sound = sound and all(isinstance(fields[name], (str, type(None))) for name in ("account", "grant"))
    except (ValueError, RecursionError, KeyError, TypeError):
        sound = False
    if not sound:
        raise _unreadable(f"{where} does not hold a consent that was begun")
    return fields, span


def _request(fields: Mapping[str, Any], client: ClientSecrets, where: Path) -> AuthorizationRequest:
    try:
        known = {field.name for field in dataclasses.fields(Endpoints)}
        stored: dict[str, Any] = {name: value for name, value in fields["endpoints"].items() if name in known}
        stored = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
        endpoints = Endpoints(**stored)
        for name in ("auth_uri", "token_uri", "document_token_uri"):
            # whether http was allowed was judged in the first step
            require_sound(name, getattr(endpoints, name), allow_http=True)
        scopes, required = tuple(fields["scopes"]), tuple(fields["required"])
    except (KeyError, TypeError, AttributeError, ConsentError):
        raise _unreadable(f"{where} does not hold a consent that was begun") from None
    return AuthorizationRequest(
        client, endpoints, scopes, required, fields["redirect_uri"], fields["url"], fields["state"], fields["verifier"]
    )


def _unreadable(message: str) -> ConsentError:
    return ConsentError(message, reason="ConsentUnreadable", remedy=_BEGIN)
