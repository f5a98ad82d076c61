"""Consent: a person allows an OAuth client to act for an account, and a token document comes of it."""

from token_keeper.consent.client_secrets import ClientSecrets
from token_keeper.consent.flow import obtain
from token_keeper.consent.scopes import missing_scopes

__all__ = ["ClientSecrets", "missing_scopes", "obtain"]
