"""Consent: a person allows an OAuth client to act for an account, and a token document comes of it.

``Inquiry.prepare`` settles what is asked for and of whom; ``by_loopback``, ``by_paste``, or ``begin`` and ``complete``
ask the person and return a ``Consent``, which holds the document and what to warn of. ``choose_mode`` tells which of
them fits. ``obtain`` is the first two in one call.
"""

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.conclusion import Consent
from token_keeper.consent.flow import by_loopback, obtain
from token_keeper.consent.inquiry import Inquiry
from token_keeper.consent.mode import Mode, choose_mode
from token_keeper.consent.paste import Arrival, by_paste
from token_keeper.consent.scopes import missing_scopes
from token_keeper.consent.two_step import Begun, begin, complete

__all__ = [
    "Arrival",
    "Begun",
    "ClientSecrets",
    "Consent",
    "Inquiry",
    "Mode",
    "begin",
    "by_loopback",
    "by_paste",
    "choose_mode",
    "complete",
    "missing_scopes",
    "obtain",
]
