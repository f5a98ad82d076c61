"""Whether the document in a volume is the one a play asks for, or a person has to consent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the document has to be.

    Attributes:
        client_fingerprint: fingerprint of the client's id and secret.
        scopes: scopes that it has to cover.
        token_uri: token endpoint that consumers are to use; ``None`` where it is not known.
        account: account that it is for; ``None`` for any.
    """

    client_fingerprint: str
    scopes: Sequence[str]
    token_uri: str | None
    account: str | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether consent is needed, why (a CamelCase word), and the same as the rest of a sentence."""

    needed: bool
    reason: str
    because: str


def judge(
    status: Mapping[str, Any],
    wanted: Wanted,
    missing_scopes: Callable[[Sequence[str], Sequence[str]], list[str]],
    *,
    reconsent: bool,
) -> Verdict:
    """Decide by a volume's status.

    Args:
        status: status of the volume.
        wanted: what the document has to be.
        missing_scopes: returns which of the first scopes are not among the second.
        reconsent: ask anew whatever is there.
    """
    objections = _objections(status, wanted, missing_scopes)
    asked = Verdict(True, "ReconsentAsked", "reconsent is set")
    satisfied = Verdict(False, "Unchanged", "the document is sound and is the one asked for")
    return next(objections, asked if reconsent else satisfied)


def _objections(
    status: Mapping[str, Any], wanted: Wanted, missing_scopes: Callable[[Sequence[str], Sequence[str]], list[str]]
) -> Iterator[Verdict]:
    """Say what is wrong with the document, the weightiest first."""
    document = status["document"]
    if document["state"] != "sound":
        yield Verdict(True, "NoSoundDocument", str(document.get("message") or "there is no sound document"))
        return
    if document["client_fingerprint"] != wanted.client_fingerprint:
        yield Verdict(True, "ClientChanged", "the document belongs to another client, or to an earlier client secret")
    missing = missing_scopes(wanted.scopes, document["scopes"])
    if missing:
        yield Verdict(True, "ScopesMissing", f"the document does not cover {', '.join(missing)}")
    there = document["token_uri"]
    if wanted.token_uri and there != wanted.token_uri:
        yield Verdict(True, "EndpointChanged", f"the document is for {there}, not {wanted.token_uri}")
    there = document["account"]
    if wanted.account and there and there.casefold() != wanted.account.casefold():
        yield Verdict(True, "AccountChanged", f"the document is for the account {there}, not {wanted.account}")
    for condition in status["conditions"]:
        if condition["type"] == "ReauthRequired" and condition["status"] == "True":
            yield Verdict(True, "ReauthRequired", f"the provider no longer honours the grant: {condition['message']}")
