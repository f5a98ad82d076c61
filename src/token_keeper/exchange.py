"""One exchange: a single request to the provider's token endpoint, and what came of it.

google-auth retries a refresh by itself, which resends a refresh token that may be spent and so can end a grant that
rotates. The kit therefore uses google-auth's transport, but makes exactly one attempt; whether there is another one
is decided under the volume's lock, with the journal in hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from token_keeper.address import DEADLINE, where
from token_keeper.errors import (
    ClientRejected,
    PolicyDenied,
    ProviderUnavailable,
    ReauthRequired,
    TokenKeeperError,
)
from token_keeper.forks import unforked

if TYPE_CHECKING:
    import requests

_MAX_RETRY_AFTER: Final = 3600.0
_POLICY: Final = {"admin_policy_enforced", "org_internal", "access_denied", "unauthorized_client"}
# the standard's word first (RFC 6749 section 5.2), then those of providers that have their own
_DEAD_GRANT: Final = {"invalid_grant", "bad_refresh_token", "invalid_refresh_token"}
_BAD_CLIENT: Final = {"invalid_client", "incorrect_client_credentials"}
_RAPT: Final = {"invalid_rapt", "rapt_required"}
_TRANSIENT: Final = {"server_error", "temporarily_unavailable", "internal_failure", "slow_down", "rate_limit_exceeded"}
_TURNED_AWAY: Final = {408, 429, 503}
"""Statuses of a server that has not taken the request on (RFC 9110 sections 15.5.9 and 15.6.4, RFC 6585 section 4)."""
_BUSY: Final = {"temporarily_unavailable", "slow_down", "rate_limit_exceeded"}
_SECRETS: Final = {"access_token", "refresh_token", "client_secret", "code", "code_verifier", "token"}
_PART: Final = 8
_MAX_QUOTED: Final = 4096
_WORD: Final = re.compile(r"[a-z]+(_[a-z]+){0,5}")
_HANDSHAKE: Final = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "UNSUPPORTED_PROTOCOL",
    "NO_PROTOCOLS_AVAILABLE",
    "PACKET_LENGTH_TOO_LONG",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "TLSV1_UNRECOGNIZED_NAME",
    "DH_KEY_TOO_SMALL",
}
_MAX_BODY: Final = 1_048_576
_LATEST: Final = 5
"""Deadlines after which a reply is not awaited any more, long after everybody went on without it."""

_LATER: Final = "nothing has to be done: the next attempt follows by itself; if it lasts, look at the provider's status"


@dataclasses.dataclass(frozen=True, slots=True)
class TokenReply:
    """A successful answer of a token endpoint (RFC 6749 section 5.1).

    Attributes:
        access_token: the new access token.
        refresh_token: a new refresh token, or ``None`` where the old one stays.
        expires_in: seconds of life, or ``None`` where the provider does not say.
        scope: the scopes granted, or ``None`` where they are those asked for.
        id_token: OpenID Connect id token, unverified.
        refresh_token_expires_in: seconds until a time-limited grant ends, as Google sends it.
        received_at: Unix time at which the answer was complete.
        date: the provider's own ``Date`` header as Unix time, to report a clock that is off.
        is_bearer: whether the access token is a bearer token (RFC 6750). No other kind can be used (RFC 6749 section
            7.1), but the refresh token beside it may be the only one that still works.
    """

    access_token: str = dataclasses.field(repr=False)
    refresh_token: str | None = dataclasses.field(repr=False)
    expires_in: float | None
    scope: tuple[str, ...] | None
    id_token: str | None = dataclasses.field(repr=False)
    refresh_token_expires_in: float | None
    received_at: float
    date: float | None = None
    is_bearer: bool = True


def request_token(
    token_uri: str,
    form: Mapping[str, str],
    *,
    deadline: float = DEADLINE,
    on_reply: Callable[[TokenReply], None] | None = None,
) -> TokenReply:
    """Ask a token endpoint once.

    Args:
        token_uri: the token endpoint.
        form: the parameters of the request's body (RFC 6749 sections 4.1.3 and 6).
        deadline: seconds for everything; a reply that trickles counts as none.
        on_reply: called with the reply as soon as it is there, in another thread, *even after the deadline*: a
            reply that is late may carry the only refresh token that still works.

    Raises:
        ReauthRequired: ``invalid_grant``.
        ClientRejected: ``invalid_client``.
        PolicyDenied: a policy of the provider's administrator, or a grant type the client may not use.
        ProviderUnavailable: no usable answer; ``outcome_known`` tells whether the exchange may have happened.
    """
    prepare()  # before the clock starts: on a busy machine it takes a while

    def ask(received: threading.Event) -> TokenReply:
        with _connection() as responses:  # closed when the reply is kept, and not before
            status, headers, body = _post(token_uri, form, deadline, responses)
            reply = _judge(token_uri, form, status, headers, body)
            received.set()
            if on_reply is not None:
                on_reply(reply)
            return reply

    return _within(deadline, token_uri, ask)


def revoke_token(
    revocation_uri: str, token: str, *, client_id: str, client_secret: str, deadline: float = DEADLINE
) -> None:
    """Revoke a refresh token (RFC 7009). One that the provider no longer knows counts as revoked (section 2.2).

    Raises:
        ProviderUnavailable: the provider did not confirm it.
    """
    prepare()
    form = {
        "token": token,
        "token_type_hint": "refresh_token",
        "client_id": client_id,
        "client_secret": client_secret,
    }

    def ask(_: threading.Event) -> tuple[int, Mapping[str, str], bytes]:
        with _connection() as responses:
            return _post(revocation_uri, form, deadline, responses)

    status, headers, body = _within(deadline, revocation_uri, ask)
    # a guard in front of the endpoint says invalid_token as well (RFC 6750), and with 401
    unknown = status == 400 and _error_code(_decode(body)) in {"invalid_token", "invalid_grant"}
    if status == 200 or unknown:
        return
    raise ProviderUnavailable(
        f"{where(revocation_uri)} answered {status} to the revocation",
        reason="RevocationRefused",
        remedy="try again; if it lasts, revoke the access in the account's own settings",
        retry_after=_retry_after(headers),
    )


def present_token(url: str, token: str, *, as_form: bool = False, deadline: float = DEADLINE) -> None:
    """Show an access token to a server that has to know it. Nothing is spent by it.

    Args:
        url: what only a good token can GET, such as the calendar API or the provider's userinfo.
        token: the access token; it travels in the Authorization header (RFC 6750 section 2.1), never in the address.
        as_form: POST it as the form field ``access_token`` instead, as Google's tokeninfo takes it.
        deadline: seconds for everything.

    Raises:
        ReauthRequired: 401, or a form's answer that it is no good token.
        PolicyDenied: 403.
        ProviderUnavailable: any other answer than 2xx, or none.
    """
    prepare()
    form = {"access_token": token}
    bearer = None if as_form else token

    def ask(_: threading.Event) -> tuple[int, Mapping[str, str], bytes]:
        with _connection() as responses:
            return _send(url, form if as_form else None, deadline, responses, bearer=bearer)

    status, headers, body = _within(deadline, url, ask)
    if 200 <= status < 300:
        return
    said = f"{where(url)} answered {status} to the access token"
    what = _told(_decode(body)) or _redacted(_header(headers, "www-authenticate") or "", form)
    if what and what.isprintable():
        said += f": {_without_parts(_redacted(what, form), token)[:200]}"
    unknown = as_form and status == 400 and _error_code(_decode(body)) in {"invalid_token", "invalid_grant"}
    if status == 401 or unknown:
        raise ReauthRequired(said, reason="TokenRefused", remedy="the provider does not know this token: consent anew")
    if status == 403:
        raise PolicyDenied(
            said,
            reason="TokenForbidden",
            remedy="look whether the API is switched on and the scopes are the right ones",
        )
    raise ProviderUnavailable(
        said,
        reason=f"Status{status}",
        remedy="look whether the address is one that takes the token; then try again",
        retry_after=_retry_after(headers),
    )


def _told(fields: Any) -> str:
    """Return what a resource server says is wrong: RFC 6749's fields, or the error object of Google's APIs."""
    error = fields.get("error") if isinstance(fields, dict) else None
    if isinstance(error, dict):
        parts = [error.get("status"), error.get("message")]
    else:
        parts = [error, fields.get("error_description") if isinstance(fields, dict) else None]
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def prepare() -> None:
    """Import what a request needs. It takes 0.4 s, which a process that only reads need not pay."""
    with unforked():
        for name in ("google.auth.transport.requests", "encodings.ascii", "encodings.idna"):
            importlib.import_module(name)


Result = TypeVar("Result")


class _Call(Generic[Result]):
    """A request in a thread of its own, which nobody waits for any longer than the deadline."""

    def __init__(self, work: Callable[[threading.Event], Result]) -> None:
        self._work = work
        self.received = threading.Event()
        # Not Thread.join: a signal handler that raises inside it makes the thread look as if it had ended.
        self.done = threading.Event()
        self.results: list[Result] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.results.append(self._work(self.received))
        except BaseException as error:  # handed to the waiting thread, which raises it
            self.error = error
        finally:
            self.done.set()

    def wait(self, end: float) -> None:
        """Wait until it is done or ``end`` (monotonic) has come; for a reply that is here, until it is kept."""
        self.done.wait(max(end - time.monotonic(), 0.0))
        if self.received.is_set():
            self.done.wait()

    def wait_undisturbed(self, end: float) -> None:
        """Wait so even if one signal after the other would have it end at once."""
        while not self.done.is_set() and (self.received.is_set() or time.monotonic() < end):
            with contextlib.suppress(BaseException):
                self.wait(end)


def _within(deadline: float, url: str, work: Callable[[threading.Event], Result]) -> Result:
    call = _Call(work)
    thread = threading.Thread(target=call.run, name="token-exchange", daemon=True)
    end = time.monotonic() + deadline
    try:
        try:
            thread.start()
        except RuntimeError as error:
            call.done.set()
            raise ProviderUnavailable(
                f"{where(url)} was not asked: {error}",
                reason="NoThread",
                remedy="raise the container's limit of processes (pids), or let the process finish its own shutdown",
            ) from error
        call.wait(end)
    except BaseException:
        # A signal's exception, such as Ctrl-C or a worker's soft time limit. The request is on its way, and what the
        # provider answers has to be kept before anybody lets go of the lock.
        call.wait_undisturbed(end)
        raise
    if not call.done.is_set():
        raise _no_reply(url, f"gave no complete reply within {deadline:g} s")
    if call.error is None:
        return call.results[0]
    if isinstance(call.error, TokenKeeperError):
        raise call.error
    # What comes out of here otherwise is the caller's own, so a fault of the thread gets a name.
    raise _no_reply(url, f"was asked, and that broke off ({type(call.error).__name__})") from call.error


@contextlib.contextmanager
def _connection() -> Iterator[list[requests.Response]]:
    """Hold the responses of one request. They hold its socket, and each other until garbage is collected."""
    responses: list[requests.Response] = []
    try:
        yield responses
    finally:
        responses.clear()


def _post(
    url: str, form: Mapping[str, str], deadline: float, responses: list[requests.Response]
) -> tuple[int, Mapping[str, str], bytes]:
    return _send(url, form, deadline, responses)


def _send(
    url: str,
    form: Mapping[str, str] | None,
    deadline: float,
    responses: list[requests.Response],
    *,
    bearer: str | None = None,
) -> tuple[int, Mapping[str, str], bytes]:
    import google.auth.transport.requests  # noqa: PLC0415
    import requests  # noqa: PLC0415

    with requests.Session() as session:
        # Else requests looks for a password in ~/.netrc; proxies and certificates still come from the environment.
        session.auth = lambda request: request
        session.hooks["response"].append(lambda response, *_, **__: responses.append(response))
        headers = {"Accept": "application/json"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        transport = google.auth.transport.requests.Request(session)
        try:
            transport(
                url,
                method="GET" if form is None else "POST",
                body=None if form is None else urllib.parse.urlencode(form).encode(),
                headers=headers,
                # nobody waits that long, but a reply that is late is still worth having
                timeout=(deadline, _LATEST * deadline),
                # a redirect would carry the refresh token to an address nobody vouched for
                allow_redirects=False,
                stream=True,
            )
            response = responses[-1]
            body = _body(url, response, time.monotonic() + _LATEST * deadline)
        except ProviderUnavailable:
            raise
        except Exception as error:
            # whatever a transport raises may quote the request; its kind is all that is told
            raise _transport_error(url, error) from None
        return response.status_code, dict(response.headers), body


def _body(url: str, response: requests.Response, end: float) -> bytes:
    body = bytearray()
    for part in response.iter_content(8192):
        body += part
        if len(body) > _MAX_BODY:
            raise _no_reply(url, f"sent more than {_MAX_BODY} bytes")
        if time.monotonic() > end:
            raise _no_reply(url, "never came to the end of its reply")
    return bytes(body)


def _transport_error(url: str, error: Exception) -> ProviderUnavailable:
    import google.auth.exceptions  # noqa: PLC0415
    import requests.exceptions  # noqa: PLC0415
    import urllib3.exceptions  # noqa: PLC0415

    cause: BaseException | None = error
    kinds: list[BaseException] = []
    while cause is not None and len(kinds) < 10:
        kinds.append(cause)
        reason = getattr(cause, "reason", None) or next(
            (arg for arg in getattr(cause, "args", ()) if isinstance(arg, BaseException)), None
        )
        cause = reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__
    never_sent = (
        google.auth.exceptions.ClientCertError,
        google.auth.exceptions.MutualTLSChannelError,
        requests.exceptions.ConnectTimeout,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.ProxyError,
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.LocationValueError,
        ssl.SSLCertVerificationError,
        UnicodeError,  # a host name that can't be one
    )
    for kind in kinds:
        # TLS may break after the request went out as well; these are the ways in which it never begins
        if isinstance(kind, never_sent) or (isinstance(kind, ssl.SSLError) and kind.reason in _HANDSHAKE):
            return ProviderUnavailable(
                f"{where(url)} cannot be reached ({type(kind).__name__})",
                reason="Unreachable",
                remedy="check the address, DNS, the network's way out and the proxy settings of this container",
            )
    return _no_reply(url, f"broke the connection before its reply was complete ({type(kinds[-1]).__name__})")


def _no_reply(url: str, what: str) -> ProviderUnavailable:
    return ProviderUnavailable(f"{where(url)} {what}", reason="NoReply", remedy=_LATER, outcome_known=False)


def _judge(url: str, form: Mapping[str, str], status: int, headers: Mapping[str, str], body: bytes) -> TokenReply:
    now = time.time()
    fields = _decode(body)
    code = _error_code(fields)
    # some say 200 to everything and put the error into the body
    if 200 <= status < 300 and (not code or (isinstance(fields, dict) and fields.get("access_token"))):
        return _reply(url, fields, headers, now)
    shown = _redacted(code, form)[:60]
    said = f"{where(url)} answered {status}" + (f" {shown}" if shown else "")
    description = fields.get("error_description") if isinstance(fields, dict) else None
    if isinstance(description, str) and description.isprintable():
        said += f": {_redacted(description, form)[:200]}"
    if status >= 500 or status in {408, 429} or code in _TRANSIENT:
        raise ProviderUnavailable(
            said,
            reason=f"Status{status}",
            remedy=_LATER,
            retry_after=_retry_after(headers),
            outcome_known=status in _TURNED_AWAY or code in _BUSY or status < 300,
        )
    subtype = fields.get("error_subtype") if isinstance(fields, dict) else None
    denial = subtype if isinstance(subtype, str) and subtype in _RAPT else code
    if denial in _POLICY or denial in _RAPT:
        raise PolicyDenied(said, reason=_camel(denial), remedy="ask the account's administrator to allow this app")
    if code in _DEAD_GRANT:
        raise ReauthRequired(said, reason="InvalidGrant", remedy="consent again: run site.yml")
    if code in _BAD_CLIENT:
        raise ClientRejected(said, reason="InvalidClient", remedy="check the client's id and secret at the provider")
    raise ProviderUnavailable(
        said,
        reason=_camel(shown) if _WORD.fullmatch(shown) else f"Status{status}",
        remedy="check that token_uri is the provider's token endpoint",
    )


def _reply(url: str, fields: object, headers: Mapping[str, str], now: float) -> TokenReply:
    # a 200 that can't be read may well have been a successful exchange: its outcome is not known
    if not isinstance(fields, dict):
        raise _no_reply(url, "answered 200, but not with a JSON object")
    access_token = _text(fields.get("access_token"))
    if access_token is None:
        raise _no_reply(url, "answered 200 without an access_token")
    token_type = fields.get("token_type") or "Bearer"
    scope = fields.get("scope")
    return TokenReply(
        access_token=access_token,
        refresh_token=_text(fields.get("refresh_token")),
        expires_in=_seconds(fields.get("expires_in")),
        scope=tuple(scope.split()) if isinstance(scope, str) and scope.isprintable() and scope.split() else None,
        id_token=_text(fields.get("id_token")),
        refresh_token_expires_in=_seconds(fields.get("refresh_token_expires_in")),
        received_at=now,
        date=_http_date(headers),
        is_bearer=isinstance(token_type, str) and token_type.lower() == "bearer",
    )


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_code(fields: Any) -> str:
    code = fields.get("error") if isinstance(fields, dict) else None
    # the code becomes part of a message: only the characters RFC 6749 section 5.2 allows
    return code if isinstance(code, str) and code.isascii() and code.isprintable() else ""


def _redacted(text: str, form: Mapping[str, str]) -> str:
    """Take out what a provider quotes of the request: all but the grant's type is secret or personal.

    Of a secret, a part is taken out as well: providers shorten what they quote.
    """
    text = text[:_MAX_QUOTED]
    for name, value in form.items():
        if name != "grant_type" and value:
            text = text.replace(value, "***").replace(urllib.parse.quote_plus(value), "***")
        if name in _SECRETS and value:
            text = _without_parts(text, value)
    return text


def _without_parts(text: str, secret: str) -> str:
    """Take out every run of characters that stands in the secret as well."""
    kept, at = [], 0
    while at < len(text):
        end = at + _PART
        if end <= len(text) and text[at:end] in secret:
            while end < len(text) and text[at : end + 1] in secret:
                end += 1
            kept.append("***")
            at = end
        else:
            kept.append(text[at])
            at += 1
    return "".join(kept)


def _text(value: object) -> str | None:
    # a token that isn't a line of text could not be read back from the document
    return value if isinstance(value, str) and value and value.isprintable() else None


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
    # ten years: beyond it the arithmetic of dates overflows, and no token lives that long
    return max(seconds, 0.0) if seconds is not None and seconds <= 315_360_000 else None


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = _header(headers, "retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _MAX_RETRY_AFTER)
    try:
        return min(max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0), _MAX_RETRY_AFTER)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _http_date(headers: Mapping[str, str]) -> float | None:
    value = _header(headers, "date")
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _camel(code: str) -> str:
    return "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", code)) or "Refused"
