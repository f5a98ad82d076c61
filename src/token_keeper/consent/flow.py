"""Consent through a browser and a loopback redirect, from the client's secrets to a token document."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from token_keeper.consent import page
from token_keeper.consent.answer import misfit
from token_keeper.consent.browser import Opener, open_in_background, opener
from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.conclusion import Consent, conclude
from token_keeper.consent.inquiry import Inquiry
from token_keeper.consent.loopback import Callback, LoopbackReceiver
from token_keeper.consent.redirect import Redirect
from token_keeper.consent.request import AuthorizationRequest, new_state
from token_keeper.consent.tunnel import ssh_command
from token_keeper.document import TokenDocument
from token_keeper.errors import TokenKeeperError

_TURNED_AWAY: Final = (
    "An answer came that does not belong to this consent (its state is another), and was turned away. The right one is "
    "still awaited. If you have just allowed the access, you did so on an older page: open the address above."
)


def by_loopback(
    inquiry: Inquiry,
    *,
    announce: Callable[[str], None],
    redirect_port: int = 0,
    timeout: float = 300.0,
    open_browser: Opener | None = None,
    browser: str | None = None,
) -> Consent:
    """Have a person consent in a browser whose answer comes to 127.0.0.1.

    Args:
        inquiry: what is asked for.
        announce: shows a person a text of one or more lines; called in the caller's thread only.
        redirect_port: port of the redirect on 127.0.0.1; 0 takes a free one.
        timeout: seconds to wait for the answer; the exchange has its own deadline.
        open_browser: opens an address instead of :mod:`webbrowser`; if it returns false, the person has to.
        browser: browser or command for :func:`webbrowser.get`; by default BROWSER or the desktop decides.

    Raises:
        As :func:`obtain`.
    """
    deadline = time.monotonic() + timeout
    redirect = Redirect.choose(inquiry.client, redirect_port)
    state = new_state()
    with LoopbackReceiver(
        redirect.port,
        redirect.path,
        redirect.registered,
        objection=lambda query: misfit(query, state),
        on_foreign=lambda: announce(_TURNED_AWAY),
    ) as receiver:
        request = inquiry.request(receiver.redirect_uri, state)
        announce(
            f"Consent is needed. Open this address in a browser and allow the access:\n\n{request.url}\n\n"
            f"The answer is awaited for {timeout:g} seconds."
        )
        open_in_background(
            open_browser or opener(browser),
            request.url,
            on_failure=lambda: receiver.call_soon(lambda: announce(_by_hand(receiver.port))),
        )
        return _conclude(receiver.wait(deadline), request, inquiry)


def _conclude(callback: Callback, request: AuthorizationRequest, inquiry: Inquiry) -> Consent:
    """Judge the answer and tell the person's browser what came of it."""
    try:
        consent = conclude(request, callback.query, account=inquiry.account, deadline=inquiry.exchange_deadline)
    except TokenKeeperError as error:
        callback.show(page.failed(error))
        raise
    callback.show(page.granted(consent.document.scopes, consent.account))
    return consent


def obtain(
    client: ClientSecrets,
    scopes: Iterable[str],
    *,
    announce: Callable[[str], None],
    auth_uri: str | None = None,
    token_uri: str | None = None,
    document_token_uri: str | None = None,
    issuer: str | None = None,
    redirect_port: int = 0,
    timeout: float = 300.0,
    open_browser: Opener | None = None,
    browser: str | None = None,
    login_hint: str | None = None,
    allow_http: bool = False,
    extra_params: Mapping[str, Any] | None = None,
    exchange_deadline: float = 8.0,
    provider: str | Mapping[str, Any] | None = None,
    account: str | None = None,
    ask_for_account: bool = True,
) -> TokenDocument:
    """Have a person consent in a browser, and return the document that comes of it; it is stored nowhere.

    It is :meth:`Inquiry.prepare` and :func:`by_loopback` in one; warnings are announced.

    Args:
        client: the OAuth client.
        scopes: the scopes to ask for; all of them must be granted.
        announce: shows a person a text of one or more lines; called in the caller's thread only.
        auth_uri: authorization endpoint, if not the client's own.
        token_uri: token endpoint, if not the client's own.
        document_token_uri: token endpoint for the document, if consumers reach it by another address.
        issuer: the provider's issuer identifier, to be compared with ``iss`` in the answer (RFC 9207).
        redirect_port: port of the redirect on 127.0.0.1; 0 takes a free one.
        timeout: seconds to wait for the answer; the exchange has its own deadline.
        open_browser: opens an address instead of :mod:`webbrowser`; if it returns false, the person has to.
        browser: browser or command for :func:`webbrowser.get`; by default BROWSER or the desktop decides.
        login_hint: the account to preselect.
        allow_http: allow endpoints without TLS on other hosts than this one.
        extra_params: further parameters of the authorization request.
        exchange_deadline: seconds for the exchange of the code in all.
        provider: the provider's profile; by default it is told by the endpoints.
        account: the account that has to consent; any by default.
        ask_for_account: where an account is expected, ask for the scopes with which the provider tells it.

    Raises:
        ConsentError: the client, scopes, endpoints or redirect cannot be used, or consent was refused, timed out,
            or came back with less than was asked for; the reason tells which. An answer with another state than
            the request's ends nothing: it is waited for the right one, and only the deadline tells of the mismatch.
        ClientRejected: the provider does not accept the client's secret.
        PolicyDenied: a policy of the provider or an administrator forbids the access.
        ProviderUnavailable: the provider could not be asked, or gave no usable answer.
    """
    inquiry = Inquiry.prepare(
        client,
        scopes,
        provider=provider,
        issuer=issuer,
        auth_uri=auth_uri,
        token_uri=token_uri,
        document_token_uri=document_token_uri,
        allow_http=allow_http,
        account=account,
        ask_for_account=ask_for_account,
        login_hint=login_hint,
        extra_params=extra_params,
        exchange_deadline=exchange_deadline,
    )
    consent = by_loopback(
        inquiry,
        announce=announce,
        redirect_port=redirect_port,
        timeout=timeout,
        open_browser=open_browser,
        browser=browser,
    )
    for warning in consent.warnings:
        announce(f"Note: {warning}.")
    return consent.document


def _by_hand(port: int) -> str:
    return (
        "No browser could be opened here, or it ended with an error. Open the address yourself, on this machine; "
        f"or on another one, after you have forwarded the port from there:\n\n    {ssh_command(port)}\n"
    )
