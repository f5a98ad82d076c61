"""The provider's answer in the redirect (RFC 6749 section 4.1.2): read, and held against the request."""

from __future__ import annotations

import dataclasses
import hmac
import urllib.parse
from typing import Final

from token_keeper.consent.request import AuthorizationRequest
from token_keeper.errors import ConsentError, PolicyDenied, ProviderUnavailable

_MAX_FIELDS: Final = 50
_MAX_DETAIL: Final = 200
_AGAIN: Final = "run the consent again, and open only the newest address"
_REDIRECT: Final = (
    "use a client of type Desktop app, which allows every loopback port, or set redirect_port and register "
    "http://127.0.0.1:PORT/ with that port at the provider"
)
_REMEDIES: Final = {
    "access_denied": (
        "ConsentRefused",
        "run the consent again and choose Allow; while Google's consent screen is in Testing, the account must "
        "be one of its test users",
    ),
    "redirect_uri_mismatch": ("RedirectUriMismatch", _REDIRECT),
    "invalid_scope": ("ScopeRefused", "check the spelling of the scopes, and that their API is enabled"),
    "unauthorized_client": ("ClientNotAllowed", "use a client of type Desktop app, of the same project"),
    "invalid_client": ("ClientNotAllowed", "check the client's id: the provider does not know it"),
    "deleted_client": ("ClientNotAllowed", "make a new client at the provider: this one was deleted"),
}
_POLICY: Final = frozenset({"admin_policy_enforced", "org_internal", "disallowed_useragent"})
_LATER: Final = frozenset({"server_error", "temporarily_unavailable"})


@dataclasses.dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code that answers our request; whoever has it and the verifier gets the tokens."""

    code: str = dataclasses.field(repr=False)


def is_answer(query: str) -> bool:
    """Tell whether a request to the redirect address brings an answer, good or bad, or is plainly stray.

    An answer has a ``code`` or an ``error``. Everything else, be it a prefetch, a port scan or a reload
    without its query, says nothing about the consent and must not end it.
    """
    fields = _parsed(query)
    return fields is not None and ("code" in fields or "error" in fields)


def misfit(query: str, state: str) -> ConsentError | None:
    """Return why an answer does not belong to a request, or ``None`` if it does.

    An answer carries the request's state, be it a code or an error (RFC 6749 sections 4.1.2 and 4.1.2.1). Whatever
    does not may come from any page or program that knows the port.
    """
    states = (_parsed(query) or {}).get("state", [])
    if len(states) == 1 and _same(states[0], state):
        return None
    return ConsentError(
        "state mismatch: the answer does not belong to this consent"
        if states
        else "state mismatch: the answer does not carry the state of this consent",
        reason="StateMismatch",
        remedy=f"{_AGAIN}; if that does not help, another program or page answers in the provider's place",
    )


def read_answer(query: str, request: AuthorizationRequest) -> AuthorizationCode:
    """Take the code out of an answer.

    Args:
        query: the query of the redirect, percent-encoded, without the question mark.
        request: what was asked.

    Raises:
        ConsentError: ``StateMismatch``, ``IssuerMismatch`` (RFC 9207), ``AnswerMalformed``, or what the
            provider says went wrong, such as ``ConsentRefused``.
        PolicyDenied: an administrator's policy forbids the access.
        ProviderUnavailable: the provider says that it failed itself.
    """
    fields = _parsed(query)
    if fields is None:
        raise _malformed("cannot be read")
    # state comes first: until it fits, nothing in the answer is the provider's word
    foreign = misfit(query, request.state)
    if foreign is not None:
        raise foreign
    for name in ("code", "error", "error_description", "iss"):
        if len(fields.get(name, [])) > 1:
            raise _malformed(f"has {name} more than once (RFC 6749 section 3.1)")
    issuer = fields.get("iss", [None])[0]
    expected = request.endpoints.issuer
    if issuer is not None and expected is not None and issuer != expected:
        raise ConsentError(
            f"issuer mismatch: the answer comes from {_plain(issuer)}, not from {expected}",
            reason="IssuerMismatch",
            remedy=f"check that auth_uri and the client belong to the provider you mean, then {_AGAIN}",
        )
    if issuer is None and request.endpoints.issuer_in_answers:
        raise ConsentError(
            "issuer mismatch: the answer names no issuer, although this provider's answers do (RFC 9207 section 2.4)",
            reason="IssuerMismatch",
            remedy=f"{_AGAIN}; if that does not help, another program or page answers in the provider's place",
        )
    if "error" in fields:
        raise _refusal(fields["error"][0], fields.get("error_description", [""])[0])
    code = fields.get("code", [""])[0]
    # RFC 6749 appendix A.11
    if not code or not (code.isascii() and code.isprintable()):
        raise _malformed("has no code that could be one")
    return AuthorizationCode(code)


def _parsed(query: str) -> dict[str, list[str]] | None:
    try:
        return urllib.parse.parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None


def _same(one: str, other: str) -> bool:
    # as bytes: compare_digest takes no other text than ASCII, and a percent-encoded answer can hold any
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def _refusal(error: str, description: str) -> ConsentError | PolicyDenied | ProviderUnavailable:
    said = _plain(error) + (f": {_plain(description)}" if description else "")
    if error in _LATER:
        return ProviderUnavailable(
            f"the provider could not ask for consent ({said})",
            reason="AuthorizationServerError",
            remedy="try again later; nothing was changed",
        )
    if error in _POLICY:
        return PolicyDenied(
            f"a policy of the provider or of the account's administrator forbids this access ({said})",
            reason="".join(word.capitalize() for word in error.split("_")),
            remedy="ask the account's administrator to allow this client",
        )
    reason, remedy = _REMEDIES.get(
        error, ("AuthorizationFailed", "check the client, the scopes and the extra parameters")
    )
    what = "consent was refused" if error == "access_denied" else "the provider did not grant consent"
    return ConsentError(f"{what} ({said})", reason=reason, remedy=remedy)


def _plain(text: str) -> str:
    """Keep what RFC 6749 section 4.1.2.1 allows in an error; a terminal shows it, so nothing that steers one."""
    return "".join(char for char in text if " " <= char <= "~" and char not in '"\\')[:_MAX_DETAIL]


def _malformed(what: str) -> ConsentError:
    return ConsentError(f"the provider's answer {what}", reason="AnswerMalformed", remedy=_AGAIN)
