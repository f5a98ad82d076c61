"""The group ``consent``: a consent in two runs, with its secrets on stdin and none of them in any output."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import click

from token_keeper.cli.seconds import Seconds
from token_keeper.cli.verb import stdin, verb
from token_keeper.errors import Conflict, ConsentError, StorageError
from token_keeper.state import Publishing, Rotation
from token_keeper.store import TokenStore

if TYPE_CHECKING:
    from token_keeper.consent import ClientSecrets
    from token_keeper.document import TokenDocument
    from token_keeper.report import ReplaceOutcome
    from token_keeper.rotation import RotationOutcome
    from token_keeper.status import Status

_ASKED: Final = frozenset(
    {"client_secrets", "scopes", "provider", "issuer", "auth_uri", "token_uri", "document_token_uri", "allow_http"}
    | {"account", "ask_for_account", "login_hint", "extra_params", "redirect_port"}
)
_ANSWERED: Final = frozenset({"client_secrets", "answer"})


@click.group()
def consent() -> None:
    """Consent in two runs: `begin` gives the address to open, `complete` takes the answer."""


@consent.command()
@click.option(
    "--valid", type=Seconds(1), default=600.0, show_default=True, help="Seconds for which the answer may follow."
)
@click.option(
    "--keep", type=Seconds(0), help="Show the same question again where it waits and has this many seconds left."
)
@verb
def begin(store: TokenStore, *, valid: float, keep: float | None) -> dict[str, Any]:
    """Take the question on stdin, keep its verifier in the volume, and print the address to open.

    The question is a JSON object: client_secrets and scopes, and as far as needed provider, issuer, auth_uri,
    token_uri, document_token_uri, allow_http, account, ask_for_account, login_hint, extra_params, redirect_port.
    """
    from token_keeper import consent as consents  # noqa: PLC0415 - the other verbs start faster without it

    fields = _input(_ASKED)
    client = _client(fields)
    inquiry = consents.Inquiry.prepare(
        client,
        _scopes(fields),
        provider=_provider(fields),
        allow_http=_truth(fields, "allow_http", default=False),
        ask_for_account=_truth(fields, "ask_for_account", default=True),
        extra_params=_mapping(fields, "extra_params"),
        issuer=_text(fields, "issuer"),
        auth_uri=_text(fields, "auth_uri"),
        token_uri=_text(fields, "token_uri"),
        document_token_uri=_text(fields, "document_token_uri"),
        account=_text(fields, "account"),
        login_hint=_text(fields, "login_hint"),
    )
    seen = store.status()
    begun = consents.begin(
        inquiry,
        store.path,
        generation=_generation(seen),
        grant=seen.grant,
        redirect_port=_port(fields),
        valid=valid,
        keep=keep,
    )
    return {
        "changed": not begun.again,
        "url": begun.url,
        "redirect_uri": begun.redirect_uri,
        "expires_in": int(begun.expires_in),
        "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun.expires_at)),
        "generation": begun.generation,
        "scopes": [*inquiry.scopes, *(scope for scope in inquiry.also if scope not in inquiry.scopes)],
    }


@consent.command()
@click.option("--expect", type=int, help="Replace exactly this generation; by default what `begin` has seen.")
@click.option(
    "--rotation", type=click.Choice(["yes", "no", "unknown"]), help="Does the provider rotate refresh tokens?"
)
@click.option("--reuse-grace", type=Seconds(0), help="Seconds for which it accepts a spent one again.")
@click.option(
    "--publishing",
    type=click.Choice(["testing", "production", "unknown"]),
    help="Is the app's consent screen published?",
)
@click.option("--stage", is_flag=True, help="Keep the document beside the current one, as `stage` does.")
@verb
def complete(
    store: TokenStore,
    *,
    expect: int | None,
    rotation: str | None,
    reuse_grace: float | None,
    publishing: str | None,
    stage: bool,
) -> dict[str, Any]:
    """Take the answer on stdin, redeem its code, and put the document into the volume.

    The answer is a JSON object: client_secrets, and in answer the address that the browser ended at.
    """
    from token_keeper import consent as consents  # noqa: PLC0415 - the other verbs start faster without it
    from token_keeper.consent.two_step import waiting  # noqa: PLC0415

    fields = _input(_ANSWERED)
    client, answer = _client(fields), _text(fields, "answer")
    if answer is None:
        raise _malformed("has no answer")
    seen = store.status()
    there = waiting(client, store.path)
    expected = there.generation if expect is None else expect
    # a document that was only renewed meanwhile is the one that was seen, unless somebody insists on a number
    if _generation(seen) != expected and not (expect is None and _is_same_grant(there.grant, seen)):
        # told before the code is spent, so that the answer is as good as before
        raise Conflict(
            f"{store.path} is at generation {_generation(seen)}, not {expected}: another writer was faster",
            reason="GenerationChanged",
            remedy="look with `token-keeper status`, then complete again with --expect; the answer was not used",
        )
    if not seen.volume["writable"]:
        raise StorageError(
            f"the directory of {store.path} is not writable for this user; the answer was not used",
            reason="NotWritable",
            remedy="mount the volume read-write and run as its owner, then complete again",
        )
    found = consents.complete(answer, client, store.path)
    outcome: ReplaceOutcome | RotationOutcome
    if stage:
        # in the place of one that waited: a person has just consented, and that can't be had again
        outcome = store.rotation.stage(found.document, "reconsent", force=True)
    else:
        outcome = _push(
            store,
            found.document,
            seen,
            rotation=cast("Rotation | None", rotation),
            reuse_grace=reuse_grace,
            publishing=cast("Publishing | None", publishing),
        )
    return {
        **outcome.as_dict(),
        "account": found.account,
        "warnings": list(found.warnings),
        "grant_expires_in": None if found.grant_expires_in is None else int(found.grant_expires_in),
    }


def _push(store: TokenStore, document: TokenDocument, seen: Status, **declared: Any) -> ReplaceOutcome:
    """Put the document where the one is that was seen, or where that has only been renewed meanwhile."""
    try:
        return store.replace(document, expect=_generation(seen), **declared)
    except Conflict as error:
        now = store.status()
        if error.reason != "GenerationChanged" or not _is_same_grant(seen.grant, now):
            raise
        return store.replace(document, expect=_generation(now), **declared)


def _is_same_grant(grant: str | None, now: Status) -> bool:
    return now.document["state"] == "sound" and grant is not None and now.grant == grant


def _generation(status: Status) -> int:
    """Return what a push has to expect: 0 where there is no document that it would replace."""
    return status.generation if status.document["state"] == "sound" else 0


def _input(known: frozenset[str]) -> Mapping[str, Any]:
    try:
        fields = json.loads(stdin())
    except (ValueError, RecursionError):
        # the decoder's exception holds the whole text, secrets included
        raise _malformed("is not JSON") from None
    if not isinstance(fields, dict):
        raise _malformed("is not a JSON object")
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise _malformed(f"has the unknown field {unknown[0][:40]!r}")
    return fields


def _client(fields: Mapping[str, Any]) -> ClientSecrets:
    from token_keeper.consent import ClientSecrets  # noqa: PLC0415 - see begin

    secrets = fields.get("client_secrets")
    if secrets is not None and not isinstance(secrets, (str, Mapping)):
        raise _malformed("has client_secrets that are not an object")
    return ClientSecrets.parse(secrets, "the client secrets on stdin")


def _scopes(fields: Mapping[str, Any]) -> list[str]:
    scopes = fields.get("scopes")
    if isinstance(scopes, str):
        return scopes.split()
    if not isinstance(scopes, list):
        raise _malformed("has no scopes that are a list")
    return scopes


def _provider(fields: Mapping[str, Any]) -> str | Mapping[str, Any] | None:
    provider = fields.get("provider")
    if provider is None or isinstance(provider, (str, Mapping)):
        return provider or None
    raise _malformed("has a provider that is neither a name nor a profile")


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise _malformed(f"has a {name} that is not a text")


def _truth(fields: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = fields.get(name, default)
    if isinstance(value, bool):
        return value
    raise _malformed(f"has a {name} that is neither true nor false")


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name) or {}
    if isinstance(value, Mapping):
        return value
    raise _malformed(f"has {name} that are not an object")


def _port(fields: Mapping[str, Any]) -> int:
    value = fields.get("redirect_port", 0)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65_535:
        return value
    raise _malformed("has a redirect_port that is not a port")


def _malformed(what: str) -> ConsentError:
    return ConsentError(
        f"what is on stdin {what}",
        reason="InputMalformed",
        remedy="`token-keeper consent begin --help` and docs/cli.md say what belongs there",
    )
