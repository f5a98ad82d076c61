"""The end of every mode: the answer is read, its code redeemed, and what came back is judged."""

from __future__ import annotations

import dataclasses
from typing import Final

from token_keeper.consent import account as accounts
from token_keeper.consent import grant
from token_keeper.consent.answer import read_answer
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.document import TokenDocument

_DAY: Final = 86_400


@dataclasses.dataclass(frozen=True, slots=True)
class Consent:
    """What a consent came to.

    Attributes:
        document: the token document, stored nowhere. Its ``account`` is the one that was expected, as it was written
            there, else what the provider tells, else empty.
        account: the account that the provider tells, empty where it tells none.
        warnings: what a person should know, as whole sentences without a full stop; nothing is wrong.
        grant_expires_in: seconds after which the provider ends the grant by itself, ``None`` where it says nothing.
    """

    document: TokenDocument
    account: str = ""
    warnings: tuple[str, ...] = ()
    grant_expires_in: float | None = None


def conclude(request: AuthorizationRequest, query: str, *, account: str | None, deadline: float) -> Consent:
    """Turn the query of an answer into a document, if it is all that was asked for.

    Args:
        request: what was asked.
        query: the query of the redirect, percent-encoded.
        account: the account that has to have consented, ``None`` for any.
        deadline: seconds for the exchange of the code.

    Raises:
        ConsentError, ClientRejected, PolicyDenied, ProviderUnavailable: see :func:`token_keeper.consent.obtain`.
    """
    code = read_answer(query, request)
    reply = grant.redeem(request, code, deadline=deadline)
    document = grant.judged(reply, request)
    found = accounts.identify(reply, request)
    warnings = [accounts.check(found, account)] if account else []
    if reply.refresh_token_expires_in is not None:
        warnings.append(_limited(reply.refresh_token_expires_in))
    return Consent(
        dataclasses.replace(document, account=account or found.name),
        found.name,
        tuple(warning for warning in warnings if warning),
        reply.refresh_token_expires_in,
    )


def _limited(seconds: float) -> str:
    days = seconds / _DAY
    return (
        f"the provider ends this grant by itself in {days:.0f} days; at Google it is seven days while the consent "
        "screen is in Testing: publish the app (Google Auth Platform, Audience), then consent again"
    )
