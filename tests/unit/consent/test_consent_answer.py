"""The redirect's query: what is an answer, whose it is, and what it says."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from token_keeper.consent.answer import is_answer, read_answer
from token_keeper.consent.request import AuthorizationRequest
from token_keeper.errors import ConsentError, PolicyDenied, ProviderUnavailable, TokenKeeperError

ISSUER = "https://provider.example"


def refused(query: str, request: AuthorizationRequest) -> TokenKeeperError:
    with pytest.raises(TokenKeeperError) as caught:
        read_answer(query, request)
    assert caught.value.remedy
    assert request.state not in str(caught.value)
    assert request.verifier not in str(caught.value)
    return caught.value


def answer(request: AuthorizationRequest, **fields: str) -> str:
    return urlencode({"state": request.state, **fields})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", False),
        ("foo=bar", False),
        ("state=x", False),
        ("code=x", True),
        ("code", True),
        ("error=access_denied", True),
        ("%63ode=x", True),
        ("&".join(f"a{n}=1" for n in range(100)) + "&code=x", False),
        ("%", False),
        ("%zz=%zz&&==", False),
    ],
)
def test_is_answer(query: str, expected: bool) -> None:
    assert is_answer(query) is expected


@pytest.mark.parametrize("fields", [{}, {"iss": ISSUER}, {"scope": "a b", "authuser": "0"}])
def test_a_good_answer(request_for_consent: AuthorizationRequest, fields: dict[str, str]) -> None:
    found = read_answer(answer(request_for_consent, code="4/0A-b_c", **fields), request_for_consent)

    assert found.code == "4/0A-b_c"
    assert "4/0A" not in repr(found)


@pytest.mark.parametrize("state", [None, "", "x", "%00", "%ff", "%F0%9F%94%91", "é"])
def test_state_mismatch(request_for_consent: AuthorizationRequest, state: str | None) -> None:
    query = "code=canary-code" + ("" if state is None else f"&state={state}")
    error = refused(query, request_for_consent)

    assert isinstance(error, ConsentError)
    assert error.reason == "StateMismatch"
    assert error.message.startswith("state mismatch")
    assert "canary" not in str(error)


def test_state_twice_is_no_match(request_for_consent: AuthorizationRequest) -> None:
    state = request_for_consent.state
    assert refused(f"code=x&state={state}&state={state}", request_for_consent).reason == "StateMismatch"


def test_state_comes_before_the_error(request_for_consent: AuthorizationRequest) -> None:
    assert refused("error=access_denied&state=x", request_for_consent).reason == "StateMismatch"


def test_issuer_mismatch(request_for_consent: AuthorizationRequest) -> None:
    error = refused(answer(request_for_consent, code="canary", iss="https://evil.example"), request_for_consent)

    assert error.reason == "IssuerMismatch"
    assert "https://evil.example" in error.message
    assert ISSUER in error.message
    assert "canary" not in str(error)


@pytest.mark.parametrize("tail", ["&code=a&code=b", "&code=a&iss=x&iss=x", "&error=a&error=b", "&code=", "&code=%00"])
def test_malformed(request_for_consent: AuthorizationRequest, tail: str) -> None:
    error = refused(f"state={request_for_consent.state}{tail}", request_for_consent)

    assert error.reason == "AnswerMalformed"


@pytest.mark.parametrize(
    ("code", "kind", "reason", "said"),
    [
        ("access_denied", ConsentError, "ConsentRefused", "choose Allow"),
        ("redirect_uri_mismatch", ConsentError, "RedirectUriMismatch", "Desktop app"),
        ("invalid_scope", ConsentError, "ScopeRefused", "spelling"),
        ("unauthorized_client", ConsentError, "ClientNotAllowed", "Desktop app"),
        ("invalid_request", ConsentError, "AuthorizationFailed", "parameters"),
        ("something_new", ConsentError, "AuthorizationFailed", "parameters"),
        ("admin_policy_enforced", PolicyDenied, "AdminPolicyEnforced", "administrator"),
        ("server_error", ProviderUnavailable, "AuthorizationServerError", "later"),
        ("temporarily_unavailable", ProviderUnavailable, "AuthorizationServerError", "later"),
    ],
)
def test_errors_of_the_provider(
    request_for_consent: AuthorizationRequest, code: str, kind: type[TokenKeeperError], reason: str, said: str
) -> None:
    query = answer(request_for_consent, error=code, error_description="as the provider puts it")
    error = refused(query, request_for_consent)

    assert type(error) is kind
    assert error.reason == reason
    assert said in error.remedy
    assert f"({code}: as the provider puts it)" in error.message


def test_an_error_outweighs_a_code(request_for_consent: AuthorizationRequest) -> None:
    query = answer(request_for_consent, error="access_denied", code="canary")

    assert refused(query, request_for_consent).reason == "ConsentRefused"


def test_what_the_provider_says_cannot_steer_a_terminal(request_for_consent: AuthorizationRequest) -> None:
    query = answer(request_for_consent, error="\x1b[2J\x07x", error_description="a\r\nb\u202e" + "c" * 10_000)
    error = refused(query, request_for_consent)

    assert error.message.isascii()
    assert error.message.isprintable()
    assert len(error.message) < 600


fields = st.lists(st.tuples(st.sampled_from(["code", "state", "error", "iss", "x", "error_description"]), st.text()))
queries = st.one_of(
    st.text(),
    fields.map(urlencode),
    fields.map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)),
    st.binary().map(lambda data: "code=" + quote(data) + "&state=" + quote(data)),
)


@given(query=queries)
@example(query="code=%ED%A0%80&state=%ED%A0%80")
@example(query="code=\ud800&state=\ud800")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_gets_past_without_the_state(request_for_consent: AuthorizationRequest, query: str) -> None:
    is_answer(query)
    error = refused(query, request_for_consent)

    assert error.reason in {"StateMismatch", "AnswerMalformed"}


@given(code=st.text(min_size=1), extra=st.dictionaries(st.sampled_from(["scope", "authuser", "hd"]), st.text()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_code_comes_through_whole_or_not_at_all(
    request_for_consent: AuthorizationRequest, code: str, extra: dict[str, str]
) -> None:
    query = answer(request_for_consent, code=code, **extra)
    try:
        found = read_answer(query, request_for_consent)
    except ConsentError as error:
        assert error.reason == "AnswerMalformed"
        assert not (code.isascii() and code.isprintable())
    else:
        assert found.code == code
